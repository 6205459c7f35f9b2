"""What `results show` says of another tool's measurement: what its file told, and no more."""

from __future__ import annotations

from collections.abc import Iterator

from edge.report.engines import size
from edge.report.readings import Line, section, told_ms
from edge.report.rows import Row
from edge.results.foreign import Foreign
from edge.results.store import Measurement


def run(row: Row) -> Iterator[Line]:
    """How it was measured, as far as that is known."""
    summary = row.summary
    yield "load ms", told_ms(summary.load_ns)
    yield "first inference ms", told_ms(summary.first_inference_ns)
    where = "how many processes is not told" if row.processes is None else f"{row.processes} process"
    yield "samples", f"{summary.samples}, {where}; warm-up, parity and the device's state are not told"
    peak = max((process.peak_rss_bytes for process in row.measurement.result.processes), default=0)
    if peak:
        yield "peak process memory", size(peak)
    for name, count in row.memory.items():
        yield f"memory: {name.replace('_', ' ')}", size(count)


def provenance(foreign: Foreign, measurement: Measurement) -> Iterator[Line]:
    """The file, by its hash."""
    yield "foreign", f"{foreign.tool}, from {foreign.file} (SHA-256 {foreign.sha256[:12]}), read as {foreign.read_as}"
    yield "read by", f"edgebench {measurement.origin.edgebench}, {measurement.collected_at}"
    yield "started at", measurement.result.started_at or "not told"
    yield from section("switches", measurement.result.switches)
    yield from section("context", measurement.result.context)
