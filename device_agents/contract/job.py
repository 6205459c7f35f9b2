"""What a device is asked to do, and where that stands."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from device_agents.codec import SchemaViolation
from device_agents.contract.engines import EngineRequest
from device_agents.contract.labelled import Labelled
from device_agents.contract.pattern import LoadPattern
from device_agents.contract.terms import SCHEMA, ErrorInfo, FileEntry, Precision, Reading, Scalar, TensorSpec

_ID = re.compile(r"[a-z0-9][a-z0-9-]{3,127}\Z")
_DAY_S = 86_400.0
_YEAR_S = 366 * _DAY_S
_EACH_SIZE = 100  # inferences of a process, where it draws sizes


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
        if not 0 < self.cap_s <= _DAY_S:
            raise SchemaViolation("cap_s", f"{self.cap_s:g} is not between 0 and 86,400 seconds")

    def for_pattern(self, pattern: LoadPattern, processes: Optional[int] = None) -> Timing:
        """As it is for that load, in so many processes: a soak has its own duration, and one process unless more are
        asked; where sizes are drawn, each is to come up about 100 times, and has the cap that it has alone. Errors:
        SchemaViolation."""
        if pattern.kind == "soak":
            long_s = pattern.soak_s
            return replace(self, processes=processes or 1, duration_s=long_s, iterations=1, cap_s=long_s)
        if pattern.kind == "sizes":
            iterations = max(self.iterations, _EACH_SIZE * len(pattern.sizes))
            cap_s = min(_DAY_S, self.cap_s * len(pattern.sizes))
            return replace(self, processes=processes or self.processes, iterations=iterations, cap_s=cap_s)
        return self if processes is None else replace(self, processes=processes)

    @staticmethod
    def chosen(quick: bool) -> Timing:
        """For a first look, or for a figure."""
        return Timing.quick() if quick else Timing()

    @staticmethod
    def quick() -> Timing:
        """One process, short: for a first look, labelled `within run`."""
        return Timing(processes=1, warmup_cap_s=2.0, cap_s=4.0)


@dataclass(frozen=True)
class Container:
    """Where a job's workers run, started anew for each: an image, and the `options` that `ENGINE run` gets for it (what
    is mounted, GPUs, environment). `identity` is what the result says of it in place of the host's own readings."""

    engine: str
    image: str
    python: str
    options: Tuple[str, ...] = ()
    identity: Dict[str, Reading] = field(default_factory=dict)

    def argv(self, arguments: Sequence[str], name: str, environment: Mapping[str, str]) -> List[str]:
        """The command line that runs `python arguments` in a container of this name, which is gone when it ends. An
        image that is not there is an error, not a download in the midst of a measurement."""
        settings = [f"--env={key}={value}" for key, value in environment.items()]
        run = [self.engine, "run", "--rm", "--interactive", "--pull=never", f"--name={name}", *self.options]
        return [*run, *settings, self.image, self.python, *arguments]


@dataclass(frozen=True)
class Control:
    """What a job changes on its device and puts back when it ends, however it ends: clocks held at their highest, the
    power mode of that name, a driver that stays loaded, a product that is stopped by `quiesce` and started by `resume`
    (argv, run as the user of the device). `shared` measures beside that product on purpose."""

    lock_clocks: bool = False
    power_mode: Optional[str] = None
    persistence: bool = False
    quiesce: Tuple[str, ...] = ()
    resume: Tuple[str, ...] = ()
    shared: bool = False

    def __post_init__(self) -> None:
        if bool(self.quiesce) != bool(self.resume):
            raise SchemaViolation("resume", "quiesce and resume come together: what is stopped is started again")


@dataclass(frozen=True)
class DataSet:
    """The operator's own inputs: an .npz in `artifacts/<artifact>/` with arrays `input:<name>`, samples first, and the
    reference `output:<name>` where there is one. The format is that of golden.npz."""

    artifact: str
    file: FileEntry


