"""How many times as much one thing is as another, with an interval at the level of processes.

Latencies are compared by their logarithms: a ratio and its inverse are then equally far from 1. Run-to-run spread is
larger than the spread within a run, so a process counts as one, whatever its samples are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge.results.stats import half_width, t95


@dataclass(frozen=True)
class Ratio:
    """B over A. `low` and `high` bound the 95 % interval; they are None where one process, or one round, says nothing
    of the next."""

    value: float
    low: float | None = None
    high: float | None = None
    approximate: bool = False

    @property
    def inverse(self) -> Ratio:
        """A over B."""
        low, high = (None if end is None else 1 / end for end in (self.high, self.low))
        return Ratio(1 / self.value, low, high, self.approximate)


def welch(a: Sequence[float], b: Sequence[float]) -> Ratio:
    """Of two independent sets of figures, one of each process: the ratio of their geometric means, with Welch's t
    interval. The degrees of freedom are rounded down, which makes it wider."""
    logs_a, logs_b = np.log(a), np.log(b)
    centre = float(logs_b.mean() - logs_a.mean())
    if min(len(a), len(b)) < 2:
        return Ratio(math.exp(centre))
    errors = [float(np.var(logs, ddof=1)) / len(logs) for logs in (logs_a, logs_b)]
    whole = sum(errors)
    counted = sum(error**2 / (len(logs) - 1) for error, logs in zip(errors, (logs_a, logs_b), strict=True))
    degrees = math.floor(whole**2 / counted) if counted else len(a) + len(b) - 2
    return around(centre, t95(max(degrees, 1)) * math.sqrt(whole))


def paired(logs: Sequence[float]) -> Ratio:
    """Of the logarithms of ratios, one of each round in which both were measured side by side."""
    centre = float(np.mean(logs))
    width = half_width(logs)
    return Ratio(math.exp(centre)) if width is None else around(centre, width)


def predicted(earlier: Sequence[float], now: float) -> Ratio:
    """A new figure over those of `earlier` runs (two at least), with the interval in which their spread from run to run
    leaves it: 1 is within for one that is as they were."""
    logs = np.log(earlier)
    width = t95(len(earlier) - 1) * float(np.std(logs, ddof=1)) * math.sqrt(1 + 1 / len(earlier))
    return around(math.log(now) - float(logs.mean()), width)


def around(centre: float, width: float, *, approximate: bool = False) -> Ratio:
    """From the logarithm and half the width of its interval."""
    return Ratio(math.exp(centre), math.exp(centre - width), math.exp(centre + width), approximate)
