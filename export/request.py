"""What is asked of an export, apart from where its answer goes; and the key that names the question in the store."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_agents.contract import Dim, DimRange, Precision, ShapeProfile, TensorSpec, dumps, from_json, to_json
from export.artifact import Format
from profiles.errors import ConfigError

FREE_BATCH = "batch"
FREE_HEIGHT, FREE_WIDTH = "height", "width"
"""What the free dimensions are called in every graph."""

RANDOM = "random"
"""Of weights, and of what INT8 is calibrated on."""

Size = tuple[DimRange, DimRange]
"""Height and width of the images; one whose min and max are equal is fixed."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """What a model's graph is to be like, whatever its precision.

    `size`: None for the model's own. `head`: "full", or "raw" for a detector without its NMS. `keras_layers`: whether
    Keras's preprocessing layers are kept ("keep") or become part of the manifest ("strip"). `pixels`: "float" as the
    network takes them, or "uint8" for images as cameras give them, normalised in the graph. `declared` are the inputs
    of --input; `mean` and `std` what a user's model wants its pixels normalised by; `task` is what outputs are judged
    by, None for the model's own. `unsafe` lets a file run code.
    """

    size: Size | None = None
    head: str = "full"
    keras_layers: str = "keep"
    pixels: str = "float"
    declared: tuple[TensorSpec, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    task: str | None = None
    unsafe: bool = False

    def form(self) -> dict[str, Any]:
        """The fields of the form alone."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(Form)}


@dataclass(frozen=True)
class ExportRequest(Form):
    """One artifact, as it was asked for. What equals its default does not enter the key.

    `format` is what is made. `model` names the network: a profile's name, torchvision:NAME, keras:NAME, "sha256:<hex>"
    of a user's file, or what a factory is called with the hash of its module. `weights`: "pretrained", "random" or
    "sha256:<hex>". `batch`: a number or "dynamic"; `bounds` of a dynamic one declare an optimization profile each.
    `opset` is what is written; a user's .onnx file keeps its own, bounded by an `opset` that is not 0. `io`: "model"
    for inputs and outputs in the graph's precision, or "fp32". `fp16_method`: auto, native, convert, autocast.
    `calibration`: "random" or the hash of the data. `reference`, `images` and `labels` are hashes of what the operator
    gave.
    """

    model: str
    framework: str
    precision: Precision
    batch: Dim
    weights: str
    format: Format = Format.ONNX
    opset: int = 18
    seed: int = 0
    bounds: tuple[DimRange, ...] = ()
    io: str = "model"
    fp16_method: str = "auto"
    calibration: str | None = None
    reference: str | None = None
    images: str | None = None
    labels: str | None = None
    weights_path: Path | None = None
    reference_path: Path | None = None
    calibration_path: Path | None = None
    images_path: Path | None = None
    labels_path: Path | None = None

    @property
    def profiles(self) -> tuple[ShapeProfile, ...]:
        """The optimization profiles that bounds and free sides declare."""
        sides = {name: side for name, side in self._sides().items() if side.min < side.max}
        if self.bounds:
            return tuple({FREE_BATCH: one, **sides} for one in self.bounds)
        return (sides,) if sides else ()

    def as_fp32(self) -> ExportRequest:
        """The request of the FP32 graph that this artifact starts from, or is judged by."""
        plain = dataclasses.replace(self, images=None, images_path=None, calibration=None, calibration_path=None)
        plain = dataclasses.replace(plain, precision=Precision.FP32, io="model", fp16_method="auto")
        return dataclasses.replace(plain, format=Format.ONNX)

    def _sides(self) -> dict[str, DimRange]:
        return dict(zip((FREE_HEIGHT, FREE_WIDTH), self.size, strict=True)) if self.size else {}

    def key(self, recipe: int) -> str:
        """Names the request in the store. Paths are left out: the hashes stand for them. `recipe` is a number that
        the exporters raise when the same request would give another graph."""
        kept: dict[str, Any] = {"recipe": recipe}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not field.name.endswith("_path") and value != field.default:
                kept[field.name] = value
        return hashlib.sha256(dumps(kept).encode()).hexdigest()


def uncalibrated(where: str) -> ConfigError:
    """Of INT8, where nothing says from which data its ranges are to come."""
    fix = "--calibrate with a folder of images or an .npz; --calibrate random shows speed, not accuracy"
    return ConfigError("int8 needs data to calibrate on", where=where, fix=fix)


def to_job(request: ExportRequest) -> dict[str, Any]:
    """The request as plain JSON, paths as text."""
    fields = dataclasses.asdict(request)
    return {name: str(value) if isinstance(value, Path) else to_json(value) for name, value in fields.items()}


def from_job(data: dict[str, Any]) -> ExportRequest:
    """What `to_job` wrote."""
    paths = {name: Path(value) for name, value in data.items() if name.endswith("_path") and value is not None}
    plain = {name: value for name, value in data.items() if not name.endswith("_path") and value is not None}
    return from_json(ExportRequest, {**plain, **paths})
