"""What the device did while it was timed, from the series that came with a measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from device_agents.contract import JobResult, Series, Watch

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Track:
    """One quantity over a stretch of time: `times_ns` of the clock of the latencies, int64, and as many `values` in
    `unit`, float64."""

    name: str
    unit: str
    source: str
    times_ns: NDArray[np.int64]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def least(self) -> float:
        return float(self.values.min())

    @property
    def mean(self) -> float:
        return float(self.values.mean())

    @property
    def most(self) -> float:
        return float(self.values.max())

    @property
    def rise(self) -> float:
        """From the first value to the last: what a counter has counted."""
        return float(self.values[-1] - self.values[0])


class Watched:
    """The series of a measurement, cut to the times that matter. `samples` are all of its samples, int64."""

    def __init__(self, result: JobResult, samples: NDArray[np.int64]) -> None:
        self.watch: Watch | None = result.watch
        self._processes = result.processes
        self._samples = samples
        self._series = {series.name: series for series in result.watch.series} if result.watch else {}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._series)

    def whole(self, name: str) -> Track | None:
        """All of a series, from before the first process to after the last; None for what was not watched."""
        series = self._series.get(name)
        return None if series is None else self._track(series)

    def timed(self, name: str) -> list[Track]:
        """What fell into the timed part of each process; processes into which nothing fell are left out."""
        whole = self.whole(name)
        if whole is None:
            return []
        spans = [(process.began_ns, process.began_ns + process.elapsed_ns) for process in self._processes]
        tracks = [_between(whole, begin, end) for begin, end in spans if begin]
        return [track for track in tracks if len(track)]

    def during(self, name: str) -> Track | None:
        """What fell into all timed parts, one after another; None where nothing did. Not for counters."""
        tracks = self.timed(name)
        if not tracks:
            return None
        times, values = (np.concatenate([getattr(one, part) for one in tracks]) for part in ("times_ns", "values"))
        return Track(name, tracks[0].unit, tracks[0].source, times, values)

    def idle(self, name: str) -> Track | None:
        """What fell into the idle window before the first process; None where nothing did."""
        whole, watch = self.whole(name), self.watch
        if whole is None or watch is None:
            return None
        track = _between(whole, watch.idle_from_ns, watch.idle_until_ns)
        return track if len(track) else None

    def why_unknown(self, name: str) -> str:
        """Why a quantity was not watched."""
        if self.watch is None:
            return "this device was not watched while it was timed"
        return self.watch.unknown.get(name, "it is not told there")

    def _track(self, series: Series) -> Track:
        times, values = (
            self._samples[part.offset : part.offset + part.count] for part in (series.times, series.values)
        )
        return Track(series.name, series.unit, series.source, times, values / series.per_unit)


def _between(track: Track, begin_ns: int, end_ns: int) -> Track:
    first, last = np.searchsorted(track.times_ns, (begin_ns, end_ns))
    return Track(track.name, track.unit, track.source, track.times_ns[first:last], track.values[first:last])
