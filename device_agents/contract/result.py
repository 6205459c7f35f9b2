"""What comes back: what an agent found on its device, and what it measured there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Dict, Optional, Tuple

from device_agents.codec import SchemaViolation
from device_agents.contract.engines import EngineUse, Layer
from device_agents.contract.labelled import Accuracy
from device_agents.contract.terms import SCHEMA, ErrorInfo, Reading, Scalar
from device_agents.contract.watch import SampleRange, Watch


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
class GpuReport:
    """A GPU that work can be pinned to, as nvidia-smi tells it: a board, or a MIG instance of one, whose load and
    memory nobody tells. `board` is the UUID of the board; `busy_share` is 0 to 1."""

    index: int
    uuid: str
    name: str
    board: str
    processes: int = 0
    memory_used_bytes: Optional[int] = None
    busy_share: Optional[float] = None

    @property
    def is_instance(self) -> bool:
        """Whether it is a MIG instance."""
        return self.uuid != self.board


@dataclass(frozen=True)
class ProbeReport:
    """What an agent found on its device. `identity` makes measurements comparable, `context` explains them, `gpus` are
    all that work could be pinned to."""

    schema: int
    kind: str
    python: str
    workdir: str
    free_bytes: int
    identity: Dict[str, Reading]
    context: Dict[str, Reading]
    backends: Dict[str, BackendReport]
    gpus: Tuple[GpuReport, ...] = ()

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise SchemaViolation("schema", f"version {self.schema}; this edgebench reads {SCHEMA}")


@dataclass(frozen=True)
class ParityCheck:
    """The outputs of the timed path against the framework's own FP32 ones, by export.judging.parity's measure."""

    error: float
    limit: float
    tensor: str

    @property
    def passed(self) -> bool:
        return self.error <= self.limit


COUNTED = ("compilations", "graph_breaks", "recompiles", "retraces")
"""Readings of a process that runtimes count: what was compiled before timing, where a compiled network falls back to
Python, and what was compiled or traced again although it had been before. A result's context has the most of any
process."""


@dataclass(frozen=True)
class ProcessResult:
    """What one fresh process measured. Samples are nanoseconds an inference (a batch), in order, none dropped.

    `warmup_stable` is None, and `first_inference_ns` 0, where a tool that times by itself does not tell.
    `parts` are the timed inferences taken apart, a range of as many samples each: h2d, compute, d2h (the device's own
    clock) and enqueue (the host's). `counts` are those of a `rate` pattern: arrivals, late, dropped, with a time-out
    `timeout_ns`. `memory` holds bytes by what uses them. `state` is what the device was before and after, what the
    runtime counted, and whether the backend waited. `began_ns`, of the latencies' clock, is when the timed part began
    (0: not known). `sizes` is one side in pixels of the images of each timed inference, where the load pattern draws
    them. `accuracy` is that of the labelled images, where this process had them.

    `seconds` are by phase. Those from `interpreter` (from when the kernel made the process, to 10 ms) to
    `first_inference` are an application's as well, or edgebench's own: `start` (the agent's), `memory` (reading
    `stages`), `golden`, `inspect`, `inputs`.
    `stages` hold bytes at the end of each of STAGES that there was. Of the process `rss` and `rss_peak`, the most
    within the stage (`memory_peaks` of the state says how that was seen); of the GPU `device`, in use on all of it, and
    `device_process` of that by this process; on a Jetson, which shares its memory, `available` of the system; and what
    the runtime tells of its own, as in `memory`. Of a tool that runs inferences in a process of its own there are none.
    """

    index: int
    import_ns: int
    load_ns: int
    first_inference_ns: int
    warmup: SampleRange
    timed: SampleRange
    elapsed_ns: int
    warmup_stable: Optional[bool]
    timer_overhead_ns: int
    peak_rss_bytes: int
    seconds: Dict[str, float]
    parity_before: Optional[ParityCheck] = None
    parity_after: Optional[ParityCheck] = None
    state: Dict[str, Reading] = field(default_factory=dict)
    parts: Dict[str, SampleRange] = field(default_factory=dict)
    counts: Dict[str, int] = field(default_factory=dict)
    memory: Dict[str, int] = field(default_factory=dict)
    began_ns: int = 0
    sizes: Optional[SampleRange] = None
    stages: Dict[str, Dict[str, int]] = field(default_factory=dict)
    accuracy: Optional[Accuracy] = None

    STAGES: ClassVar[Tuple[str, ...]] = (
        "baseline",
        "import",
        "golden",
        "load",
        "compile",
        "inputs",
        "first_inference",
        "check",
        "timed",
    )
    OWN_STAGES: ClassVar[Tuple[str, ...]] = ("golden", "inputs", "check")
    """What edgebench does for itself: reading golden samples, making inputs in rotation, checking outputs."""
    PARTS = ("h2d", "compute", "d2h", "enqueue")

    def __post_init__(self) -> None:
        for name, part in self.parts.items():
            if name not in self.PARTS:
                raise SchemaViolation("parts", f"unknown part {name!r}; allowed: {', '.join(self.PARTS)}")
            if part.count != self.timed.count:
                raise SchemaViolation("parts", f"{part.count} samples of {name}, {self.timed.count} timed")
        if self.sizes is not None and self.sizes.count != self.timed.count:
            raise SchemaViolation("sizes", f"{self.sizes.count} sizes, {self.timed.count} timed")

    @property
    def ranges(self) -> Tuple[SampleRange, ...]:
        """Of all that it has among the samples."""
        return (self.warmup, self.timed, *self.parts.values(), *((self.sizes,) if self.sizes else ()))


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
class Controlled:
    """Something that was changed on the device for a job: what it showed before, while the job ran, and after it was
    put back. `problem` says why it was not."""

    name: str
    before: str
    during: str
    after: str
    problem: str = ""


@dataclass(frozen=True)
class ControlReport:
    """What a job may change on the device: of each knob why it cannot be turned there, "" where it can; the line of
    sudoers and the command for root's folder that are missing for it, "" for none."""

    knobs: Dict[str, str]
    rule: str = ""
    folder: str = ""


@dataclass(frozen=True)
class JobResult:
    """What came of a job. `identity` is compared between measurements, `context` is shown, `switches` were set.

    `command` is the trtexec command line that would measure the same on that device's version, `layers` are those of
    the engine with their times. A job whose task was to build has no processes, nor need the result of a tool that is
    not ours have any (`foreign`: no agent makes one).
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
    watch: Optional[Watch] = None
    controlled: Tuple[Controlled, ...] = ()

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise SchemaViolation("schema", f"version {self.schema}; this edgebench reads {SCHEMA}")
        if self.task == "build" and self.engine is None:
            raise SchemaViolation("engine", "missing: nothing was built")
        if self.task not in ("build", "foreign") and not self.processes:
            raise SchemaViolation("processes", "empty: nothing was measured")
        for process in self.processes:
            if process.timed.count < 1 or process.elapsed_ns < 1:
                raise SchemaViolation("processes", f"process {process.index} timed nothing")
            self._check_ranges(f"process {process.index}", *process.ranges)
        for series in self.watch.series if self.watch else ():
            self._check_ranges(f"the series {series.name}", series.times, series.values)

    def _check_ranges(self, whose: str, *ranges: SampleRange) -> None:
        if any(part.offset + part.count > self.samples_count for part in ranges):
            raise SchemaViolation("samples_count", f"{whose} points past the last sample")
