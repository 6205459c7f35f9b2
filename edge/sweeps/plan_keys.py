"""The plan of a sweep: a TOML file of axes, whose product is measured on every device.

models = ["resnet50", "vit_b_16"]
frameworks = ["pytorch", "tensorflow"]    without it, those that are installed
precisions = ["fp16", "int8"]             without it, each device profile's own
batches = [1, 8, 32]
sizes = ["224", "384x320"]                of images, height first
backends = ["tensorrt", "onnxruntime"]    without it, auto
patterns = ["serial", "rate:30", "soak:10m", "sizes:224-512"]     the last one has sizes of its own
power_modes = ["15W", "MAXN"]             of Jetsons; without it, the one that is set there
devices = "orin or a100"                  as --device has it; without it, all

weights = "random"                        these concern every cell: as the options of `edgebench deploy`
quick = true
processes = 3
repeats = 2                               every cell so often, every other round backwards
options = { threads = 4 }                 an [[include]] may have its own
if_there = true                           backends that a device lacks are left out there, and noted
calibrate = "random"                      what INT8 is made with where there is none: a folder, an .npz, or random
bounds = ["1:8:32"]
inputs = "data.npz"
lock_clocks = true                        for as long as a cell is measured, as docs/control.md has it
persistence = true
shared = true                             beside the product that runs there

[timing]                                  how long each process warms up and times: as docs/sweeps.md has it
iterations = 5000

[quick_timing]                            the same for `quick`
processes = 1

[limits]
max_failures = 20                         after so many failed cells no new one is begun
cell_timeout = "30 min"
link_retries = 3                          how often a device's link may break without a cell in between
run_retries = 1                           how often a cell is begun anew after what passes by itself
wait_online = "12 h"                      how long a device may be out of reach
max_bytes = "50 MB"                       what may be sent to a device
cool_within = 5                           degrees Celsius above the device's first cell, to wait for before others
cool_for = "2 min"                        how long to wait for that
repeat_invalid = 1                        how often a cell is measured anew that is INVALID for what may pass

[[include]]                               further axes; what they leave out is the plan's
models = ["resnet50"]
batches = [64]
devices = "a100"

[[exclude]]                               cells that match every key are left out; * stands for anything
model = "vit*"
precision = "int8"
devices = "orin-nano"
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields

from device_agents.contract import Precision, Scalar, SchemaViolation, Timing
from edge.quantities import parse_bytes, parse_duration
from edge.running.policy import Policy
from profiles.load import unknown

_MOST_REPEATS = 1000


@dataclass(frozen=True)
class Axes:
    """What is multiplied. None leaves the choice to the plan, or to edgebench; `devices` is an expression, `options`
    are the backends', all of them for every cell."""

    models: tuple[str, ...] | None = None
    frameworks: tuple[str, ...] | None = None
    precisions: tuple[Precision, ...] | None = None
    batches: tuple[int, ...] | None = None
    sizes: tuple[str, ...] | None = None
    backends: tuple[str, ...] | None = None
    patterns: tuple[str, ...] | None = None
    power_modes: tuple[str, ...] | None = None
    devices: str | None = None
    options: dict[str, Scalar] | None = None

    def __post_init__(self) -> None:
        for item in fields(Axes):
            values = getattr(self, item.name)
            if values is not None and not values and item.name != "options":
                instead = "what is to be measured?" if item.name == "models" else "leave it out instead"
                raise SchemaViolation(item.name, f"is empty; {instead}")
            if isinstance(values, tuple) and len(set(values)) < len(values):
                raise SchemaViolation(item.name, f"names {Counter(values).most_common(1)[0][0]} twice")
        for framework in self.frameworks or ():
            if framework not in ("pytorch", "tensorflow", "onnx", "all"):
                known = ("pytorch", "tensorflow", "onnx", "all")
                raise SchemaViolation("frameworks", unknown("framework", framework, known).message)
        for batch in self.batches or ():
            if not 1 <= batch <= 4096:
                raise SchemaViolation("batches", f"{batch} is not between 1 and 4096")

    def over(self, plan: Axes) -> Axes:
        """These, and the plan's where these say nothing."""
        given = {item.name: getattr(self, item.name) for item in fields(Axes)}
        return Axes(**{name: getattr(plan, name) if value is None else value for name, value in given.items()})


