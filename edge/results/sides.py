"""One side of a comparison: measurements of one request, and what each of their processes says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge.results.energy import Energy, NotKnown
from edge.results.judged import Judged
from edge.results.stats import percentile, supported
from edge.results.verdict import Status
from profiles.errors import ConfigError

if TYPE_CHECKING:
    from edge.planning.plan import Cell
    from edge.results.stats.percentiles import Samples


@dataclass(frozen=True)
class Side:
    """Measurements of one request (several, where it was repeated), pooled by process. Of each process: `medians_ns`
    (empty where inferences overlap, and a latency is none), `p99s_ns`, samples a second, joules an inference (empty
    where they are not known). `p99_ns` is that of all samples, None where they do not support one."""

    measurements: tuple[Judged, ...]
    medians_ns: tuple[float, ...]
    p99s_ns: tuple[float, ...]
    p99_ns: int | None
    throughputs: tuple[float, ...]
    joules: tuple[float, ...]

    @property
    def cell(self) -> Cell:
        return self.measurements[0].measurement.cell

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(one.measurement.id for one in self.measurements)

    @property
    def invalid(self) -> tuple[Judged, ...]:
        return tuple(one for one in self.measurements if one.verdict.status is Status.INVALID)


def side(judged: Sequence[Judged], samples: Sequence[Samples]) -> Side:
    """Of measurements and their samples, int64 ns. Errors: ConfigError for one of another tool that kept no samples."""
    for one in judged:
        if not one.measurement.result.processes:
            message = f"{one.measurement.cell.label} has figures and no samples, which have no interval"
            raise ConfigError(message, where=one.measurement.id[:8], fix="look at both with `edgebench results show`")
    runs = [_runs(one, its) for one, its in zip(judged, samples, strict=True)]
    flat = [run for its in runs for run in its]
    latencies = all(one.summary.median is not None for one in judged)
    return Side(
        measurements=tuple(judged),
        medians_ns=tuple(float(percentile(run, 50.0)) for run in flat) if latencies else (),
        p99s_ns=tuple(float(percentile(run, 99.0)) for run in flat) if latencies else (),
        p99_ns=supported(np.concatenate(flat), 99.0) if latencies else None,
        throughputs=tuple(
            one.measurement.cell.batch * process.timed.count / (process.elapsed_ns / 1e9)
            for one in judged
            for process in one.measurement.result.processes
        ),
        joules=_joules([one.energy for one in judged]),
    )


def _runs(judged: Judged, samples: Samples) -> list[Samples]:
    places = [process.timed for process in judged.measurement.result.processes]
    return [samples[place.offset : place.offset + place.count] for place in places]


def _joules(taken: Sequence[Energy | NotKnown]) -> tuple[float, ...]:
    known = [one for one in taken if isinstance(one, Energy)]
    return tuple(joules for one in known for joules in one.per_process_j) if len(known) == len(taken) else ()
