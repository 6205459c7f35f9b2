"""What a profile file may say. The field names are the keys of the TOML files; read with `profiles.load`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date

from device_agents.contract import Precision, SchemaViolation

_CURRENCY = re.compile(r"[A-Z]{3}\Z")

FRAMEWORKS = ("pytorch", "tensorflow")

TASKS = ("classification", "segmentation", "detection", "video", "optical_flow", "other")
"""What a network is for: by what its outputs are judged beside their error. `other` has no more."""


@dataclass(frozen=True)
class ImageInput:
    """An image that a model takes: `shape` is (channels, height, width), of a video (channels, frames, height, width);
    pixels in [0, 1] become (pixel - mean) / std. `order` of the channels is RGB, or BGR as Caffe's models want it;
    `mean` and `std` are in that order."""

    name: str = "images"
    shape: tuple[int, ...] = (3, 224, 224)
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    order: str = "RGB"

    def __post_init__(self) -> None:
        if len(self.shape) not in (3, 4) or min(self.shape) < 1:
            raise SchemaViolation(
                "shape", "expected [channels, height, width], all positive; of a video [channels, frames, ...]"
            )
        if self.order not in ("RGB", "BGR"):
            raise SchemaViolation("order", f"unknown order {self.order!r}; allowed: RGB, BGR")
        if not len(self.mean) == len(self.std) == self.shape[0]:
            raise SchemaViolation("mean", f"mean and std need one value for each of {self.shape[0]} channels")
        if min(self.std) <= 0:
            raise SchemaViolation("std", "every value must be positive")

    @property
    def low(self) -> float:
        """The least value a black-to-white pixel takes after normalisation."""
        return min((0.0 - mean) / std for mean, std in zip(self.mean, self.std, strict=True))

    @property
    def high(self) -> float:
        return max((1.0 - mean) / std for mean, std in zip(self.mean, self.std, strict=True))


@dataclass(frozen=True)
class FrameworkModel:
    """Where a framework has the network: `torchvision:NAME`, `keras:NAME`, or `twin:NAME` (the Keras model of
    `export.tf.twins` that takes torchvision's weights). `weights` pins the pretrained set by its
    upstream name."""

    source: str
    weights: str | None = None

    def __post_init__(self) -> None:
        library, _, name = self.source.partition(":")
        if library not in ("torchvision", "keras", "twin") or not name:
            raise SchemaViolation("source", f"{self.source!r} is not torchvision:NAME, keras:NAME or twin:NAME")


@dataclass(frozen=True)
class Cost:
    """What one sample of the profile's size costs: multiply-accumulates, parameters, and elements of all tensors that
    the nodes of the exported FP32 graph make (of two frameworks' graphs, the one that makes more)."""

    macs: int
    parameters: int
    activations: int


@dataclass(frozen=True)
class ModelProfile:
    """A network, and the frameworks that have it. The same name means the same network with the same weights. `cost` is
    what our own export of it counts, None where nobody looked."""

    name: str
    task: str
    frameworks: dict[str, FrameworkModel]
    description: str = ""
    input: ImageInput = ImageInput()
    cost: Cost | None = None

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise SchemaViolation("task", f"unknown task {self.task!r}; allowed: {', '.join(TASKS)}")
        if not self.frameworks:
            raise SchemaViolation("frameworks", "name at least one framework")
        for framework in self.frameworks:
            if framework not in FRAMEWORKS:
                raise SchemaViolation(
                    "frameworks", f"unknown framework {framework!r}; allowed: {', '.join(FRAMEWORKS)}"
                )


@dataclass(frozen=True)
class Peak:
    """Published dense peaks in one power mode: tensor TFLOP/s in FP16, memory GB/s, and where that is written.
    `last_cache_mb` are the megabytes of the accelerator's last cache, None where they were not looked up."""

    fp16_tflops: float
    memory_gb_s: float
    source: str
    power_mode: str | None = None
    derived: str | None = None
    last_cache_mb: float | None = None


@dataclass(frozen=True)
class Thresholds:
    """Where a verdict's rules draw the line; shares are of 1. Fixed before a trial, never after.

    `spread`: how much the processes' medians may vary. `drift`: from the first to the last quarter of one. `steady`:
    what the medians of a soak may change by and be called steady. `foreign_work`: how busy others may keep the device
    before and during timing. `steal`: what a hypervisor may take. `throttled`: the share of the timed part in which
    clocks may be held back. `limited`: for which a cgroup's CPU limit may stop the job. `clock_spread`: between the 5th
    and the 95th percentile of a clock; above it is a flag, or INVALID with `locked_clocks`. `temperature_c`: above it
    is too hot, in degrees Celsius; None leaves that to what the device says of itself.
    """

    spread: float = 0.05
    drift: float = 0.05
    foreign_work: float = 0.05
    steal: float = 0.01
    throttled: float = 0.02
    limited: float = 0.01
    clock_spread: float = 0.05
    locked_clocks: bool = False
    temperature_c: float | None = None
    steady: float = 0.03


@dataclass(frozen=True)
class Price:
    """What an hour of a device costs, on demand: of the `instance` in that `region`, which has so many `gpus` of the
    profile's. `date` is when the source said so, YYYY-MM-DD. A price of the operator's own has no instance nor date."""

    per_hour: float
    currency: str
    source: str
    date: str = ""
    instance: str = ""
    region: str = ""
    gpus: int = 1

    def __post_init__(self) -> None:
        check_price(self.per_hour, "per_hour")
        check_currency(self.currency)
        if self.gpus < 1:
            raise SchemaViolation("gpus", f"{self.gpus} is not positive")
        if self.date:
            try:
                date.fromisoformat(self.date)
            except ValueError:
                raise SchemaViolation("date", f"{self.date!r} is no date; write YYYY-MM-DD") from None


def check_price(per_hour: float, key: str) -> None:
    """Errors: SchemaViolation for what is no price of an hour."""
    if not 0 < per_hour < 1e6:
        raise SchemaViolation(key, f"{per_hour:g} is no price of an hour; it lies between 0 and a million")


def check_currency(text: str) -> None:
    """Errors: SchemaViolation for what is no code such as USD."""
    if not _CURRENCY.match(text):
        raise SchemaViolation("currency", f"{text!r} is no currency; write its code of three letters, such as USD")


@dataclass(frozen=True)
class DeviceProfile:
    """A model of device. `family` groups profiles for selectors (`orin`); `backends` are tried in this order.

    `kind` says how the device tells about itself: cpu, jetson or nvidia_gpu. `power_mode` is the mode that a
    measurement is expected to run in. `recognised` are the parts, all of them, of the name that such a board or GPU
    gives itself; without any the profile is never guessed. `price` is that of an hour where such a device is for hire,
    with its date and source; None for a board that one owns.
    """

    name: str
    description: str
    family: str
    kind: str
    backends: tuple[str, ...]
    precision: Precision
    python: str
    peaks: tuple[Peak, ...] = ()
    power_mode: str | None = None
    thresholds: Thresholds = field(default_factory=Thresholds)
    recognised: tuple[str, ...] = ()
    price: Price | None = None

    KINDS = ("cpu", "jetson", "nvidia_gpu")

    def __post_init__(self) -> None:
        if self.kind not in self.KINDS:
            raise SchemaViolation("kind", f"unknown kind {self.kind!r}; allowed: {', '.join(self.KINDS)}")
        if not self.backends:
            raise SchemaViolation("backends", "name at least one backend")
        if self.price is not None and not (self.price.date and self.price.source.startswith("https://")):
            raise SchemaViolation("price", "a profile's price has a date, and a source that begins with https://")
