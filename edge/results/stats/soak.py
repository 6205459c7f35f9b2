"""What a long load shows: how fast a device is in a burst, and how fast once it is as warm as it gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from edge.results.stats.percentiles import Samples

STRETCHES = 40
_LEAST_STEADY = 4  # stretches, a tenth of the time: less is no equilibrium


@dataclass(frozen=True)
class Soak:
    """Medians in ns over a load that went on: of the first stretch after warm-up (`burst_ns`) and of the last ones over
    which the median stayed within the bound (`steady_ns`). Those began `steady_from_s` seconds into it; where they are
    less than a tenth of its time, no equilibrium was reached. `curve_ns` are the medians of 40 stretches of equal
    time."""

    burst_ns: float
    steady_ns: float
    steady_from_s: float
    length_s: float
    equilibrium: bool
    curve_ns: tuple[float, ...]

    @property
    def change(self) -> float:
        """From burst to steady, relative."""
        return self.steady_ns / self.burst_ns - 1.0


def soaked(runs: Sequence[Samples], length_s: float, bound: float) -> Soak:
    """Of the serial samples of each process, `length_s` long; where there are several, of their curves' mean. `bound`
    is the relative change that counts as none."""
    curve = [float(value) for value in np.mean([_curve(run) for run in runs], axis=0)]
    first = _steady_from(curve, bound)
    return Soak(
        burst_ns=curve[0],
        steady_ns=float(np.median(curve[first:])),
        steady_from_s=length_s * first / STRETCHES,
        length_s=length_s,
        equilibrium=STRETCHES - first >= _LEAST_STEADY,
        curve_ns=tuple(curve),
    )


def _curve(run: Samples) -> list[float]:
    """The medians of stretches of equal time. One in which no inference ended has the next one's: that is under way."""
    ends = np.cumsum(run)
    cuts = np.searchsorted(ends, np.linspace(0, ends[-1], STRETCHES + 1)[1:-1])
    firsts, lasts = [0, *cuts], [*cuts, len(run)]
    return [float(np.median(run[first : max(last, first + 1)])) for first, last in zip(firsts, lasts, strict=True)]


def _steady_from(curve: Sequence[float], bound: float) -> int:
    """The earliest stretch from which on the medians differ by no more than the bound."""
    first = len(curve) - 1
    least = most = curve[first]
    while first > 0:
        least, most = min(least, curve[first - 1]), max(most, curve[first - 1])
        if most > least * (1 + bound):
            break
        first -= 1
    return first
