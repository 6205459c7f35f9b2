"""The least time that physics leaves a batch: what must be computed over the device's peak, what must be read over its
bandwidth. 1 MAC is 2 operations; peaks are the dense ones of the device's power mode."""

from __future__ import annotations

from dataclasses import dataclass

from device_agents.contract import Precision
from edge.results.energy import NotKnown
from edge.results.store import Measurement
from export.artifact import GraphFacts
from profiles.schema import Peak

COMPUTE, MEMORY = "compute", "memory"
_POWER_MODE = "power_mode"


@dataclass(frozen=True)
class Floor:
    """`bound` says whether computing or memory sets it; `memory` is why memory has no part in it, "" where it has.
    `source` is where the peaks are written."""

    ns: float
    bound: str
    source: str
    memory: str = ""


def floor(measurement: Measurement, graph: GraphFacts, peaks: tuple[Peak, ...]) -> Floor | NotKnown:
    """Of one inference of a measurement, in the power mode that the device was in."""
    if measurement.cell.pattern.sizes:
        return NotKnown("sizes were drawn, and each has a floor of its own")
    if not peaks:
        return NotKnown(f"the profile {measurement.origin.device_profile} has no published peak")
    reading, cell = measurement.result.identity.get(_POWER_MODE), measurement.cell
    mode = None if reading is None or reading.value is None else str(reading.value)
    return floor_of(graph, cell.batch, cell.precision, peaks, mode)


def floor_of(
    graph: GraphFacts, batch: int, precision: Precision, peaks: tuple[Peak, ...], mode: str | None
) -> Floor | NotKnown:
    """Of one inference of a batch in the power mode `mode`. FP32 has the peak of FP16, which no FP32 computing
    passes."""
    if precision is Precision.INT8:
        return NotKnown("the device's profile has no peak of INT8")
    if graph.macs is None:
        return NotKnown(graph.unknown.get("macs", "the graph's operations were not counted"))
    peak = next((one for one in peaks if one.power_mode is None or one.power_mode == mode), None)
    if peak is None:
        return NotKnown(f"no peak is published of the power mode {mode or 'which the device did not tell'}")
    compute_ns = 2.0 * graph.macs * batch / (peak.fp16_tflops * 1e3)
    memory = _memory_ns(graph, peak, batch)
    if isinstance(memory, NotKnown):
        return Floor(compute_ns, COMPUTE, peak.source, memory.reason)
    return Floor(max(compute_ns, memory), COMPUTE if compute_ns >= memory else MEMORY, peak.source)


def _memory_ns(graph: GraphFacts, peak: Peak, batch: int) -> float | NotKnown:
    """What fits into the last cache need not cross the bus again from one inference to the next."""
    least = graph.least_bytes(batch)
    if least is None:
        return NotKnown("the bytes that it must read were not counted")
    if peak.last_cache_mb is None:
        return NotKnown("how much its last cache holds is not in the profile")
    return max(0.0, least - peak.last_cache_mb * 1e6) / peak.memory_gb_s
