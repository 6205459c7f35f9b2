"""What a claims file may say: figures that somebody published, and under which conditions.

sweep = "article"                         a plan that measures what is claimed

[source]                                  who claims it, and when it was read
title = "..."
url = "https://..."
author = "..."
read = "2026-11-26"

[conditions]                              those of all claims; what a claim says itself comes first
precision = "fp16"

[[claims]]
id = "resnet50-a100"
sentence = "ResNet-50 takes 8.2 ms at batch 32 on an A100"
measure = "latency_mean_ms"               one of MEASURES
value = 8.2                               or a range: [20, 25]
unit = "ms"
tolerance = 0.1                           a share of the claimed figure
conditions = { model = "resnet50", framework = "pytorch", batch = 32, device = "a100-80gb" }
baseline = { options = { mode = "eager" } }     of a ratio: in what its other side differs
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date

from device_agents.contract import LoadPattern, Precision, Scalar, SchemaViolation

_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")
_SIZE = re.compile(r"[1-9][0-9]{0,4}(x[1-9][0-9]{0,4})?\Z")
_MOST = 500  # claims of a file


@dataclass(frozen=True)
class Unit:
    """A claimed figure in the measure's own unit is `offset + factor * figure`."""

    factor: float
    offset: float = 0.0

    def own(self, figure: float) -> float:
        return self.offset + self.factor * figure

    def told(self, own: float) -> float:
        """The way back."""
        return (own - self.offset) / self.factor


_TIMES_MS = {"us": Unit(1e-3), "ms": Unit(1.0), "s": Unit(1e3)}
_SHARES = {"share": Unit(1.0), "%": Unit(0.01)}
_BYTES = {
    "B": Unit(1.0), "kB": Unit(1e3), "MB": Unit(1e6), "GB": Unit(1e9),
    "KiB": Unit(2.0**10), "MiB": Unit(2.0**20), "GiB": Unit(2.0**30),
}  # fmt: skip

TIME_RATIO, COMPILE_SHARE, OVERHEAD = "time_ratio", "compile_share", "dynamic_overhead_share"

LATE, RIGHT = "late_share", ("top1_share", "top5_share")

_OF_ALL = (COMPILE_SHARE, *RIGHT, LATE)
_FIXED = ("model", "device", "runtime", "warmup", "iterations")  # of both sides of a ratio

MEASURES: Mapping[str, Mapping[str, Unit]] = {
    "latency_mean_ms": _TIMES_MS,
    "latency_median_ms": _TIMES_MS,
    "latency_p99_ms": _TIMES_MS,
    "throughput_images_per_s": {"images/s": Unit(1.0)},
    "load_s": {"s": Unit(1.0), "ms": Unit(1e-3)},
    "memory_bytes": _BYTES,
    OVERHEAD: _SHARES,
    "top1_share": _SHARES,
    "top5_share": _SHARES,
    LATE: _SHARES,
    "energy_j_per_image": {"J": Unit(1.0), "mJ": Unit(1e-3)},
    TIME_RATIO: {"x": Unit(1.0), "% less": Unit(-0.01, 1.0), "% more": Unit(0.01, 1.0)},
    COMPILE_SHARE: _SHARES,
}
"""By measure the units that a claim of it may have. The name of a measure ends in its own unit; `time_ratio` is the
time of the claim's conditions over that of its baseline."""


@dataclass(frozen=True)
class Source:
    """Where claims were published: `read` is the day (ISO 8601) on which it was read."""

    title: str
    url: str
    read: str
    author: str = ""

    def __post_init__(self) -> None:
        try:
            date.fromisoformat(self.read)
        except ValueError:
            raise SchemaViolation("read", f"{self.read!r} is no day; write 2026-11-26") from None


