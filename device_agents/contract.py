"""The types that cross the boundary between the controller and a device: JSON in, JSON out, versioned by SCHEMA.

Times are integer nanoseconds of a monotonic clock (`_ns`) or seconds (`_s`); sizes are bytes. Nothing here names a
path on the device: a spec holds ids and plain file names, and the agent knows the folders.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from typing import Dict, Optional, Tuple, Union

from device_agents.codec import SchemaViolation, dumps, from_json, loads, to_json

__all__ = [
    "ENGINE_FILE",
    "ENGINE_MANIFEST",
    "SCHEMA",
    "BackendReport",
    "DataSet",
    "Dim",
    "DimRange",
    "EngineReport",
    "EngineRequest",
    "EngineUse",
    "ErrorInfo",
    "FileEntry",
    "GivenEngine",
    "JobResult",
    "JobSpec",
    "JobStatus",
    "Layer",
    "LoadPattern",
    "Opinion",
    "ParityCheck",
    "Precision",
    "ProbeReport",
    "ProcessResult",
    "Reading",
    "SampleRange",
    "Scalar",
    "SchemaViolation",
    "ShapeProfile",
    "TensorSpec",
    "Timing",
    "dumps",
    "from_json",
    "loads",
    "to_json",
]

SCHEMA = 1

ENGINE_FILE = "model.engine"
ENGINE_MANIFEST = "engine.json"

Dim = Union[int, str]
"""A dimension of a shape: its size, or the name of one that is free, such as `batch`."""

Scalar = Union[bool, int, float, str]

_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")
_ID = re.compile(r"[a-z0-9][a-z0-9-]{3,127}\Z")
_YEAR_S = 366 * 86_400.0
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


class Precision(str, enum.Enum):
    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class ErrorInfo:
    """One failure, as a sentence can be made of it: what happened, at which stage, where, and what mends it."""

    code: str
    stage: str
    message: str
    where: str = ""
    fix: str = ""


@dataclass(frozen=True)
class TensorSpec:
    """A named tensor. `dtype` is numpy's name; `low` and `high` bound the values an input takes in practice."""

    name: str
    dtype: str
    shape: Tuple[Dim, ...]
    low: float = 0.0
    high: float = 1.0

    def at_batch(self, batch: int) -> TensorSpec:
        """The same tensor with every free dimension set to `batch`; a fixed first dimension must equal it."""
        shape = tuple(batch if isinstance(dim, str) else dim for dim in self.shape)
        if shape and shape[0] != batch:
            raise ValueError(f"tensor {self.name!r} has a fixed batch of {shape[0]}, not {batch}")
        return TensorSpec(self.name, self.dtype, shape, self.low, self.high)


@dataclass(frozen=True)
class FileEntry:
    """A payload file by name, size in bytes and hash. A name is one path component, never a path."""

    name: str
    size: int
    sha256: str

    def __post_init__(self) -> None:
        if not _FILE_NAME.match(self.name):
            raise SchemaViolation("name", f"{self.name[:60]!r} is no plain file name")
        if not _SHA256.match(self.sha256):
            raise SchemaViolation("sha256", "expected 64 hexadecimal digits")
        if self.size < 0:
            raise SchemaViolation("size", "negative")


