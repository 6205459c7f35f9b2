"""Intervals at the level of the process: runs differ more from one another than samples within one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edge.results.stats.percentiles import excluded

if TYPE_CHECKING:
    from edge.results.stats.percentiles import Samples

_RESAMPLES = 200
_SEED = 20_011  # the same samples have the same interval whenever they are read

# Two-sided 95 % points of Student's t for 1 to 30 degrees of freedom (NIST/SEMATECH e-Handbook, 1.3.6.7.2).
_T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


def half_width(per_process: Sequence[float]) -> float | None:
    """Half-width of the 95 % Student t interval of the mean of per-process figures; None for fewer than two."""
    count = len(per_process)
    if count < 2:
        return None
    return t95(count - 1) * float(np.std(per_process, ddof=1)) / math.sqrt(count)


def t95(degrees: int) -> float:
    """Two-sided 95 % point of Student's t. Beyond 30 degrees by Cornish-Fisher, within 1e-4 of the exact value."""
    if degrees <= len(_T95):
        return _T95[degrees - 1]
    z = 1.959964
    return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)


def bootstrap95(runs: Sequence[Samples], p: float) -> tuple[float, float] | None:
    """The 95 % interval of the pooled p-th percentile, in ns, by drawing whole processes with replacement; None for
    fewer than two. Seeded. Of few processes it is too narrow: at 5 it holds the truth about 3 times in 4."""
    if len(runs) < 2:
        return None
    most = excluded(len(runs) * max(map(len, runs)), p) + 1  # no resample looks further down
    tails = [np.sort(run)[::-1][:most] for run in runs]
    values, whose = np.concatenate(tails), np.repeat(np.arange(len(runs)), [len(tail) for tail in tails])
    order = np.argsort(-values, kind="stable")
    values, whose = values[order], whose[order]
    sizes = np.array([len(run) for run in runs])
    draws = np.random.default_rng(_SEED).multinomial(len(runs), [1 / len(runs)] * len(runs), size=_RESAMPLES)
    drawn = [_largest(values, times[whose], excluded(int(times @ sizes), p)) for times in draws]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(low), float(high)


def _largest(values: Samples, times: Samples, above: int) -> int:
    """The largest of `values`, in falling order and so often each, that has so many above it."""
    return int(values[np.searchsorted(np.cumsum(times), above, side="right")])
