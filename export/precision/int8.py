"""INT8 in the graph: pairs of QuantizeLinear and DequantizeLinear, which is all that TensorRT's parser reads.

They are written here and not by onnxruntime's quantize_static, which gives the same numbers (a test compares them): it
holds every tensor of every sample, quantises any Add or none, and has no way to ranges that are known.

What is not INT8 is FP16 from opset 19 on, which is when scales may be FP16, and FP32 before. What TensorRT-RTX's
builder logs of ResNet-18 with FP16 scales is an INT8 convolution for each of its 20. With opset 17 FP16 would want a
Cast on both sides of every pair: the engine builds and holds INT8 weights, but its log tells of no such convolution.
TensorRT 8, which reads opset 17 at most, is not strongly typed: its builder may take FP16 for the rest by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.precision.overflow import LIMIT
from export.precision.placement import Placement

LEVELS = 127
"""Steps on either side of 0: symmetric, so -128 is not used by weights."""

_SMALLEST = np.float32(1e-7)


def quantise(model: Any, placement: Placement, ranges: Mapping[str, float]) -> None:
    """In place. `ranges` are the greatest absolute values of the placement's activations, by tensor.

    Weights stay in FP32 before their pair, which TensorRT folds: its older parsers read no INT8 constants.
    """
    work = _Pairs(model)
    readers = list(model.graph.node)
    for one in placement.activations:
        scale = np.float32(max(ranges[one.name] / LEVELS, _SMALLEST))
        readers[one.node].input[one.index] = work.pair(one.name, scale, None)
    for weight in placement.weights:
        scales = _scales(work.constant(weight.name), weight.axis)
        readers[weight.node].input[weight.index] = work.pair(weight.name, scales, weight.axis)
    work.write(readers)


def beyond(placement: Placement, ranges: Mapping[str, float]) -> set[str]:
    """What the pairs of activations make whose range FP16 would not hold: these pairs must stay in FP32."""
    wide = [_pair_name(name, None) for name in placement.tensors if ranges[name] > LIMIT]
    return {made for name in wide for made in (name, f"{name}/int8")}


def _scales(array: NDArray[np.float32], axis: int | None) -> NDArray[np.float32]:
    others = None if axis is None else tuple(place for place in range(array.ndim) if place != axis)
    peak = np.abs(array).max(axis=others)
    return np.asarray(np.maximum(peak / LEVELS, _SMALLEST), np.float32)


class _Pairs:
    """The pairs of one graph: one for each tensor and axis, before its first reader."""

    def __init__(self, model: Any) -> None:
        self._graph = model.graph
        self._constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self._pairs: dict[str, list[Any]] = {}

    def constant(self, name: str) -> Any:
        import onnx

        return onnx.numpy_helper.to_array(self._constants[name])

    def pair(self, name: str, scale: Any, axis: int | None) -> str:
        """The name of `name`, quantised and back."""
        made = _pair_name(name, axis)
        if made not in self._pairs:
            self._pairs[made] = self._nodes(name, made, np.asarray(scale, np.float32), axis)
        return made

    def _nodes(self, name: str, made: str, scale: NDArray[np.float32], axis: int | None) -> list[Any]:
        import onnx

        around = [f"{made}/scale", f"{made}/zero"]
        zeros = np.zeros(scale.shape, np.int8)  # without zero points the type would be UINT8
        arrays = zip((scale, zeros), around, strict=True)
        self._graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for array, name in arrays)
        axes = {} if axis is None else {"axis": axis}
        make = onnx.helper.make_node
        return [
            make("QuantizeLinear", [name, *around], [f"{made}/int8"], name=f"{made}/quantise", **axes),
            make("DequantizeLinear", [f"{made}/int8", *around], [made], name=f"{made}/dequantise", **axes),
        ]

    def write(self, nodes: list[Any]) -> None:
        waiting = dict(self._pairs)
        ordered = []
        for node in nodes:
            for name in node.input:
                ordered += waiting.pop(name, [])
            ordered.append(node)
        del self._graph.node[:]
        self._graph.node.extend(ordered)


def _pair_name(tensor: str, axis: int | None) -> str:
    return f"{tensor}/dequantised" if axis is None else f"{tensor}/dequantised_{axis}"