@dataclass(frozen=True)
class LoadPattern:
    """How inferences are asked for. `serial`: a closed loop, as an application calls. `pipelined`: the next batch is
    enqueued before the last one is awaited, as trtexec does. `rate`: `per_s` arrivals a second, at fixed intervals as
    a camera makes them or, with `poisson`, as requests come; latency counts from the arrival."""

    kind: str = "serial"
    per_s: float = 0.0
    poisson: bool = False

    KINDS = ("serial", "pipelined", "rate")

    def __post_init__(self) -> None:
        if self.kind not in self.KINDS:
            raise SchemaViolation("kind", f"unknown load pattern {self.kind!r}; allowed: {', '.join(self.KINDS)}")
        if self.kind == "rate" and not 0.01 <= self.per_s <= 100_000:
            raise SchemaViolation("per_s", f"{self.per_s:g} arrivals a second are not between 0.01 and 100,000")
        if self.kind != "rate" and (self.per_s or self.poisson):
            raise SchemaViolation("per_s", f"the load pattern {self.kind} has no rate")

    @staticmethod
    def parse(text: str) -> LoadPattern:
        """`serial`, `pipelined`, `rate:FPS` or `rate:FPS,poisson`. Errors: SchemaViolation."""
        kind, _, rate = text.partition(":")
        number, _, arrivals = rate.partition(",")
        if kind != "rate":
            return LoadPattern(text)
        if not re.match(r"[0-9]+(\.[0-9]+)?\Z", number) or arrivals not in ("", "poisson"):
            raise SchemaViolation("kind", f"{text!r} is no rate; write rate:30 or rate:30,poisson")
        return LoadPattern("rate", float(number), arrivals == "poisson")

    def __str__(self) -> str:
        if self.kind != "rate":
            return self.kind
        return f"rate:{self.per_s:g}" + (",poisson" if self.poisson else "")


@dataclass(frozen=True)
class Timing:
    """How long to warm up and to time, per process.

    Warm-up lasts `warmup_s` AND `warmup_iterations` AND until three windows agree, at most `warmup_cap_s`.
    The timed part lasts `duration_s` AND `iterations`, at most `cap_s`.
    """

    processes: int = 5
    warmup_s: float = 1.0
    warmup_iterations: int = 50
    warmup_cap_s: float = 60.0
    duration_s: float = 2.0
    iterations: int = 150
    cap_s: float = 120.0

    def __post_init__(self) -> None:
        if not 1 <= self.processes <= 1000:
            raise SchemaViolation("processes", f"{self.processes} is not between 1 and 1000")
        for name in ("warmup_s", "warmup_iterations", "warmup_cap_s", "duration_s"):
            if getattr(self, name) < 0:
                raise SchemaViolation(name, "negative")
        if not 1 <= self.iterations <= 10_000_000:
            raise SchemaViolation("iterations", f"{self.iterations} is not between 1 and 10,000,000")
        if not 0 < self.cap_s <= 86_400:
            raise SchemaViolation("cap_s", f"{self.cap_s:g} is not between 0 and 86,400 seconds")

    @staticmethod
    def quick() -> Timing:
        """One process, short: for a first look, labelled `within run`."""
        return Timing(processes=1, warmup_cap_s=2.0, cap_s=4.0)


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
class DataSet:
    """The operator's own inputs: an .npz in `artifacts/<artifact>/` with arrays `input:<name>`, samples first, and the
    reference `output:<name>` where there is one. The format is that of golden.npz."""

    artifact: str
    file: FileEntry