@dataclass(frozen=True)
class Conditions:
    """Under which a figure is claimed; None, or nothing, for what is not told. `backends` are those that it may have
    been measured with, `device` is a device profile, `runtime` the version of the backend's runtime or how that
    begins, `size` of the images, height first; `warmup` and `iterations` count inferences; `options` are the
    backend's."""

    model: str | None = None
    framework: str | None = None
    backends: tuple[str, ...] = ()
    precision: Precision | None = None
    batch: int | None = None
    size: str | None = None
    pattern: str | None = None
    device: str | None = None
    power_mode: str | None = None
    runtime: str | None = None
    warmup: int | None = None
    iterations: int | None = None
    options: dict[str, Scalar] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.framework not in (None, "pytorch", "tensorflow", "onnx"):
            message = f"unknown framework {self.framework!r}; allowed: pytorch, tensorflow, onnx"
            raise SchemaViolation("framework", message)
        if self.size is not None and not _SIZE.match(self.size):
            raise SchemaViolation("size", f"{self.size!r} is no size; write 224 or 384x320, height first")
        for name in ("batch", "warmup", "iterations"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= 10**9:
                raise SchemaViolation(name, f"{value} is not between 1 and a billion")
        _ = self.load

    @property
    def load(self) -> LoadPattern:
        """One inference after the other, unless another is told."""
        return LoadPattern() if self.pattern is None else LoadPattern.parse(self.pattern)

    @property
    def sides(self) -> tuple[int, int] | None:
        """Height and width of the images."""
        if self.size is None:
            return None
        height, _, width = self.size.partition("x")
        return int(height), int(width or height)

    def over(self, others: Conditions) -> Conditions:
        """These, and the others where these say nothing; options are laid over options."""
        given = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "options"}
        told = {name: getattr(others, name) if value in (None, ()) else value for name, value in given.items()}
        return Conditions(**told, options={**others.options, **self.options})


@dataclass(frozen=True)
class Claim:
    """One figure, or a range of it, in `unit`. `tolerance` is a share of the claimed figure: what is measured within it
    has reproduced the claim. `baseline` is the other side of a ratio, where it differs from `conditions`."""

    id: str
    sentence: str
    measure: str
    value: float | tuple[float, ...]
    unit: str
    conditions: Conditions = Conditions()
    tolerance: float = 0.1
    baseline: Conditions | None = None

    def __post_init__(self) -> None:
        if not _ID.match(self.id):
            raise SchemaViolation("id", f"{self.id[:60]!r} is not of small letters, digits, '-', '_' and '.'")
        if self.measure not in MEASURES:
            raise SchemaViolation("measure", f"unknown measure {self.measure!r}; allowed: {', '.join(MEASURES)}")
        if self.unit not in MEASURES[self.measure]:
            units = ", ".join(MEASURES[self.measure])
            raise SchemaViolation("unit", f"{self.unit!r} is no unit of {self.measure}; allowed: {units}")
        self._check_value()
        if not 0 <= self.tolerance <= 1:
            raise SchemaViolation("tolerance", f"{self.tolerance:g} is not between 0 and 1")
        if (self.measure == TIME_RATIO) != (self.baseline is not None):
            message = "is for time_ratio alone" if self.baseline is not None else "is missing: a ratio to what?"
            raise SchemaViolation("baseline", message)
        for name in _FIXED if self.baseline is not None else ():
            if getattr(self.baseline, name) is not None:
                raise SchemaViolation(f"baseline.{name}", "is of both sides: it belongs to conditions")

    def _check_value(self) -> None:
        ends = self.value if isinstance(self.value, tuple) else (self.value,)
        if len(ends) not in (1, 2) or (isinstance(self.value, tuple) and (len(ends) != 2 or ends[0] >= ends[1])):
            raise SchemaViolation("value", "is neither a number nor a range such as [20, 25], the less first")
        own = MEASURES[self.measure][self.unit]
        if min(ends) < 0 or min(own.own(end) for end in ends) < 0:
            wrong = next(end for end in ends if end < 0 or own.own(end) < 0)
            raise SchemaViolation("value", f"{wrong:g} {self.unit} cannot be")
        if self.measure in _OF_ALL and max(own.own(end) for end in ends) > 1:
            raise SchemaViolation("value", f"{max(ends):g} {self.unit} is more than all")

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the most that is claimed, in `unit`."""
        return (self.value[0], self.value[-1]) if isinstance(self.value, tuple) else (self.value, self.value)

    @property
    def measured_in(self) -> Unit:
        return MEASURES[self.measure][self.unit]

    @property
    def own(self) -> tuple[float, float]:
        """The same in the measure's own unit."""
        low, high = sorted(map(self.measured_in.own, self.ends))
        return low, high

    @property
    def other_side(self) -> Conditions | None:
        """Of a ratio: all conditions of its baseline."""
        return None if self.baseline is None else self.baseline.over(self.conditions)


