"""What a file of another tool tells, before it is a measurement of the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from device_agents.contract import Layer, LoadPattern, Precision, Reading, Scalar
from edge.results.foreign import Told


@dataclass(frozen=True)
class Read:
    """`tool` with its version. Latencies and parts in ns, in order; without any, `told` are the tool's own figures.
    `elapsed_ns` is the time that the latencies were measured in; where the tool tells its throughput, that goes first.
    What is None, 0 or empty, the file does not tell."""

    tool: str
    backend: str
    framework: str = ""
    model: str = ""
    batch: int | None = None
    precision: Precision | None = None
    pattern: LoadPattern | None = None
    latencies_ns: Sequence[int] = ()
    parts_ns: Mapping[str, Sequence[int]] = field(default_factory=dict)
    elapsed_ns: int = 0
    images_per_s: float | None = None
    load_ns: int = 0
    first_inference_ns: int = 0
    peak_rss_bytes: int = 0
    memory: Mapping[str, int] = field(default_factory=dict)
    told: Told | None = None
    layers: Sequence[Layer] = ()
    switches: Mapping[str, Scalar] = field(default_factory=dict)
    context: Mapping[str, Reading] = field(default_factory=dict)
    processes: int | None = None
    started_at: str = ""
    command: str = ""
