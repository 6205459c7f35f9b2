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


def named_clearly(told: list[Told], request: ExportRequest) -> list[Told]:
    """Under the names that the operator or the model gives them; those that Keras makes up count the tensors of the
    process: they say nothing, and change. Errors: ConfigError for declared inputs that are not the model's."""
    if all(_MADE_UP.fullmatch(name) for name, _, _ in told):
        lone = "images" if is_image(told[0][2]) else "input"
        told = [
            (lone if len(told) == 1 else f"input_{index}", dtype, shape) for index, (_, dtype, shape) in enumerate(told)
        ]
    return _declared_names(told, request)


def _declared_names(told: list[Told], request: ExportRequest) -> list[Told]:
    if len(told) == 1 == len(request.declared):
        told = [(request.declared[0].name, *told[0][1:])]
    shapes = {name: shape for name, _, shape in told}
    for spec in request.declared:
        if spec.name not in shapes:
            fix = f"its inputs are {', '.join(shapes)}"
            raise ConfigError(f"the model has no input {spec.name!r}", where="--input", fix=fix)
        shape = shapes[spec.name]
        pairs = zip(shape, spec.shape, strict=False)
        if len(spec.shape) != len(shape) or any(isinstance(mine, int) and mine != given for mine, given in pairs):
            message = f"input {spec.name!r} is declared as {spec.shape}, the model's is {shape}"
            raise ConfigError(message, where="--input", fix="leave it out, or declare it as it is")
    return told


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
    """Every input that is an image whose pixels are known: `known` is the lone input's."""
    found = []
    for spec in specs:
        image = replace(known, name=spec.name) if known and len(specs) == 1 else image_of(spec, request)
        if image is not None and spec.name in channels_first:
            shape = sized(spec, request).shape[1:]
            found.append(replace(image, shape=tuple(map(int, shape))))
    return tuple(found)
