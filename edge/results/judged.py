"""A measurement with all that is derived from its samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.results.foreign import told_summary
from edge.results.stats import Summary, summarise
from edge.results.store import Measurement
from edge.results.verdict import Verdict, judge
from edge.results.watched import Watched

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Judged:
    summary: Summary
    watched: Watched
    verdict: Verdict


def judged(measurement: Measurement, samples: NDArray[np.int64]) -> Judged:
    """`samples` are all of the measurement's, int64."""
    summary, watched = _summary(measurement, samples), Watched(measurement.result, samples)
    return Judged(summary, watched, judge(measurement, summary, watched))


def _summary(measurement: Measurement, samples: NDArray[np.int64]) -> Summary:
    batch, foreign = measurement.cell.batch, measurement.origin.foreign
    if foreign is not None and foreign.told is not None:
        return told_summary(foreign.told, batch)
    soak_bound = measurement.origin.thresholds.steady if measurement.cell.pattern.kind == "soak" else None
    return summarise(measurement.result, samples, batch, soak_bound)