@dataclass(frozen=True)
class Exclude:
    """Cells that match every key that is given; strings may hold `*`."""

    model: str | None = None
    framework: str | None = None
    precision: str | None = None
    batch: int | None = None
    size: str | None = None
    backend: str | None = None
    pattern: str | None = None
    power_mode: str | None = None
    devices: str | None = None

    def __post_init__(self) -> None:
        if all(getattr(self, item.name) is None for item in fields(self)):
            raise SchemaViolation("", "has no key, and would exclude everything")


@dataclass(frozen=True)
class Limits:
    """How patient a run is, and what it may cost."""

    max_failures: int | None = None
    cell_timeout: str | None = None
    link_retries: int = 3
    run_retries: int = 1
    wait_online: str | None = None
    max_bytes: str | None = None
    cool_within: float = 5.0
    cool_for: str = "2 min"
    repeat_invalid: int = 1

    def __post_init__(self) -> None:
        for key in ("max_failures", "link_retries", "run_retries"):
            least = 1 if key == "max_failures" else 0
            value = getattr(self, key)
            if value is not None and not least <= value <= 10**6:
                raise SchemaViolation(key, f"{value} is not between {least} and a million")
        if not 0 <= self.repeat_invalid <= Policy.MOST_REPEATS:
            most = Policy.MOST_REPEATS
            raise SchemaViolation("repeat_invalid", f"{self.repeat_invalid} is not between 0 and {most}")
        if not 0 <= self.cool_within <= 100:
            raise SchemaViolation("cool_within", f"{self.cool_within:g} is not between 0 and 100 degrees")
        durations = ("cell_timeout", "wait_online", "cool_for")
        texts = {**dict.fromkeys(durations, parse_duration), "max_bytes": parse_bytes}
        for key, reads in texts.items():
            value = getattr(self, key)
            try:
                _ = None if value is None else reads(value)
            except ValueError as error:
                raise SchemaViolation(key, str(error)) from None

    def policy(self) -> Policy:
        return Policy(
            link_retries=self.link_retries,
            run_retries=self.run_retries,
            max_failures=self.max_failures,
            cell_timeout_s=parse_duration(self.cell_timeout) if self.cell_timeout else None,
            wait_online_s=parse_duration(self.wait_online) if self.wait_online else 0.0,
            max_bytes=parse_bytes(self.max_bytes) if self.max_bytes else None,
            cool_within_c=self.cool_within,
            cool_cap_s=parse_duration(self.cool_for),
            overlap=True,
            repeat_invalid=self.repeat_invalid,
        )


@dataclass(frozen=True)
class PlanFile(Axes):
    """The keys of a plan file, each checked by itself."""

    weights: str | None = None
    quick: bool = False
    processes: int | None = None
    repeats: int = 1
    if_there: bool = False
    calibrate: str | None = None
    bounds: tuple[str, ...] = ()
    inputs: str | None = None
    dataset: str | None = None
    hot_input: bool = False
    cold: bool = False
    transfers: bool = True
    engines: str = "own"
    check_with: str | None = None
    lock_clocks: bool = False
    persistence: bool = False
    shared: bool = False
    timing: Timing = Timing()
    quick_timing: Timing = field(default_factory=Timing.quick)
    limits: Limits = field(default_factory=Limits)
    include: tuple[Axes, ...] = ()
    exclude: tuple[Exclude, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.repeats <= _MOST_REPEATS:
            raise SchemaViolation("repeats", f"{self.repeats} is not between 1 and {_MOST_REPEATS}")
        if self.engines not in ("own", "per-class", "ahead"):
            raise SchemaViolation("engines", unknown("engines", self.engines, ("own", "per-class", "ahead")).message)
        if self.models is None and not (self.include and all(axes.models for axes in self.include)):
            raise SchemaViolation("models", "is missing: what is to be measured?")
