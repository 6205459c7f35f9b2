"""How the samples of a measurement are spread: quantiles for a curve, and percentiles with what supports them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edge.report.page.numbers import ms, several
from edge.results.stats import SUPPORT, percentile

if TYPE_CHECKING:
    from edge.results.stats.percentiles import Samples


def quantiles_ms(timed_ns: Samples, points: int) -> list[float | None]:
    """So many samples, evenly spaced in their order from the least to the most; all of them where there are fewer."""
    places = np.unique(np.linspace(0, len(timed_ns) - 1, min(points, len(timed_ns))).round().astype(np.int64))
    return several(np.sort(timed_ns)[places] / 1e6)


def percentiles(timed_ns: Samples) -> list[dict[str, Any]]:
    """Each with how many samples it takes; its value is None where there are fewer."""
    return [
        {"p": p, "ms": ms(percentile(timed_ns, p)) if len(timed_ns) >= needed else None, "needs": needed}
        for p, needed in SUPPORT.items()
    ]
