"""What is to be measured: cells, each named by the hash of its request, and the plan they make."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from device_agents.contract import LoadPattern, Precision, Scalar, SchemaViolation, ShapeProfile, Timing, dumps

OWN = "own"
PER_CLASS = "per-class"
AHEAD = "ahead"


@dataclass(frozen=True)
class Cell:
    """One measurement to make: this model, from that framework, on this device, in this way.

    `weights` is pretrained, random or sha256:<hex>. `build` numbers the engines of a lottery from 1; 0 is the engine
    that the device keeps. `profiles` bound the batch of an engine. `inputs` is the SHA-256 of the operator's own data,
    `dataset` that of the labelled images; `engines` says whose engine is timed: own, per-class or ahead. `size` is
    height and width of the images, None for the only ones that the model takes, or those that it is tuned for.
    `lock_clocks`, `power_mode`, `persistence` and `shared` are what is changed on the device, as edge.planning.control
    says. A `static` engine is built for the one size, whatever the artifact declares. Where `pattern` draws sizes,
    `size` is None. With `cold` the first process starts with model and runtime out of the page cache.
    What equals its default does not enter the id, so that a new field leaves old ids alone. Artifacts and hardware are
    recorded, not hashed.
    """

    device: str
    model: str
    framework: str
    backend: str
    precision: Precision
    batch: int
    weights: str = "pretrained"
    pattern: LoadPattern = LoadPattern()
    timing: Timing = Timing()
    options: Mapping[str, Scalar] = field(default_factory=dict)
    hot_input: bool = False
    transfers: bool = True
    repeat: int = 0
    build: int = 0
    profiles: tuple[ShapeProfile, ...] = ()
    inputs: str | None = None
    check_with: str | None = None
    engines: str = OWN
    size: tuple[int, int] | None = None
    lock_clocks: bool = False
    power_mode: str | None = None
    persistence: bool = False
    shared: bool = False
    static: bool = False
    cold: bool = False
    dataset: str | None = None

    def __post_init__(self) -> None:
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise SchemaViolation("size", "expected a height and a width, both positive")

    @functools.cached_property
    def id(self) -> str:
        """20 hexadecimal digits of SHA-256 over the request."""
        return hashlib.sha256(dumps(_without_defaults(self)).encode()).hexdigest()[:20]

    @property
    def label(self) -> str:
        """For people: `resnet18/pytorch fp32 batch 8 at 384x320 on onnxruntime`, height first."""
        size = f" at {self.size[0]}x{self.size[1]}" if self.size else ""
        build = f" build {self.build}" if self.build else ""
        pattern = "" if self.pattern == LoadPattern() else f" at {self.pattern}"
        mode = f" in {self.power_mode}" if self.power_mode else ""
        again = f", repeat {self.repeat + 1}" if self.repeat else ""
        what = f"{self.model}/{self.framework} {self.precision} batch {self.batch}{size}{build}{pattern}{mode}"
        return f"{what} on {self.backend}{again}"


@dataclass(frozen=True)
class Plan:
    """Cells in the order they are measured. The same cells make the same plan; one that passes over the engines which
    are cached is another, so that it never takes up a run that did not. The plan of a sweep has the sweep's `name`, and
    is the same as long as its file and devices are (`sweep`), whatever devices answer today."""

    cells: tuple[Cell, ...]
    rebuild: bool = False
    name: str = ""
    sweep: str | None = None

    @property
    def id(self) -> str:
        if self.sweep is not None:
            return self.sweep
        lines = [*sorted(cell.id for cell in self.cells), *(["rebuild"] if self.rebuild else [])]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:20]


def _without_defaults(value: Any) -> Any:
    if not dataclasses.is_dataclass(value):
        return value
    kept = {}
    for item in dataclasses.fields(value):
        given = getattr(value, item.name)
        default = item.default_factory() if callable(item.default_factory) else item.default
        if given != default:
            kept[item.name] = _without_defaults(given)
    return kept