@dataclass(frozen=True)
class JobSpec:
    """One cell to measure on one device. `inputs` and `outputs` have concrete shapes, `free_dims` says which names of
    the graph's free dimensions they fix, `graph_inputs` are the inputs as the graph declares them, free dimensions by
    name; `files` are what the artifact folder must hold. The task `build` makes the engine and measures nothing.
    `check_with` names a backend that times the same engine afterwards, as a second opinion."""

    schema: int
    job: str
    backend: str
    artifact: str
    files: Tuple[FileEntry, ...]
    model_file: str
    precision: Precision
    inputs: Tuple[TensorSpec, ...]
    outputs: Tuple[TensorSpec, ...]
    batch: int
    free_dims: Dict[str, int] = field(default_factory=dict)
    pattern: LoadPattern = LoadPattern()
    timing: Timing = Timing()
    golden_file: Optional[str] = None
    parity_limit: Optional[float] = None
    seed: int = 0
    hot_input: bool = False
    transfers: bool = True
    options: Dict[str, Scalar] = field(default_factory=dict)
    deadline_s: float = 3600.0
    lock_timeout_s: float = 600.0
    task: str = "measure"
    graph_inputs: Tuple[TensorSpec, ...] = ()
    engine: EngineRequest = EngineRequest()
    data: Optional[DataSet] = None
    check_with: Optional[str] = None

    TASKS = ("measure", "build")

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise SchemaViolation("schema", f"version {self.schema}; this agent reads {SCHEMA}")
        if self.task not in self.TASKS:
            raise SchemaViolation("task", f"unknown task {self.task!r}; allowed: {', '.join(self.TASKS)}")
        names = {entry.name for entry in self.files}
        for file in (self.model_file, self.golden_file):
            if file is not None and file not in names:
                raise SchemaViolation("files", f"{file!r} is not among the artifact's files")
        self._check_ids()
        self._check_numbers()

    @property
    def folders(self) -> Tuple[str, ...]:
        """What the job needs below `artifacts/`: the model, an engine that was given, the operator's own data."""
        given, data = self.engine.given, self.data
        return (self.artifact, *((given.artifact,) if given else ()), *((data.artifact,) if data else ()))

    def _check_ids(self) -> None:
        given, data = self.engine.given, self.data
        ids = {"job": self.job, "artifact": self.artifact}
        ids.update({"engine.given.artifact": given.artifact} if given else {})
        ids.update({"data.artifact": data.artifact} if data else {})
        for name, value in ids.items():
            if not _ID.match(value):
                raise SchemaViolation(name, f"{value[:60]!r} is no id")

    def _check_numbers(self) -> None:
        if self.batch < 1:
            raise SchemaViolation("batch", f"{self.batch} is not positive")
        if self.seed < 0:
            raise SchemaViolation("seed", f"{self.seed} is negative")
        for name in ("deadline_s", "lock_timeout_s"):
            if not 0 <= getattr(self, name) <= _YEAR_S:
                raise SchemaViolation(name, f"{getattr(self, name):g} is not between 0 seconds and a year")


@dataclass(frozen=True)
class Reading:
    """A field of a device's state: a value with its source, or the reason why it is unknown."""

    value: Optional[Scalar] = None
    source: Optional[str] = None
    unknown: Optional[str] = None

    def __post_init__(self) -> None:
        if (self.value is None) == (self.unknown is None):
            raise ValueError("a reading is a value with its source, or the reason why it is unknown")

    def __str__(self) -> str:
        return str(self.value) if self.unknown is None else "unknown"


@dataclass(frozen=True)
class BackendReport:
    """What a backend can do on this device: its runtime's version or why it is absent, load patterns, options (those
    under `build_options` make another engine), facts worth knowing before it is chosen, whether it builds engines."""

    version: Reading
    patterns: Tuple[str, ...]
    options: Dict[str, str]
    build_options: Dict[str, str] = field(default_factory=dict)
    facts: Dict[str, Reading] = field(default_factory=dict)
    builds: bool = False


@dataclass(frozen=True)
class ProbeReport:
    """What an agent found on its device. `identity` makes measurements comparable, `context` explains them."""

    schema: int
    kind: str
    python: str
    workdir: str
    free_bytes: int
    identity: Dict[str, Reading]
    context: Dict[str, Reading]
    backends: Dict[str, BackendReport]

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise SchemaViolation("schema", f"version {self.schema}; this edgebench reads {SCHEMA}")


@dataclass(frozen=True)
class SampleRange:
    """A run of samples in samples.i64le: offset and count in samples, not bytes."""

    offset: int
    count: int

    def __post_init__(self) -> None:
        if self.offset < 0 or self.count < 0:
            raise ValueError("a sample range has no negative numbers")


@dataclass(frozen=True)
class ParityCheck:
    """The outputs of the timed path against the framework's own FP32 ones; the error measure is export.parity's."""

    error: float
    limit: float
    tensor: str

    @property
    def passed(self) -> bool:
        return self.error <= self.limit


