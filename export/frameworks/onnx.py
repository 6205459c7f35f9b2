"""A user's own .onnx file: checked, its shapes inferred, fixed to the batch that was asked for.

The reference is what came with it (--reference), else the file itself in onnxruntime: then an FP32 file has nothing to
be compared with, and says so.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_agents.contract import Dim, DimRange, Precision, TensorSpec
from export import graph
from export.artifact import GOLDEN
from export.cache import versions
from export.data import golden, npz
from export.declared import finite, image_of, samples
from export.draft import Draft
from export.graph.checks import nodes
from export.graph.files import tensors
from export.judging import parity
from export.models import ModelRef
from export.request import FREE_HEIGHT, FREE_WIDTH, ExportRequest
from profiles.errors import ExportError
from profiles.progress import Progress

_FLOATS = {"float32": Precision.FP32, "float16": Precision.FP16}
_QUANTISED = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")


@dataclass(frozen=True)
class Exporter:
    """Makes the draft of the file at `ref.path`. `name` is what the artifact calls the model."""

    name: str
    progress: Progress

    def export(self, ref: ModelRef, request: ExportRequest, out: Path) -> Draft:
        """Errors: ExportError for a file that is damaged, no ONNX, or cannot serve what was asked for."""
        path = _path(ref)
        self.progress(f"check {path.name}")
        model = _read(path, request)
        specs = graph.specs(model.graph.input)
        held = _precision(model, specs, path)
        if held is not Precision.FP32 and held is not request.precision:
            fix = f"use --precision {held}"
            raise ExportError(f"the file is {held} and cannot become {request.precision}", where=str(path), fix=fix)
        written = graph.save(model, out)
        images = tuple(image for image in (image_of(spec, request) for spec in specs) if image is not None)
        unchecked = None
        if request.reference_path is not None:
            golden.save(out / GOLDEN, *_given(request.reference_path, specs, graph.specs(model.graph.output)))
        else:
            self.progress(f"run {path.name} with onnxruntime")
            for file, inputs in samples(specs, images, request).items():
                golden.save(out / file, inputs, parity.run(written, inputs, held))
            unchecked = "the file is its own reference"
        return Draft(
            task=request.task or "other",
            batch=request.batch,
            produced_by={**versions("onnx"), "exporter": model.producer_name or "unknown", "file": path.name},
            precision=held,
            images=images,
            ranges={spec.name: (spec.low, spec.high) for spec in request.declared},
            unchecked=unchecked,
        )


def answers(
    ref: ModelRef,
    request: ExportRequest,
    inputs: golden.Arrays,
    progress: Progress,
) -> dict[str, golden.Array]:
    """The file's own outputs in onnxruntime, in the precision that it has: of the graph as it is drafted, since
    onnxruntime does not read every format that onnx writes."""
    path = _path(ref)
    progress(f"run {path.name} with onnxruntime")
    model = _read(path, request)
    held = _precision(model, graph.specs(model.graph.input), path)
    with tempfile.TemporaryDirectory() as folder:
        return parity.run(graph.save(model, Path(folder)), inputs, held)


def _path(ref: ModelRef) -> Path:
    if ref.path is None:
        raise ExportError("the request names a file by hash and gives no path")
    return ref.path


def _read(path: Path, request: ExportRequest) -> Any:
    """The ModelProto with shapes, a batch, and the inputs that are none dropped. Errors: ExportError in a sentence."""
    model = graph.load(path)
    given = graph.opset(model)
    if request.opset and given > request.opset:
        fix = f"make the file anew with opset {request.opset}"
        message = f"the file has opset {given}, over {request.opset}, and is not converted"
        raise ExportError(message, where=str(path), fix=fix)
    graph.sanitise(model)  # onnx writes a newer format than onnxruntime reads
    _free_the_unknown(model)
    constants = {tensor.name for tensor in model.graph.initializer}
    kept = [value for value in model.graph.input if value.name not in constants]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    if not kept:
        raise ExportError("the graph takes no input", where=str(path))
    _declare(model, request, path)
    graph.refuse_bad(model)
    graph.infer_output_shapes(model)
    graph.specs(model.graph.output)  # an output without a shape is refused here, by name
    _fix_batch(model, request.batch, path)
    return model


def _free_the_unknown(model: Any) -> None:
    """In place: a dimension of -1 or 0, as some exporters write what they don't know, is free."""
    for value in (*model.graph.input, *model.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.HasField("dim_value") and dim.dim_value < 1:
                dim.Clear()


def _declare(model: Any, request: ExportRequest, path: Path) -> None:
    """In place: inputs become what --input says of them, and free sides what --size says where that is one size.
    Errors: ExportError for an input that the file has not, of another type, or that is fixed otherwise."""
    values = {value.name: value for value in model.graph.input}
    for spec in request.declared:
        if spec.name not in values:
            names = ", ".join(sorted(values))
            raise ExportError(f"it has no input {spec.name!r}; it has: {names}", where=str(path))
        (found,) = graph.specs([_shaped(values[spec.name], len(spec.shape))])
        fits = len(found.shape) == len(spec.shape) and all(
            isinstance(own, str) or own == asked for own, asked in zip(found.shape, spec.shape, strict=True)
        )
        if not fits or found.dtype != spec.dtype:
            message = f"input {spec.name!r} is {_told(found)}, declared is {_told(spec)}"
            raise ExportError(message, where=str(path), fix="declare what it is, or leave --input out")
        for dim, asked in zip(values[spec.name].type.tensor_type.shape.dim, spec.shape, strict=True):
            dim.Clear()
            setattr(dim, "dim_param" if isinstance(asked, str) else "dim_value", asked)
    if request.size is not None:
        _fix_sides(model, dict(zip((FREE_HEIGHT, FREE_WIDTH), request.size, strict=True)), path)


def _fix_sides(model: Any, sides: Mapping[str, DimRange], path: Path) -> None:
    """In place. Errors: ExportError where nothing is free, and the file isn't of that one size."""
    dims = [dim for value in model.graph.input for dim in value.type.tensor_type.shape.dim]
    free = [dim for dim in dims if dim.dim_param in sides]
    asked = tuple(side.opt for side in sides.values() if side.min == side.max)
    if not free and not any(_side(value) == asked for value in model.graph.input):
        fix = "leave the size out, or export it with --input NAME:TYPE:batch,3,height,width where its sides are free"
        raise ExportError("its inputs have no free side that is called height or width", where=str(path), fix=fix)
    for dim in free:
        side = sides[dim.dim_param]
        if side.min == side.max:
            dim.Clear()
            dim.dim_value = side.opt


def _side(value: Any) -> tuple[int, ...]:
    """Height and width of (N, C, H, W)."""
    dims = value.type.tensor_type.shape.dim
    return tuple(dim.dim_value for dim in dims[2:]) if len(dims) == 4 else ()


def _shaped(value: Any, rank: int) -> Any:
    """An input whose file says no shape, or dimensions without a name, takes what is declared: it gets free ones."""
    shape = value.type.tensor_type.shape
    if not value.type.tensor_type.HasField("shape"):
        for _ in range(rank):
            shape.dim.add()
    for index, dim in enumerate(shape.dim):
        if not dim.HasField("dim_value") and not dim.dim_param:
            dim.dim_param = f"dim_{index}"
    return value


def _told(spec: TensorSpec) -> str:
    return f"{spec.dtype} ({', '.join(map(str, spec.shape))})"


def _fix_batch(model: Any, batch: Dim, path: Path) -> None:
    """In place: the batch that was asked for, if the file allows it. Errors: ExportError saying which it has."""
    specs = graph.specs(_shaped(value, 0) for value in model.graph.input)
    firsts = {spec.shape[0] if spec.shape else None for spec in specs}
    if len(firsts) != 1 or None in firsts:
        raise ExportError("its inputs do not share a first dimension, the batch", where=str(path))
    first = firsts.pop()
    if isinstance(first, int):
        if first != batch:
            raise ExportError(f"the file has a fixed batch of {first}", where=str(path), fix=f"use --batch {first}")
        return
    graph.set_batch(model, batch)


def _precision(model: Any, specs: tuple[TensorSpec, ...], path: Path) -> Precision:
    """What the graph computes in: INT8 where anything in it is quantised, else FP16 where most of its weights are, else
    what its inputs say."""
    import onnx

    if any(_is_quantised(node.op_type) for node in nodes(model)):
        return Precision.INT8
    held = dict.fromkeys(("FLOAT", "FLOAT16"), 0)
    for tensor in tensors(model):
        kind = onnx.TensorProto.DataType.Name(tensor.data_type)
        if kind in held:
            held[kind] += math.prod(tensor.dims)
    if held["FLOAT16"] > held["FLOAT"]:
        return Precision.FP16
    floats = {spec.dtype for spec in specs} & _FLOATS.keys()
    if len(floats) == 1:
        return _FLOATS[floats.pop()]
    if not floats and {spec.dtype for spec in specs} <= {"uint8", "int64", "int32", "bool"}:
        return Precision.FP32
    raise ExportError("its inputs are neither float32 nor float16", where=str(path))


def _is_quantised(op: str) -> bool:
    """Of ONNX's operators and of onnxruntime's own."""
    return op in _QUANTISED or op.startswith("QLinear") or op.endswith("Integer")


def _given(
    path: Path, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The reference that came with the model: an .npz with `input:<name>` and `output:<name>`, samples first, or plain
    names. Errors: ExportError for what does not fit, naming the array."""
    raw = npz.read(path)
    found_in = {spec.name: npz.chosen(raw, "input", spec, path) for spec in inputs}
    found_out = {spec.name: npz.chosen(raw, "output", spec, path) for spec in outputs}
    npz.check_samples((*found_in.values(), *found_out.values()), path)
    finite({**found_in, **found_out}, str(path))
    return found_in, found_out
