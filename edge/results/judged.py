"""A measurement with all that is derived from its samples, and without them: thousands are kept at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from edge.results.energy import Energy, NotKnown, energy
from edge.results.foreign import told_summary
from edge.results.stats import Summary, summarise
from edge.results.store import Measurement
from edge.results.verdict import Verdict, judge
from edge.results.watched import Watched

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Its = TypeVar("Its", bound="Judged")


@dataclass(frozen=True)
class Judged:
    """`energy` is what an inference took, or why that is not known."""

    measurement: Measurement
    summary: Summary
    verdict: Verdict
    energy: Energy | NotKnown

    @classmethod
    def from_samples(cls: type[Its], measurement: Measurement, samples: NDArray[np.int64]) -> Its:
        """`samples` are all of the measurement's, int64."""
        summary, watched = _summary(measurement, samples), Watched(measurement.result, samples)
        taken = energy(measurement.result.processes, watched, measurement.cell.batch)
        return cls(measurement, summary, judge(measurement, summary, watched), taken)


def _summary(measurement: Measurement, samples: NDArray[np.int64]) -> Summary:
    batch, foreign = measurement.cell.batch, measurement.origin.foreign
    if foreign is not None and foreign.told is not None:
        return told_summary(foreign.told, batch)
    soak_bound = measurement.origin.thresholds.steady if measurement.cell.pattern.kind == "soak" else None
    return summarise(measurement.result, samples, batch, soak_bound)
