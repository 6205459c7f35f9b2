"""Measurements as claims need them: judged, with their samples, each judged once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.results.judged import Judged
from edge.results.stats import Summary
from edge.results.store import Measurement, Store
from edge.results.verdict import Verdict
from profiles.errors import ResultError

if TYPE_CHECKING:
    from edge.results.stats.percentiles import Samples


@dataclass(frozen=True)
class Read:
    """A measurement with what is derived from its samples; `load` reads these (int64 ns): kept, those of thousands of
    measurements are gigabytes."""

    judged: Judged
    load: Callable[[], Samples]

    @property
    def measurement(self) -> Measurement:
        return self.judged.measurement

    @property
    def summary(self) -> Summary:
        return self.judged.summary

    @property
    def verdict(self) -> Verdict:
        return self.judged.verdict

    @property
    def runs(self) -> list[Samples]:
        """The timed samples of each process. Errors: ResultError."""
        samples = self.load()
        places = [process.timed for process in self.measurement.result.processes]
        return [samples[place.offset : place.offset + place.count] for place in places]


class Measurements:
    """Those that claims are held against; another tool's have no samples and are left out. `damaged` are sentences on
    what could not be read."""

    def __init__(self, store: Store, measurements: Iterable[Measurement]) -> None:
        self._store = store
        self._read: dict[str, Read | None] = {}
        self.damaged: list[str] = []
        ours = [one for one in measurements if one.result.processes]
        self.all = sorted(ours, key=lambda one: one.result.started_at, reverse=True)
        """The newest first."""

    @staticmethod
    def named(store: Store, ids: Iterable[str]) -> Measurements:
        found, damaged = [], []
        for name in ids:
            try:
                found.append(store.get(name))
            except ResultError as error:
                damaged.append(str(error))
        among = Measurements(store, found)
        among.damaged += damaged
        return among

    def read(self, measurement: Measurement) -> Read | None:
        """None where its samples are damaged."""
        if measurement.id not in self._read:
            self._read[measurement.id] = self._judged(measurement)
        return self._read[measurement.id]

    def like(self, measurement: Measurement) -> Iterator[Read]:
        """All of the same network on the same device by the same runtime, whatever else differs."""
        cell = measurement.cell
        for one in self.all:
            other = one.cell
            if (other.device, other.model, other.framework, other.backend) == (
                cell.device, cell.model, cell.framework, cell.backend,
            ):  # fmt: skip
                read = self.read(one)
                if read is not None:
                    yield read

    def samples(self, measurement: Measurement) -> Samples:
        """Of one that `read` has. Errors: ResultError."""
        return self._store.samples_ns(measurement)

    def _judged(self, measurement: Measurement) -> Read | None:
        try:
            samples = self._store.samples_ns(measurement)
        except ResultError as error:
            self.damaged.append(str(error))
            return None
        return Read(Judged.from_samples(measurement, samples), functools.partial(self._store.samples_ns, measurement))
