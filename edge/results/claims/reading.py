"""Measurements as claims need them: judged, with their samples, each read once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.results.judged import judged
from edge.results.stats import Summary
from edge.results.store import Measurement, Store
from edge.results.verdict import Verdict
from edge.results.watched import Watched
from profiles.errors import ResultError

if TYPE_CHECKING:
    from edge.results.stats.percentiles import Samples


@dataclass(frozen=True)
class Read:
    """A measurement, what is derived from its samples, and all of these (int64 ns)."""

    measurement: Measurement
    summary: Summary
    verdict: Verdict
    watched: Watched
    samples: Samples

    @property
    def runs(self) -> list[Samples]:
        """The timed samples of each process."""
        places = [process.timed for process in self.measurement.result.processes]
        return [self.samples[place.offset : place.offset + place.count] for place in places]


class Measurements:
    """Those that claims are held against; another tool's have no samples and are left out. `damaged` are sentences on
    what could not be read."""

    def __init__(self, store: Store, ids: Iterable[str]) -> None:
        self._store = store
        self._read: dict[str, Read] = {}
        self.damaged: list[str] = []
        found = [one for name in ids if (one := self._get(name)) is not None and one.result.processes]
        self.all = sorted(found, key=lambda one: one.result.started_at, reverse=True)
        """The newest first."""

    def read(self, measurement: Measurement) -> Read | None:
        """None where its samples are damaged."""
        if measurement.id not in self._read:
            try:
                samples = self._store.samples_ns(measurement)
            except ResultError as error:
                self.damaged.append(str(error))
                return None
            its = judged(measurement, samples)
            self._read[measurement.id] = Read(measurement, its.summary, its.verdict, its.watched, samples)
        return self._read[measurement.id]

    def _get(self, name: str) -> Measurement | None:
        try:
            return self._store.get(name)
        except ResultError as error:
            self.damaged.append(str(error))
            return None
