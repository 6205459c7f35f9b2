"""Users' models: a .pt2 (export.pt.program), and a factory of an nn.Module. Both run code of the user's."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from device_agents.contract import TensorSpec
from export.declared import check_batch, image_of, refuse_bounds, sized
from export.models import ModelRef
from export.pt import program as programs
from export.pt import weights
from export.pt.net import MOST, Batches, Net, shape_of
from export.pt.outputs import adapter, flatten
from export.request import FREE_BATCH, FREE_HEIGHT, FREE_WIDTH, ExportRequest
from export.user_code import made_by, sources
from profiles.errors import ConfigError, ExportError
from profiles.schema import ImageInput

_NO_IMAGES: tuple[ImageInput, ...] = ()
_DECLARE = "declare them, such as --input images:float32:batch,3,224,224"
_DECLARE_FREE = "declare what is free, such as --input images:float32:batch,3,height,width"
_EXPORT_FREE = "export the program with torch.export.Dim for what is free"


def load(ref: ModelRef, request: ExportRequest) -> Net:
    """Errors: ExportError for a file that is none, code that raises or gives no model, inputs that nobody tells."""
    if request.head != "full":
        raise ConfigError("only torchvision's detectors have a raw head", where=ref.name, fix="leave --head out")
    return _of_file(ref, request) if ref.kind == "pt2" else _of_factory(ref, request)


def _of_factory(ref: ModelRef, request: ExportRequest) -> Net:
    network = _made(ref, request)
    if request.weights_path is not None:
        weights.load_file(network, request.weights_path)
    specs, images = (request.declared, _NO_IMAGES) if request.declared else _timm_input(network, request)
    if not specs:
        raise ExportError("which inputs it takes cannot be read off the model", where=ref.name, fix=_DECLARE)
    specs, notes = _as_asked(specs, request, ref.name)
    module = adapter(network.eval().float(), _call(network, [spec.name for spec in specs]))
    return Net(module, specs, images=images or _images(specs, request), notes=notes, sources=sources())


def _made(ref: ModelRef, request: ExportRequest) -> Any:
    import torch

    def is_module(made: Any) -> bool:
        return isinstance(made, torch.nn.Module)

    torch.manual_seed(request.seed)
    return made_by(ref.factory or "", ref.name, is_module, "torch.nn.Module", path=ref.path)


def _timm_input(network: Any, request: ExportRequest) -> tuple[tuple[TensorSpec, ...], tuple[ImageInput, ...]]:
    """timm's models say what they take: `pretrained_cfg` with input_size (C, H, W), mean and std. What the operator
    says of size, mean and std comes first."""
    told = getattr(network, "pretrained_cfg", None) or {}
    shape = tuple(told.get("input_size", ()))
    if len(shape) != 3 or len(told.get("mean", ())) != shape[0] or len(told.get("std", ())) != shape[0]:
        return (), ()
    own = ImageInput(shape=shape, mean=tuple(told["mean"]), std=tuple(told["std"]))
    asked = replace(request, mean=request.mean or own.mean, std=request.std or own.std)
    specs = (TensorSpec(own.name, "float32", (FREE_BATCH, *shape_of(own, request))),)
    return specs, _images(specs, asked)


def _call(network: Any, names: list[str]) -> Callable[..., dict[str, Any]]:
    """By the names of forward's parameters where these are the inputs', else in their order."""
    parameters = inspect.signature(network.forward).parameters
    if all(name in parameters for name in names):
        return lambda network, *inputs: flatten(network(**dict(zip(names, inputs, strict=True))), names)
    return lambda network, *inputs: flatten(network(*inputs), names)


def _of_file(ref: ModelRef, request: ExportRequest) -> Net:
    import torch
    from torch.utils import _pytree as pytree

    program = programs.read(ref, request)
    specs, batches = programs.inputs_of(program, ref.name)
    specs, notes = _as_asked(specs, request, ref.name, batches)
    network = program.module()
    shape, names = program.call_spec.in_spec, [spec.name for spec in specs]

    def call(network: Any, *inputs: Any) -> dict[str, Any]:
        args, kwargs = pytree.tree_unflatten(list(inputs), shape)
        return flatten(network(*args, **kwargs), names)

    with torch.no_grad():
        module = adapter(network, call)
    return Net(module, specs, images=_images(specs, request), notes=notes, batches=batches)


def _as_asked(
    specs: tuple[TensorSpec, ...], request: ExportRequest, where: str, batches: Batches | None = None
) -> tuple[tuple[TensorSpec, ...], tuple[str, ...]]:
    """(the inputs at the batch and the size that were asked for, notes). A declared number of samples gives way to
    another that is asked for; a .pt2 takes what lies in its `batches`. Errors: ConfigError, ExportError."""
    free = _DECLARE_FREE if batches is None else _EXPORT_FREE
    own = check_batch(specs, where)
    batch = own if request.batch == "dynamic" else request.batch
    if isinstance(batch, int):
        refuse_bounds(batch, request, where, fix=f"leave --bounds out, or {free}")
    notes = []
    if request.batch == "dynamic" and isinstance(own, int):
        notes.append(f"the batch is fixed to {own}, as {'declared' if batches is None else 'in the program'}")
    if batches is not None:
        _refuse_outside(batches, request, where)
        if isinstance(own, str) and batches != (1, MOST):
            notes.append(f"the program was exported for {_span(*batches)}")
    specs = tuple(replace(spec, shape=(batch, *spec.shape[1:])) for spec in specs)
    _refuse_other_size(specs, request, where, fix=f"leave --size out, or {free}")
    return tuple(_at_size(spec, request) for spec in specs), tuple(notes)


def _refuse_outside(batches: Batches, request: ExportRequest, where: str) -> None:
    """Errors: ExportError for a batch, or bounds of it, that a .pt2 does not take."""
    low, high = batches
    bounds = [size for one in request.bounds for size in (one.min, one.max)]
    asked = bounds if request.batch == "dynamic" else [int(request.batch)]
    outside = [size for size in asked if not low <= size <= high]
    if outside:
        fix = "keep --bounds within that" if bounds else f"use --batch {low}"
        raise ExportError(f"the program has {_span(low, high)}, not {outside[0]}", where=where, fix=fix)


def _span(low: int, high: int) -> str:
    if low == high:
        return f"a fixed batch of {low}"
    return f"a batch from {low} on" if high == MOST else f"a batch from {low} to {high}"


def _refuse_other_size(specs: tuple[TensorSpec, ...], request: ExportRequest, where: str, *, fix: str) -> None:
    """Errors: ConfigError for a size that is not free in any input, and not what an image has."""
    if request.size is None:
        return
    free = {dim for spec in specs for dim in spec.shape[1:]}
    images = [spec.shape[-2:] for spec in specs if len(spec.shape) in (4, 5)]
    fixed = []
    for axis, (name, side) in enumerate(zip((FREE_HEIGHT, FREE_WIDTH), request.size, strict=True)):
        is_own = side.min == side.max and any(sides[axis] == side.opt for sides in images)
        if name not in free and not is_own:
            fixed.append(name)
    if fixed:
        raise ConfigError(f"its inputs have one {'size' if len(fixed) == 2 else fixed[0]}", where=where, fix=fix)


def _at_size(spec: TensorSpec, request: ExportRequest) -> TensorSpec:
    """Free sides stay free where a range is asked for, and take the size where one is. Errors: ExportError for a free
    dimension whose size nothing tells."""
    if not any(isinstance(dim, str) for dim in spec.shape[1:]):
        return spec
    fixed = sized(spec, request)
    if request.size is None:
        return fixed
    free = {name: side.min < side.max for name, side in zip((FREE_HEIGHT, FREE_WIDTH), request.size, strict=True)}
    shape = (dim if free.get(str(dim)) else size for dim, size in zip(spec.shape, fixed.shape, strict=True))
    return replace(spec, shape=tuple(shape))


def _images(specs: tuple[TensorSpec, ...], request: ExportRequest) -> tuple[ImageInput, ...]:
    return tuple(image for spec in specs if (image := image_of(spec, request)) is not None)
