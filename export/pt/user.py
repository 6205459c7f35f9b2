"""Users' models: a .pt2 that torch.export saved, and a factory of an nn.Module. Both run code of the user's."""

from __future__ import annotations

import inspect
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from device_agents.contract import Dim, TensorSpec
from export.declared import check_batch, image_of, sized
from export.models import ModelRef
from export.pt import weights
from export.pt.net import Net
from export.pt.outputs import adapter, flatten
from export.request import FREE_BATCH, FREE_HEIGHT, FREE_WIDTH, ExportRequest
from export.user_code import failed, made_by, sources
from profiles.errors import ConfigError, ExportError
from profiles.schema import ImageInput

_NO_IMAGES: tuple[ImageInput, ...] = ()
_DECLARE = "declare them, such as --input images:float32:batch,3,224,224"


def load(ref: ModelRef, request: ExportRequest) -> Net:
    """Errors: ExportError for a file that is none, code that raises or gives no model, inputs that nobody tells."""
    if request.head != "full":
        raise ConfigError("only torchvision's detectors have a raw head", where=ref.name, fix="leave --head out")
    return _of_file(ref, request) if ref.kind == "pt2" else _of_factory(ref, request)


def _of_factory(ref: ModelRef, request: ExportRequest) -> Net:
    network = _made(ref, request)
    if request.weights_path is not None:
        weights.load_file(network, request.weights_path)
    specs, images = (request.declared, _NO_IMAGES) if request.declared else _timm_input(network)
    if not specs:
        raise ExportError("which inputs it takes cannot be read off the model", where=ref.name, fix=_DECLARE)
    specs, notes = _at_batch(specs, request, ref.name)
    specs = tuple(_at_size(spec, request) for spec in specs)
    module = adapter(network.eval().float(), _call(network, [spec.name for spec in specs]))
    return Net(module, specs, images=images or _images(specs, request), notes=notes, sources=sources())


def _made(ref: ModelRef, request: ExportRequest) -> Any:
    import torch

    torch.manual_seed(request.seed)
    return made_by(ref.factory or "", ref.name, lambda made: isinstance(made, torch.nn.Module), "torch.nn.Module")


def _timm_input(network: Any) -> tuple[tuple[TensorSpec, ...], tuple[ImageInput, ...]]:
    """timm's models say what they take: `pretrained_cfg` with input_size (C, H, W), mean and std."""
    told = getattr(network, "pretrained_cfg", None) or {}
    shape = tuple(told.get("input_size", ()))
    if len(shape) != 3 or len(told.get("mean", ())) != shape[0] or len(told.get("std", ())) != shape[0]:
        return (), ()
    image = ImageInput(shape=shape, mean=tuple(told["mean"]), std=tuple(told["std"]))
    return (TensorSpec(image.name, "float32", (FREE_BATCH, *shape), image.low, image.high),), (image,)


def _call(network: Any, names: list[str]) -> Callable[..., dict[str, Any]]:
    """By the names of forward's parameters where these are the inputs', else in their order."""
    parameters = inspect.signature(network.forward).parameters
    if all(name in parameters for name in names):
        return lambda network, *inputs: flatten(network(**dict(zip(names, inputs, strict=True))), names)
    return lambda network, *inputs: flatten(network(*inputs), names)


def _of_file(ref: ModelRef, request: ExportRequest) -> Net:
    import torch
    from torch.utils import _pytree as pytree

    program = _read(ref, request)
    specs, ranges = _inputs_of(program, ref.name)
    specs, notes = _at_batch(specs, request, ref.name, ranges)
    specs = tuple(_at_size(spec, request) for spec in specs)
    network = program.module()
    shape, names = program.call_spec.in_spec, [spec.name for spec in specs]

    def call(network: Any, *inputs: Any) -> dict[str, Any]:
        args, kwargs = pytree.tree_unflatten(list(inputs), shape)
        return flatten(network(*args, **kwargs), names)

    with torch.no_grad():
        module = adapter(network, call)
    return Net(module, specs, images=_images(specs, request), notes=notes)