@dataclass(frozen=True)
class ClaimsFile:
    """What stands in the file `name`.toml. `sweep` is a plan that measures it: of ours, or a file."""

    source: Source
    claims: tuple[Claim, ...]
    conditions: Conditions = Conditions()
    sweep: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        if not 1 <= len(self.claims) <= _MOST:
            raise SchemaViolation("claims", f"{len(self.claims)} claims are not between 1 and {_MOST}")
        ids = [claim.id for claim in self.claims]
        for index, claim in enumerate(self.claims):
            if claim.id in ids[:index]:
                raise SchemaViolation(f"claims[{index}].id", f"{claim.id!r} is there twice")
            if claim.measure != COMPILE_SHARE and not (claim.conditions.model or self.conditions.model):
                raise SchemaViolation(f"claims[{index}].conditions.model", "is missing: a figure of which model?")
            counted = replace(claim.conditions, framework=None, runtime=None) == Conditions()
            if claim.measure == COMPILE_SHARE and not (counted and claim.conditions.framework != "tensorflow"):
                message = 'of a count of models can be framework = "pytorch" and runtime alone'
                raise SchemaViolation(f"claims[{index}].conditions", message)
        for index, claim in enumerate(self.whole):
            for name, message in _unmeasurable(claim):
                raise SchemaViolation(f"claims[{index}].{name}", message)

    @property
    def whole(self) -> tuple[Claim, ...]:
        """The claims with the conditions that all share laid under theirs."""
        return tuple(replace(claim, conditions=claim.conditions.over(self.conditions)) for claim in self.claims)


def _unmeasurable(claim: Claim) -> Iterator[tuple[str, str]]:
    """What nothing could ever be held against, with all its conditions: the key, and what is to be said there."""
    load = claim.conditions.load
    if claim.measure == OVERHEAD and not load.sizes:
        yield "conditions.pattern", "is to say which sizes are drawn, such as sizes:224-512"
    if claim.measure != OVERHEAD and load.sizes:
        yield "conditions.pattern", f"draws sizes, of which there is {OVERHEAD} alone"
    if claim.measure == LATE and load.kind != "rate":
        yield "conditions.pattern", "is to say at which rate, such as rate:30"
    baseline, other = claim.baseline, claim.other_side
    if baseline is None or other is None:
        return
    if other == claim.conditions:
        yield "baseline", "differs in nothing from conditions"
    for name in ("framework", "backends", "precision", "batch", "size", "power_mode"):
        if getattr(baseline, name) not in (None, ()) and getattr(claim.conditions, name) in (None, ()):
            yield f"conditions.{name}", "is missing: baseline has it"
    for option in baseline.options:
        if option not in claim.conditions.options:
            yield f"conditions.options.{option}", "is missing: baseline has it"


@dataclass(frozen=True)
class CompileCoverage:
    """What stands in profiles/claims/compile_coverage.json: of how many `models` torch.compile takes the `whole`,
    without falling back to eager mode, in that version of PyTorch; `of` says which models, `made_at` is the day."""

    models: int
    whole: int
    torch: str
    of: str
    made_at: str

    def __post_init__(self) -> None:
        if not 0 <= self.whole <= self.models or self.models < 1:
            raise SchemaViolation("whole", f"{self.whole} of {self.models} models cannot be")
