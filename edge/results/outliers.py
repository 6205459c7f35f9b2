"""Which of several figures that should be alike is not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LEAST = 4
"""Figures that it takes: of three, two that agree by chance would make the third an outlier."""
FAR = 3.5
"""Robust z from which a figure is one (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993)."""
_TO_SIGMA = 0.6745  # MAD of a normal distribution, in standard deviations


def robust_z(values: Sequence[float]) -> list[float]:
    """How far each logarithm is from their median, in units of their own spread (MAD). Infinite for one that differs
    where more than half are equal."""
    logs = np.log(values)
    off = logs - np.median(logs)
    spread = float(np.median(np.abs(off)))
    if spread == 0:
        return [float(np.sign(one)) * float("inf") if one else 0.0 for one in off]
    return [float(_TO_SIGMA * one / spread) for one in off]