def _read(ref: ModelRef, request: ExportRequest) -> Any:
    """Errors: ExportError for any other file, before anything of it is unpickled, and for one that is not trusted."""
    import torch

    if ref.path is None:
        raise ExportError("no file is named", where=ref.name)
    where = str(ref.path)
    _refuse_other_files(ref.path)
    if not request.unsafe:
        fix = "give --unsafe for one that you trust, or export it from its own code with package.module:factory"
        raise ExportError("reading a .pt2 runs whatever code is hidden in it", where=where, fix=fix)
    try:
        return torch.export.load(ref.path)
    except Exception as error:  # what a broken file raises has no common base
        raise failed(error, "torch.export cannot read the file", where) from error


def _refuse_other_files(path: Path) -> None:
    """By the names in the archive alone."""
    fix = "write it with torch.export.save"
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile):
        raise ExportError("no file of torch.export, or a damaged one", where=str(path), fix=fix) from None
    inner = {name.partition("/")[2] or name for name in names}
    if any(name.startswith("models/") and name.endswith(".json") for name in inner):
        return
    if "serialized_exported_program.json" in names:  # up to torch 2.7
        return
    if "data.pkl" in inner:
        kind = "TorchScript" if any(name.startswith("code/") for name in inner) else "a pickle of torch.save"
        raise ExportError(f"it is {kind}, not a program of torch.export", where=str(path), fix=fix)
    raise ExportError("no file of torch.export", where=str(path), fix=fix)


def _inputs_of(program: Any, where: str) -> tuple[tuple[TensorSpec, ...], dict[str, tuple[int, int]]]:
    """The inputs that the program was exported for, and the range of each of its free dimensions."""
    import torch

    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    specs, ranges = [], {}
    for name in program.graph_signature.user_inputs:
        value = nodes[str(name)].meta["val"] if str(name) in nodes else None
        if not isinstance(value, torch.Tensor):
            raise ExportError(f"input {name!r} is no tensor", where=where, fix="export it with tensors alone")
        shape = tuple(_dim(name, axis, size) for axis, size in enumerate(value.shape))
        for dim, size in zip(shape, value.shape, strict=True):
            if isinstance(dim, str):
                bounds = program.range_constraints[size.node.expr]
                ranges[dim] = (int(bounds.lower), min(int(bounds.upper), 2**31) if bounds.upper.is_finite else 2**31)
        dtype = str(value.dtype).removeprefix("torch.")
        specs.append(TensorSpec(str(name), dtype, shape, *((0.0, 255.0) if dtype == "uint8" else (0.0, 1.0))))
    return tuple(specs), ranges


def _dim(name: Any, axis: int, size: Any) -> Dim:
    if isinstance(size, int):
        return size
    return {0: FREE_BATCH, 2: FREE_HEIGHT, 3: FREE_WIDTH}.get(axis, f"{name}_{axis}")


def _at_batch(
    specs: tuple[TensorSpec, ...], request: ExportRequest, where: str, ranges: dict[str, tuple[int, int]] | None = None
) -> tuple[tuple[TensorSpec, ...], tuple[str, ...]]:
    """The batch that was asked for. A declared number gives way to another that is asked for; a .pt2 (which has
    `ranges`) does not."""
    own = check_batch(specs, where)
    if request.batch == "dynamic":
        if isinstance(own, str):
            return specs, ()
        return specs, (f"the batch is fixed to {own}, as the inputs are declared",)
    if ranges is not None:
        low, high = ranges[own] if isinstance(own, str) else (own, own)
        if not low <= int(request.batch) <= high:
            fixed = f"a fixed batch of {low}" if low == high else f"a batch from {low} to {high}"
            raise ExportError(f"the program has {fixed}, not {request.batch}", where=where, fix=f"use --batch {low}")
    return tuple(replace(spec, shape=(request.batch, *spec.shape[1:])) for spec in specs), ()


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
