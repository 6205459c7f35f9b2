"""The inputs of a TensorFlow model as its graph has them: named, sized, and images channels-first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from device_agents.contract import Dim, TensorSpec
from export.declared import image_of, sized
from export.request import FREE_BATCH, FREE_HEIGHT, FREE_WIDTH, ExportRequest
from profiles.errors import ConfigError
from profiles.schema import ImageInput

Told = tuple[str, str, tuple[int | None, ...]]
"""An input: its name, its type, its shape as the framework takes it with None where free."""

_MADE_UP = re.compile(r"(keras_tensor|input_layer|input)(_\d+)?")
_MOST_CHANNELS = 4
"""An image has one channel, or three or four; what has more in its last dimension is a map of features."""


def named_clearly(told: list[Told], request: ExportRequest, taken: Sequence[str] = ()) -> list[Told]:
    """Under the names that the operator or the model gives them; those that Keras makes up count the tensors of the
    process: they say nothing, and change. `taken` are the model's names of its outputs. Errors: ConfigError for
    declared inputs that are not the model's."""
    if all(_MADE_UP.fullmatch(name) for name, _, _ in told):
        lone = "images" if is_image(told[0][2]) else "input"
        names = [lone] if len(told) == 1 else [f"input_{index}" for index in range(len(told))]
        told = [(unlike(name, taken), dtype, shape) for name, (_, dtype, shape) in zip(names, told, strict=True)]
    return _as_declared(told, request)


def unlike(name: str, taken: Sequence[str]) -> str:
    """A name of ours, or one like it where the model's own have taken it."""
    while name in taken:
        name += "_"
    return name


def _as_declared(told: list[Told], request: ExportRequest) -> list[Told]:
    """Under the names and with the sizes that the operator gives; the batch is the request's."""
    if len(told) == 1 == len(request.declared):
        told = [(request.declared[0].name, *told[0][1:])]
    found = {name: (dtype, shape) for name, dtype, shape in told}
    for spec in request.declared:
        if spec.name not in found:
            fix = f"its inputs are {', '.join(found)}"
            raise ConfigError(f"the model has no input {spec.name!r}", where="--input", fix=fix)
        dtype, shape = found[spec.name]
        pairs = [*zip(shape, spec.shape, strict=False)]
        differs = len(spec.shape) != len(shape) or any(mine not in (None, given) for mine, given in pairs)
        if differs or spec.dtype != dtype:
            message = f"input {spec.name!r} is declared as {spec.dtype} {spec.shape}, the model's is {dtype} {shape}"
            raise ConfigError(message, where="--input", fix="leave it out, or declare it as it is")
        sizes = [given if isinstance(given, int) else mine for mine, given in pairs]
        found[spec.name] = (dtype, (shape[0], *sizes[1:]))
    return [(name, dtype, shape) for name, (dtype, shape) in found.items()]


def as_graph_input(told: Told, request: ExportRequest) -> tuple[TensorSpec, bool]:
    """The input as the graph shall take it, and whether its channels moved to the front: those of images of floats do.
    `--size` sets the height and width of images."""
    name, dtype, shape = told
    batch: Dim = FREE_BATCH if request.batch == "dynamic" else request.batch
    first: Dim = batch if shape[0] is None else shape[0]
    moved = is_image(shape) and dtype.startswith("float")
    rest: list[Dim] = [f"{name}_{axis}" if dim is None else dim for axis, dim in enumerate(shape)][1:]
    if is_image(shape):
        rest = [*_sides(shape, request), rest[-1]]
    if moved:
        rest = [rest[-1], *rest[:-1]]
    low_high = (0.0, 255.0) if dtype == "uint8" else (0.0, 1.0)
    return TensorSpec(name, dtype, (first, *rest), *low_high), moved


def is_image(shape: tuple[int | None, ...]) -> bool:
    """Whether (N, H, W, C) are images: 4-D, with at most four channels behind sides that are longer or free."""
    if len(shape) != 4:
        return False
    channels, sides = shape[3], shape[1:3]
    return channels is not None and channels <= _MOST_CHANNELS and all(side is None or side > 4 for side in sides)


def _sides(shape: tuple[int | None, ...], request: ExportRequest) -> list[Dim]:
    """Height and width: free where the request says so, or where nothing says a size."""
    if request.size is None:
        return [
            name if side is None else side for name, side in zip((FREE_HEIGHT, FREE_WIDTH), shape[1:3], strict=True)
        ]
    free = zip((FREE_HEIGHT, FREE_WIDTH), request.size, strict=True)
    return [name if side.min < side.max else side.opt for name, side in free]


def framework_shape(spec: TensorSpec, channels_first: frozenset[str]) -> tuple[int | None, ...]:
    """The shape that the framework takes, None where it is free."""
    shape = tuple(dim if isinstance(dim, int) else None for dim in spec.shape)
    return (shape[0], *shape[2:], shape[1]) if spec.name in channels_first else shape


def images_of(
    specs: Sequence[TensorSpec], channels_first: frozenset[str], known: ImageInput | None, request: ExportRequest
) -> tuple[ImageInput, ...]:
    """Every input that is an image whose pixels are known: `known` is the lone input's. Errors: ConfigError where the
    operator describes pixels of none."""
    found = []
    for spec in specs:
        if spec.name not in channels_first:
            continue
        image = replace(known, name=spec.name) if known and len(specs) == 1 else image_of(spec, request)
        if image is not None:
            shape = sized(spec, request).shape[1:]
            found.append(replace(image, shape=tuple(map(int, shape))))
    if (request.mean or request.std) and not channels_first and len(specs) == 1 and len(specs[0].shape) == 4:
        message = f"the manifest cannot hold the preprocessing of {specs[0].shape[-1]} channels"
        raise ConfigError(message, where="--mean and --std", fix="leave them out")
    return tuple(found)
