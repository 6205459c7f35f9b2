"""Percentiles as trtexec picks them, how many samples support one, and what the samples prove of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.int64]

# Samples that support a percentile at 99 % confidence with at most one sample beyond it: the least n with
# q^n + n (1 - q) q^(n-1) <= 0.01. MLPerf LoadGen's early stopping (https://arxiv.org/abs/1911.02549).
SUPPORT = {50.0: 11, 90.0: 64, 95.0: 130, 99.0: 662, 99.9: 6636}

_DOUBT = 0.01
_DEVIATIONS = 12  # below the mean of a binomial there is nothing to add up


def percentile(samples_ns: Samples, p: float) -> int:
    """The p-th percentile as trtexec picks it: sorted, no interpolation, the index computed in float32.

    In doubles p99 of 5,000 would be another sample. Source: TensorRT samples/common/sampleReporting.cpp.
    """
    place = max(len(samples_ns) - 1 - excluded(len(samples_ns), p), 0)
    return int(np.partition(samples_ns, place)[place])


def excluded(count: int, p: float) -> int:
    """How many of so many samples trtexec leaves above the p-th percentile."""
    return int((np.float32(1) - np.float32(p) / np.float32(100)) * np.float32(count))


def supported(samples_ns: Samples, p: float) -> int | None:
    """The percentile in ns, or None where there are too few samples for it at 99 % confidence."""
    return percentile(samples_ns, p) if len(samples_ns) >= SUPPORT[p] else None


def bound(samples_ns: Samples, p: float) -> int | None:
    """What the p-th percentile does not exceed at 99 % confidence, in ns, if the samples are independent; None where
    there are too few. LoadGen's early stopping: of n samples the t-th largest, with the most t for which so few as t
    samples beyond the percentile have a chance of 1 % (mlcommons/inference, loadgen/early_stopping.cc)."""
    count = len(samples_ns)
    if count < SUPPORT[p]:
        return None
    place = count - allowed(count, p)
    return int(np.partition(samples_ns, place)[place])


def allowed(count: int, p: float) -> int:
    """The most t with P(Binomial(count, 1 - p/100) <= t) <= 1 %, 0 where that is none. Summed from where the terms
    begin to count, in logarithms: `count` may be millions."""
    q = 1 - p / 100
    mean, deviation = count * q, math.sqrt(count * q * (1 - q))
    first = max(0, int(mean - _DEVIATIONS * deviation))
    k = np.arange(first, math.ceil(mean) + 1)
    ratios = np.log((count - k[:-1]) / (k[:-1] + 1)) + math.log(q / (1 - q))
    least = _log_choose(count, first) + first * math.log(q) + (count - first) * math.log1p(-q)
    chances = np.cumsum(np.exp(least + np.concatenate([[0.0], np.cumsum(ratios)])))
    return max(0, first + int(np.searchsorted(chances, _DOUBT, side="right")) - 1)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