@dataclass(frozen=True)
class ProcessResult:
    """What one fresh process measured. Samples are nanoseconds an inference (a batch), in order, none dropped.

    `parts` are the timed inferences taken apart, a range of as many samples each: h2d, compute, d2h (the device's own
    clock) and enqueue (the host's). `counts` are those of a `rate` pattern: arrivals, late, dropped. `memory` holds
    bytes by what uses them.
    """

    index: int
    import_ns: int
    load_ns: int
    first_inference_ns: int
    warmup: SampleRange
    timed: SampleRange
    elapsed_ns: int
    warmup_stable: bool
    timer_overhead_ns: int
    peak_rss_bytes: int
    seconds: Dict[str, float]
    parity_before: Optional[ParityCheck] = None
    parity_after: Optional[ParityCheck] = None
    state: Dict[str, Reading] = field(default_factory=dict)
    parts: Dict[str, SampleRange] = field(default_factory=dict)
    counts: Dict[str, int] = field(default_factory=dict)
    memory: Dict[str, int] = field(default_factory=dict)

    PARTS = ("h2d", "compute", "d2h", "enqueue")

    def __post_init__(self) -> None:
        for name, part in self.parts.items():
            if name not in self.PARTS:
                raise SchemaViolation("parts", f"unknown part {name!r}; allowed: {', '.join(self.PARTS)}")
            if part.count != self.timed.count:
                raise SchemaViolation("parts", f"{part.count} samples of {name}, {self.timed.count} timed")


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
    builder: str = ""

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise SchemaViolation("schema", f"version {self.schema}; this edgebench reads {SCHEMA}")


@dataclass(frozen=True)
class EngineUse:
    """Which engine a job ran: built for it, or found (`reused`), and why, in a few words."""

    report: EngineReport
    reused: bool
    why: str


@dataclass(frozen=True)
class Opinion:
    """What another tool measured on the same engine: figures in ns by name, and the command that anybody can repeat."""

    tool: str
    version: str
    command: str
    figures_ns: Dict[str, int]
    throughput_per_s: Optional[float] = None
    error: Optional[ErrorInfo] = None


@dataclass(frozen=True)
class JobResult:
    """What came of a job. `identity` is compared between measurements, `context` is shown, `switches` were set.

    `command` is the trtexec command line that would measure the same on that device's version, `layers` are those of
    the engine with their times. A job whose task was to build has no processes.
    """

    schema: int
    job: str
    artifact: str
    backend: str
    started_at: str
    switches: Dict[str, Scalar]
    identity: Dict[str, Reading]
    context: Dict[str, Reading]
    processes: Tuple[ProcessResult, ...]
    samples_count: int
    samples_sha256: str
    seconds: Dict[str, float]
    task: str = "measure"
    engine: Optional[EngineUse] = None
    layers: Tuple[Layer, ...] = ()
    command: str = ""
    opinion: Optional[Opinion] = None

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise SchemaViolation("schema", f"version {self.schema}; this edgebench reads {SCHEMA}")
        if self.task == "build" and self.engine is None:
            raise SchemaViolation("engine", "missing: nothing was built")
        if self.task != "build" and not self.processes:
            raise SchemaViolation("processes", "empty: nothing was measured")
        for process in self.processes:
            if process.timed.count < 1 or process.elapsed_ns < 1:
                raise SchemaViolation("processes", f"process {process.index} timed nothing")
            for part in (process.warmup, process.timed, *process.parts.values()):
                if part.offset + part.count > self.samples_count:
                    raise SchemaViolation("processes", f"process {process.index} points past the last sample")


@dataclass(frozen=True)
class JobStatus:
    """Where a job stands. `boot_id` and `started_ticks` make a pid unmistakable."""

    job: str
    state: str
    pid: int = 0
    started_ticks: int = 0
    boot_id: str = ""
    phase: str = ""
    error: Optional[ErrorInfo] = None

    STATES = ("queued", "running", "done", "failed", "cancelled", "lost")

    def __post_init__(self) -> None:
        if self.state not in self.STATES:
            raise SchemaViolation("state", f"{self.state[:40]!r} is not one of {', '.join(self.STATES)}")
