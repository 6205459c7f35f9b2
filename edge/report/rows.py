"""One measurement as a row: figures with their units, verdict and reasons, for tables and for `--json` (row_json)."""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from device_agents.contract import Accuracy
from edge.results.cost import Cost
from edge.results.cost import of as cost_of
from edge.results.energy import NotKnown
from edge.results.foreign import Foreign
from edge.results.judged import Judged
from edge.results.loading import Loading
from edge.results.loading import of as loading_of
from edge.results.memory import Memory
from edge.results.memory import of as memory_of
from edge.results.special import numbered, special
from edge.results.stats import Estimate, Share, Summary, milliseconds
from edge.results.store import Measurement, Store
from edge.results.verdict import Verdict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLOCKS = {
    "h2d": "the device's clock",
    "compute": "the device's clock",
    "d2h": "the device's clock",
    "enqueue": "the host's clock",
}
FIVE = 5
_PHASES = ("import", "load", "first_inference", "parity_before", "warmup", "timed", "parity_after")


@dataclass(frozen=True)
class Row(Judged):
    """What tables and details tell of a measurement."""

    @property
    def runtime(self) -> str:
        """What the result is labelled with: the backend, and whose engine it ran where another runtime built that."""
        backend, engine = self.measurement.cell.backend, self.measurement.result.engine
        built_by = engine.report.runtime if engine else backend
        return backend if built_by == backend else f"{backend} on an engine of {built_by}"

    @property
    def runtime_version(self) -> str:
        """Of the backend on that device; empty where an early result does not tell."""
        return str(self.measurement.result.switches.get("runtime_version", ""))

    @property
    def foreign(self) -> Foreign | None:
        """Where it comes from, if another tool measured it."""
        return self.measurement.origin.foreign

    @property
    def processes(self) -> int | None:
        """None where a foreign file does not tell."""
        return self.summary.processes if self.foreign is None else self.foreign.processes

    @property
    def pattern(self) -> str | None:
        """None where a foreign file does not tell."""
        return str(self.measurement.cell.pattern) if self.foreign is None else self.foreign.pattern

    @property
    def memory(self) -> dict[str, int]:
        """Bytes by what uses them, the most of all processes."""
        found: dict[str, int] = {}
        for process in self.measurement.result.processes:
            for name, size in process.memory.items():
                found[name] = max(size, found.get(name, 0))
        return found

    @functools.cached_property
    def loading(self) -> Loading | NotKnown:
        """From the start of each process to its first answer."""
        return loading_of(self.measurement)

    @functools.cached_property
    def footprint(self) -> Memory | NotKnown:
        """What process and device held, by stage."""
        return memory_of(self.measurement)

    @functools.cached_property
    def cost(self) -> Cost | NotKnown:
        """At the measured throughput."""
        return cost_of(self.measurement, self.summary)

    @property
    def accuracy(self) -> Accuracy | None:
        """Of the operator's labelled images, which the last process had."""
        return next((one.accuracy for one in self.measurement.result.processes if one.accuracy is not None), None)

    @property
    def measuring_s(self) -> float:
        """Seconds that were spent loading, checking, warming up and timing, over all processes."""
        return sum(process.seconds.get(name, 0.0) for process in self.measurement.result.processes for name in _PHASES)

    @property
    def waited_s(self) -> float:
        """Seconds for which somebody else held the accelerator."""
        return self.measurement.result.seconds.get("waited", 0.0)


def specials(rows: Sequence[Row]) -> list[list[str]]:
    """`special` of every row; where several sets of the operator's data were timed, with the first digits of each."""
    cells = [row.measurement.cell for row in rows]
    several = len({cell.inputs for cell in cells if cell.inputs}) > 1
    return [special(cell, numbered(cell)) if several else special(cell) for cell in cells]


def read(store: Store, measurement_id: str) -> Row:
    """Errors: ResultError when the measurement is missing or damaged."""
    measurement = store.get(measurement_id)
    return Row.from_samples(measurement, store.samples_ns(measurement))


class Rows:
    """Rows of measurements, made in the thread of each device when one comes: those of thousands of cells, made at the
    end, are a minute in which nothing is measured."""

    def __init__(self, results: Store) -> None:
        self._results = results
        self._rows: dict[str, Row] = {}
        self._making = threading.Lock()  # in turn: a hundred at once take longer, as they fight for the interpreter

    def judge(self, measurement: Measurement, samples: NDArray[np.int64]) -> Verdict:
        """`samples` are all of the measurement's, int64."""
        with self._making:
            row = self._rows[measurement.id] = Row.from_samples(measurement, samples)
        return row.verdict

    def of(self, measurement: str) -> Row:
        """Errors: ResultError when the measurement is missing or damaged."""
        return self._rows.get(measurement) or read(self._results, measurement)


def interval(estimate: Estimate | None, samples: int) -> str:
    """In ms: `12.31 ±0.40`; `12.31 ~0.40` where approximate; `12.31` where one process says nothing of the next;
    `- (n=150)` where the samples do not support the figure."""
    if estimate is None:
        return f"- (n={samples})"
    value = milliseconds(estimate.value_ns)
    if estimate.half_width_ns is None:
        return value
    about = "~" if estimate.approximate else "±"
    return f"{value} {about}{milliseconds(estimate.half_width_ns)}"


def rate(per_s: float) -> str:
    """Images a second; `-` where a foreign file does not tell."""
    return "-" if math.isnan(per_s) else f"{per_s:.1f}"


def late(summary: Summary) -> str:
    """Of a rate with a time-out: `2.0% (1.3% to 3.1%) of 980 answers later than 50.00 ms`; empty without one."""
    timeout = milliseconds(summary.counts.get("timeout_ns", 0))
    return "" if summary.late is None else f"{summary.late} of {summary.samples} answers later than {timeout} ms"


def top1(accuracy: Accuracy) -> Share:
    return Share(accuracy.top1, accuracy.images)


def top5(accuracy: Accuracy) -> Share | None:
    """None of a model whose classes are no more than five: it is right whatever it says."""
    return Share(accuracy.top5, accuracy.images) if accuracy.classes > FIVE else None


def right(accuracy: Accuracy | None) -> str:
    """`top-1 70.0% (57.4% to 80.2%), top-5 90.0% (79.9% to 95.3%) of 60 images`; empty for none."""
    if accuracy is None:
        return ""
    five = top5(accuracy)
    return f"top-1 {top1(accuracy)}{'' if five is None else f', top-5 {five}'} of {accuracy.images} images"
