"""What the artifacts of measurements cost to compute, as far as they are still here."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from edge.planning import sizes
from edge.report.page.numbers import ms, short
from edge.results.energy import NotKnown
from edge.results.floor import Floor, floor
from edge.results.store import Measurement
from export.artifact import Artifact
from export.artifact import Store as Artifacts
from profiles.errors import EdgebenchError
from profiles.load import device_profile
from profiles.schema import Peak


class Graphs:
    """Looks each artifact and each profile up once."""

    def __init__(self, artifacts: Path) -> None:
        self._artifacts = Artifacts(artifacts)
        self._made = functools.cache(self._read)

    def floor(self, measurement: Measurement, median_ns: float | None) -> dict[str, Any]:
        """For the page: the floor in ms and how many times as long the median is, or why there is none."""
        found = self._of(measurement)
        if isinstance(found, NotKnown):
            return {"why": found.reason}
        return {
            "ms": ms(found.ns),
            "times": short(median_ns / found.ns) if median_ns and found.ns else None,
            "bound": found.bound,
            "source": found.source,
            "memory": found.memory,
        }

    def _of(self, measurement: Measurement) -> Floor | NotKnown:
        if measurement.origin.foreign is not None:
            return NotKnown("another tool measured it")
        made = self._made(measurement.origin.artifact)
        if isinstance(made, NotKnown):
            return made
        counted, size = sizes.own(made), measurement.cell.size
        if size is not None and counted is not None and size != counted:
            return NotKnown(f"its operations were counted at {sizes.told(counted)}")
        return floor(measurement, made.graph, _peaks(measurement.origin.device_profile))

    def _read(self, artifact: str) -> Artifact | NotKnown:
        try:
            return self._artifacts.get(artifact)
        except EdgebenchError:
            return NotKnown("the artifact, which tells its operations, is not here any more")


@functools.cache
def _peaks(profile: str) -> tuple[Peak, ...]:
    try:
        return device_profile(profile).peaks
    except EdgebenchError:
        return ()
