"""Engines: which one is wanted, what one is, which one was used."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, Optional, Tuple

from device_agents.codec import SchemaViolation
from device_agents.contract.terms import SCHEMA, FileEntry, Precision, Reading, Scalar

ENGINE_FILE = "model.engine"
ENGINE_MANIFEST = "engine.json"


@dataclass(frozen=True)
class DimRange:
    """What an optimization profile allows for a free dimension, and the size that it is tuned for."""

    min: int
    opt: int
    max: int

    def __post_init__(self) -> None:
        if not 1 <= self.min <= self.opt <= self.max <= 65_536:
            raise SchemaViolation("min", f"{self} is not 1 <= min <= opt <= max <= 65,536")

    def __str__(self) -> str:
        return f"{self.min}:{self.opt}:{self.max}"


ShapeProfile = Dict[str, DimRange]
"""One optimization profile: the range of every free dimension, by its name in the graph."""


@dataclass(frozen=True)
class GivenEngine:
    """An engine that another machine built, to be loaded as it is: the file in `artifacts/<artifact>/` whose hash the
    operator's manifest holds. `builder` is the device that the operator named."""

    artifact: str
    file: FileEntry
    builder: str


@dataclass(frozen=True)
class EngineRequest:
    """Which engine a job wants, where its backend builds one. `profiles` are optimization profiles; without any, the
    engine is built for the job's own shapes. `build` numbers several builds of the same engine: they share no timing
    cache. `rebuild` passes over what is cached; `given` is loaded instead of anything that is built here."""

    profiles: Tuple[ShapeProfile, ...] = ()
    build: int = 0
    rebuild: bool = False
    given: Optional[GivenEngine] = None

    def __post_init__(self) -> None:
        if self.build < 0:
            raise SchemaViolation("build", f"{self.build} is negative")


@dataclass(frozen=True)
class Layer:
    """A layer of an engine as its inspector tells it: the ONNX nodes it came from, the type it computes in (`fp16`,
    `fp32`, `int8`, `mixed`, `unknown` ...), its mean time an inference in a profiling run of its own."""

    name: str
    precision: str
    kind: str = ""
    nodes: Tuple[str, ...] = ()
    time_ns: Optional[int] = None


@dataclass(frozen=True)
class EngineReport:
    """An engine and how it was made: its manifest on the device, and in the result of every job that used it.

    `key` names the engine in the cache of the device that built it. `made_of` is what the key hashes: artifact,
    runtime with its version, GPU, driver, power mode, shapes, typing, options, recipe. `context` is what it does not:
    clocks at build, free memory. `seconds` by phase of the build; `device_memory_bytes` is what an execution needs.
    """

    schema: int
    key: str
    artifact: str
    file: FileEntry
    runtime: str
    runtime_version: str
    precision: Precision
    built_at: str
    made_of: Dict[str, Scalar]
    profiles: Tuple[ShapeProfile, ...] = ()
    context: Dict[str, Reading] = field(default_factory=dict)
    seconds: Dict[str, float] = field(default_factory=dict)
    device_memory_bytes: Optional[int] = None
    warnings: Tuple[str, ...] = ()
    layers: Tuple[Layer, ...] = ()

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise SchemaViolation("schema", f"version {self.schema}; this edgebench reads {SCHEMA}")


@dataclass(frozen=True)
class EngineUse:
    """Which engine a job ran: built for it, or found (`reused`), and why, in a few words."""

    report: EngineReport
    reused: bool
    why: str
