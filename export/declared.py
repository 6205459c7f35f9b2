"""Inputs of a model of the user's: as they are declared on the command line, and what goes into them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device_agents.contract import Dim, TensorSpec
from export.artifact import GOLDEN
from export.data import golden
from export.request import FREE_BATCH, FREE_HEIGHT, FREE_WIDTH, ExportRequest
from profiles.errors import ConfigError, ExportError
from profiles.schema import ImageInput

_DIM = re.compile(r"[1-9][0-9]{0,8}|[A-Za-z_][A-Za-z0-9_]*")
_BY = re.compile(r"(?<=\w)x(?=[0-9]|(?:batch|height|width)(?:x|\Z))")  # the x of 1x3x224x224, Nx3x224x224
_DTYPES = ("float32", "float16", "float64", "int64", "int32", "int16", "int8", "uint8", "bool")
_EXAMPLE = "for example images:float32:batch,3,224,224"


def parse_inputs(texts: Sequence[str]) -> tuple[TensorSpec, ...]:
    """NAME:DTYPE:SHAPE each, the first dimension the batch: 1,3,224,224 or 1x3x224x224; free ones by name, where
    `batch`, `height` and `width` are what they say. Errors: ConfigError."""
    found = tuple(map(_parse, texts))
    names = [spec.name for spec in found]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"input {name!r} is declared twice", where="--input", fix="declare each once")
    return found


def _parse(text: str) -> TensorSpec:
    name, dtype, shape = ["", "", *text.rsplit(":", 2)][-3:]  # a name of TensorFlow's may hold a colon
    if not name or not shape:
        raise ConfigError(f"{text!r} is not NAME:DTYPE:SHAPE", where="--input", fix=_EXAMPLE)
    if dtype not in _DTYPES:
        raise ConfigError(f"unknown type {dtype!r} of input {name!r}", where="--input", fix=", ".join(_DTYPES))
    words = re.split(r"\s*,\s*", shape.strip("[]() ")) if "," in shape else re.split(_BY, shape)
    if not all(_DIM.fullmatch(word) for word in words):
        raise ConfigError(f"{shape!r} is no shape of input {name!r}", where="--input", fix=_EXAMPLE)
    dims: tuple[Dim, ...] = tuple(int(word) if word.isdigit() else word for word in words)
    return TensorSpec(name, dtype, dims, *((0.0, 1.0) if dtype.startswith("float") else _whole_range(dtype)))


def _whole_range(dtype: str) -> tuple[float, float]:
    """Of integers nothing is known but that 0 and 1 are indices of anything; a uint8 is a pixel."""
    return (0.0, 255.0) if dtype == "uint8" else (0.0, 1.0)


def image_of(spec: TensorSpec, request: ExportRequest, *, channels_last: bool = False) -> ImageInput | None:
    """The image that a model of the user's takes in this input, (N, C, H, W) or with `channels_last` (N, H, W, C);
    None where the operator has not said how it wants its pixels. Errors: ConfigError where mean and std do not fit."""
    if not request.mean and not request.std:
        return None
    if len(spec.shape) != 4 or not spec.dtype.startswith("float"):
        return None
    shape = sized(spec, request).shape[1:]
    if channels_last:
        shape = (shape[2], *shape[:2])
    channels = int(shape[0])
    mean, std = _each(request.mean or (0.0,), channels), _each(request.std or (1.0,), channels)
    if not len(mean) == len(std) == channels:
        message = f"{len(mean)} and {len(std)} values for the {channels} channels of input {spec.name!r}"
        raise ConfigError(message, where="--mean and --std")
    return ImageInput(spec.name, tuple(map(int, shape)), mean, std)


def _each(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """One value is for every channel."""
    return values * channels if len(values) == 1 else values


def sized(spec: TensorSpec, request: ExportRequest, at: tuple[int, int] | None = None) -> TensorSpec:
    """The spec with height and width set: to `at`, or to what an engine is tuned for; its batch stays. Errors:
    ExportError for another free dimension, whose size nothing tells."""
    sides = at or (tuple(side.opt for side in request.size) if request.size else ())
    known = dict(zip((FREE_HEIGHT, FREE_WIDTH), sides, strict=False))
    shape = tuple(known.get(dim, dim) if isinstance(dim, str) else dim for dim in spec.shape)
    for dim in shape[1:]:
        if isinstance(dim, str):
            fix = (
                "--size MIN:OPT:MAX" if dim in (FREE_HEIGHT, FREE_WIDTH) else f"--input {spec.name}:{spec.dtype}:SHAPE"
            )
            raise ExportError(f"dimension {dim!r} of input {spec.name!r} has no size", fix=f"give it, with {fix}")
    return replace(spec, shape=shape)


def golden_inputs(
    specs: Sequence[TensorSpec], request: ExportRequest, images: Sequence[ImageInput] = ()
) -> dict[str, NDArray[Any]]:
    """Golden samples for inputs of a user's model, as its graph takes them: (8, ...) each."""
    shown = {image.name: image for image in images}
    whole = request.pixels == "uint8"
    return {
        spec.name: golden.images(shown[spec.name], seed=golden.SEED + index, pixels=whole)
        if spec.name in shown
        else golden.values(sized(spec, request), seed=golden.SEED + index)
        for index, spec in enumerate(specs)
    }


def check_batch(specs: Sequence[TensorSpec], where: str) -> Dim:
    """The first dimension that all inputs share. Errors: ExportError when they do not."""
    firsts = {spec.shape[0] if spec.shape else None for spec in specs}
    if len(firsts) != 1 or None in firsts:
        raise ExportError("its inputs do not share a first dimension, the batch", where=where)
    first = firsts.pop()
    return FREE_BATCH if isinstance(first, str) or first is None else first


def refuse_bounds(batch: int, request: ExportRequest, where: str, *, fix: str) -> None:
    """Errors: ConfigError for bounds of a batch that turns out to be fixed."""
    if request.bounds:
        raise ConfigError(f"the batch is fixed to {batch}: there is nothing to bound", where=where, fix=fix)


def finite(arrays: dict[str, NDArray[Any]], where: str) -> None:
    """Errors: ExportError that names the first array with a value that is not finite."""
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ExportError(f"array {name!r} has values that are not finite", where=where)


def samples(
    specs: Sequence[TensorSpec], images: Sequence[ImageInput], request: ExportRequest
) -> dict[str, dict[str, NDArray[Any]]]:
    """Golden inputs by the name of their file: at the size that engines are tuned for, at the ends of a free one."""
    found = {GOLDEN: golden_inputs(specs, request, images)}
    if request.size is None or not any({FREE_HEIGHT, FREE_WIDTH} & set(spec.shape) for spec in specs):
        return found
    height, width = request.size
    for sides in {(height.min, width.min), (height.max, width.max)} - {(height.opt, width.opt)}:
        resized = [sized(spec, request, at=sides) for spec in specs]
        shapes = {spec.name: tuple(map(int, spec.shape[1:])) for spec in resized}
        pictures = [replace(image, shape=shapes[image.name]) for image in images]
        found[f"golden-{sides[0]}x{sides[1]}.npz"] = golden_inputs(resized, request, pictures)
    return found
