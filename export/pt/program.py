"""A program of torch.export in a .pt2: read where it is trusted, and what it was exported for."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from device_agents.contract import Dim, TensorSpec
from export.models import ModelRef
from export.pt.net import MOST, Batches
from export.request import FREE_BATCH, FREE_HEIGHT, FREE_WIDTH, ExportRequest
from export.user_code import failed
from profiles.errors import ExportError

_HALVES = {"float16": "FP16", "bfloat16": "BF16"}


def read(ref: ModelRef, request: ExportRequest) -> Any:
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


def inputs_of(program: Any, where: str) -> tuple[tuple[TensorSpec, ...], Batches]:
    """The inputs that it was exported for, and the least and the largest batch. Free are the batch, and height and
    width of images. Errors: ExportError for inputs that are no tensors, are free otherwise, or are not in FP32."""
    tensors = _tensors(program, where)
    _refuse_half([*tensors.values(), *program.state_dict.values(), *program.constants.values()], where)
    sides = _sides([tuple(tensor.shape) for tensor in tensors.values()])
    specs = []
    for name, tensor in tensors.items():
        dtype = str(tensor.dtype).removeprefix("torch.")
        shape = tuple(_dim(axis, tuple(tensor.shape), sides) for axis in range(tensor.dim()))
        if None in shape:
            message = f"dimension {shape.index(None)} of input {name!r} is free, and nothing says its size"
            raise ExportError(message, where=where, fix="export the program with one size there")
        known = tuple(dim for dim in shape if dim is not None)
        specs.append(TensorSpec(name, dtype, known, *((0.0, 255.0) if dtype == "uint8" else (0.0, 1.0))))
    firsts = [tensor.shape[0] for tensor in tensors.values() if tensor.dim()]
    return tuple(specs), _batches(firsts, program.range_constraints)


def _tensors(program: Any, where: str) -> dict[str, Any]:
    """What stands for each input, by its name."""
    import torch

    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    found = {}
    for name in map(str, program.graph_signature.user_inputs):
        found[name] = nodes[name].meta["val"] if name in nodes else None
        if not isinstance(found[name], torch.Tensor):
            raise ExportError(f"input {name!r} is no tensor", where=where, fix="export it with tensors alone")
    return found


def _refuse_half(tensors: list[Any], where: str) -> None:
    """Errors: ExportError for inputs or weights in FP16 or BF16."""
    dtypes = {str(getattr(tensor, "dtype", "")).removeprefix("torch.") for tensor in tensors}
    found = [word for dtype, word in _HALVES.items() if dtype in dtypes]
    if found:
        fix = "export the network in FP32, and ask for --precision fp16"
        raise ExportError(f"the program is in {found[0]}, and edgebench starts from FP32", where=where, fix=fix)


def _sides(shapes: list[tuple[Any, ...]]) -> list[tuple[str, Any]]:
    """(name, torch's symbol) of height and width of the first image that is free in them: (N, C, H, W), or of a video
    (N, C, T, H, W)."""
    images = (shape[-2:] for shape in shapes if len(shape) in (4, 5))
    first = next((sides for sides in images if not all(isinstance(size, int) for size in sides)), ())
    named = zip((FREE_HEIGHT, FREE_WIDTH), first, strict=False)
    return [(name, size.node.expr) for name, size in named if not isinstance(size, int)]


def _dim(axis: int, shape: tuple[Any, ...], sides: list[tuple[str, Any]]) -> Dim | None:
    """None where it is free and has no name. Of a square image both sides are one symbol: the last is the width."""
    if isinstance(shape[axis], int):
        return int(shape[axis])
    if axis == 0:
        return FREE_BATCH
    ordered = sides[::-1] if axis == len(shape) - 1 else sides
    return next((name for name, symbol in ordered if symbol == shape[axis].node.expr), None)


def _batches(firsts: list[Any], ranges: Any) -> Batches:
    """What every input takes. torch's own infinity says of itself that it is finite, and is no integer."""
    found = [(size, size) for size in firsts if isinstance(size, int)]
    for size in firsts:
        if not isinstance(size, int):
            span = ranges[size.node.expr]
            found.append((int(span.lower), MOST if span.upper > MOST else int(span.upper)))
    return max([1, *(low for low, _ in found)]), min([MOST, *(high for _, high in found)])
