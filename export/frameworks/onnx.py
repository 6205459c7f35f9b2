"""A user's own .onnx file: checked, fixed to the batch that was asked for, converted to FP16 if that was asked for.

The reference is the file itself in onnxruntime, so an FP32 file has nothing to be compared with, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from device_agents.contract import Dim, Precision, TensorSpec
from export import golden, graph, parity
from export.artifact import Artifact, ExportRequest
from export.assemble import Made, assemble
from export.cache import versions
from export.precision import to_fp16
from profiles.errors import ExportError
from profiles.progress import Progress
from profiles.schema import ImageInput, ModelProfile

_DAMAGED = "check that it is the file that was exported, and that it arrived whole"
_FLOATS = {"float32": Precision.FP32, "float16": Precision.FP16}


@dataclass(frozen=True)
class Exporter:
    """Makes the artifact of the file at `request.model_path`. `name` is what the artifact calls the model."""

    name: str
    progress: Progress

    def export(self, model: ModelProfile | None, request: ExportRequest, out: Path) -> Artifact:  # noqa: ARG002
        """Errors: ExportError for a file that is damaged, no ONNX, or cannot serve the batch or precision asked for;
        ParityError when its FP16 form computes something else. The file says everything: it has no profile."""
        path = request.model_path
        if path is None:
            raise ExportError("the request names a file by hash and gives no path")
        self.progress(f"check {path.name}")
        proto = _read(path)
        _check_opset(proto, request.opset, path)
        graph.sanitise(proto)
        specs = graph.specs(proto.graph.input)
        graph.specs(proto.graph.output)  # an output without a shape is refused here, by name
        _fix_batch(proto, specs, request.batch, path)
        held = _precision(specs, path)
        if held is Precision.FP16 and request.precision is Precision.FP32:
            raise ExportError("the file is FP16 and cannot become FP32", where=str(path), fix="use --precision fp16")
        inputs = {spec.name: _values(spec, seed) for seed, spec in enumerate(specs, golden.SEED)}
        reference = parity.run(graph.check(proto), inputs, held)
        unchecked = None
        if held is request.precision:
            unchecked = "the file is its own reference"
        else:
            proto = to_fp16(proto)
        produced_by = {**versions("onnx"), "exporter": proto.producer_name or "unknown", "file": path.name}
        made = Made(proto, inputs, reference, produced_by, specs[0].low, specs[0].high, unchecked=unchecked)
        return assemble(self.name, request, made, out, self.progress)


def _read(path: Path) -> Any:
    """The ModelProto, without the inputs that only name its constants. Errors: ExportError in a sentence."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        proto = onnx.load_model(path, load_external_data=False)
    except (DecodeError, ValueError) as error:
        raise ExportError("not an ONNX file, or a damaged one", where=str(path), fix=_DAMAGED) from error
    if not proto.graph.node or not proto.opset_import:
        raise ExportError("not an ONNX file: it holds no graph", where=str(path), fix=_DAMAGED)
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in proto.graph.initializer):
        fix = "save it as one file: onnx.save(onnx.load(PATH), PATH)"
        raise ExportError("its weights lie in other files", where=str(path), fix=fix)
    constants = {tensor.name for tensor in proto.graph.initializer}
    kept = [value for value in proto.graph.input if value.name not in constants]
    del proto.graph.input[:]
    proto.graph.input.extend(kept)
    if not kept:
        raise ExportError("the graph takes no input", where=str(path))
    return proto


def _check_opset(proto: Any, highest: int, path: Path) -> None:
    """Errors: ExportError when the file has a higher opset than was asked for; 0 is any."""
    given = graph.opset(proto)
    if highest and given > highest:
        fix = f"make the file anew with opset {highest}"
        raise ExportError(f"the file has opset {given}, over {highest}, and is not converted", where=str(path), fix=fix)


def _fix_batch(proto: Any, specs: tuple[TensorSpec, ...], batch: Dim, path: Path) -> None:
    """In place: the batch that was asked for, if the file allows it. Errors: ExportError saying which it has."""
    firsts = {spec.shape[0] if spec.shape else None for spec in specs}
    if len(firsts) != 1 or None in firsts:
        raise ExportError("its inputs do not share a first dimension, the batch", where=str(path))
    first = firsts.pop()
    if isinstance(first, int):
        if first != batch:
            raise ExportError(f"the file has a fixed batch of {first}", where=str(path), fix=f"use --batch {first}")
        return
    free = sorted({dim for spec in specs for dim in spec.shape[1:] if isinstance(dim, str)})
    if free:
        raise ExportError(f"dimension {free[0]!r} beside the batch is free; its size must be fixed", where=str(path))
    graph.set_batch(proto, batch)


def _precision(specs: tuple[TensorSpec, ...], path: Path) -> Precision:
    floats = {spec.dtype for spec in specs} & _FLOATS.keys()
    if len(floats) != 1:
        raise ExportError("its inputs are neither float32 nor float16", where=str(path))
    return _FLOATS[floats.pop()]


def _values(spec: TensorSpec, seed: int) -> golden.Array:
    """Golden values for an input of unknown meaning: images where it looks like them, else seeded noise in [0, 1], and
    zeros and ones for integers."""
    shape = tuple(int(dim) for dim in spec.shape[1:])
    if len(shape) == 3:
        channels = shape[0]
        image = ImageInput(shape=shape, mean=(0.0,) * channels, std=(1.0,) * channels)
        return golden.images(image, seed=seed)
    random = np.random.default_rng(seed)
    if spec.dtype in _FLOATS:
        return golden.on_float16_grid(random.uniform(0.0, 1.0, (golden.COUNT, *shape)))
    return random.integers(0, 2, (golden.COUNT, *shape)).astype(np.float32)