@dataclass(frozen=True)
class JobSpec:
    """One cell to measure on one device. `inputs` have concrete shapes, `free_dims` says which names of the graph's
    free dimensions they fix, `graph_inputs` are the inputs as the graph declares them, free dimensions by name.
    Where the load pattern draws sizes, `inputs` are of the one that is checked, and the graph's `height` and `width`
    stay free. What is free in `outputs`, the runtime works out. `files` are what the artifact folder must hold. The
    task `build` makes the engine and measures nothing. `check` says how outputs are held against the golden ones:
    `relative`, each by its error, or `detection`, boxes matched with boxes; `limits` are of outputs that have
    another than `parity_limit`. `check_with` names a backend that times the same engine afterwards, as a second
    opinion. `gpu` is the index or UUID of the one to use; "" leaves the choice to the agent. Before it is timed, the
    device is to be as cool as `cool_to_c` (degrees Celsius), unless that takes longer than `cool_cap_s`. `control`
    is what it changes on the device. With `cold`, model and runtime are not in the page cache when its first process
    starts. The `labelled` images go through the engine in the last process, after all timing."""

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
    check: str = "relative"
    limits: Dict[str, float] = field(default_factory=dict)
    gpu: str = ""
    container: Optional[Container] = None
    cool_to_c: Optional[float] = None
    cool_cap_s: float = 0.0
    control: Control = Control()
    cold: bool = False
    labelled: Optional[Labelled] = None

    SIDES = ("height", "width")
    TASKS = ("measure", "build")
    CHECKS = ("relative", "detection")

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise SchemaViolation("schema", f"version {self.schema}; this agent reads {SCHEMA}")
        if self.task not in self.TASKS:
            raise SchemaViolation("task", f"unknown task {self.task!r}; allowed: {', '.join(self.TASKS)}")
        if self.check not in self.CHECKS:
            raise SchemaViolation("check", f"unknown check {self.check!r}; allowed: {', '.join(self.CHECKS)}")
        if not all(tensor.is_fixed for tensor in self.inputs):
            raise SchemaViolation("inputs", "a dimension of an input is free: a job has inputs of one size")
        if self.pattern.sizes and self.side is None:
            raise SchemaViolation("graph_inputs", "no input has images whose height and width are free and equal")
        names = {entry.name for entry in self.files}
        for file in (self.model_file, self.golden_file):
            if file is not None and file not in names:
                raise SchemaViolation("files", f"{file!r} is not among the artifact's files")
        self._check_ids()
        self._check_numbers()

    @property
    def side(self) -> Optional[int]:
        """Of the square images in `inputs`, in pixels, where height and width are free in the graph; else None."""
        pairs = zip(self.graph_inputs, self.inputs)
        sides = {now for was, one in pairs for name, now in zip(was.shape, one.shape) if name in self.SIDES}
        return int(sides.pop()) if len(sides) == 1 else None

    def at_side(self, side: int) -> JobSpec:
        """The job with images of that size."""
        return replace(self, inputs=tuple(self._at(side, *pair) for pair in zip(self.graph_inputs, self.inputs)))

    def _at(self, side: int, declared: TensorSpec, tensor: TensorSpec) -> TensorSpec:
        dims = zip(declared.shape, tensor.shape)
        return replace(tensor, shape=tuple(side if name in self.SIDES else now for name, now in dims))

    @property
    def folders(self) -> Tuple[str, ...]:
        """What the job needs below `artifacts/`: the model, an engine that was given, the operator's own data and
        labelled images."""
        return (self.artifact, *(part.artifact for part in (self.engine.given, self.data, self.labelled) if part))

    def _check_ids(self) -> None:
        ids = {"job": self.job, "artifact": self.artifact}
        parts = {"engine.given": self.engine.given, "data": self.data, "labelled": self.labelled}
        ids.update({f"{name}.artifact": part.artifact for name, part in parts.items() if part})
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
