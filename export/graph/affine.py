"""Batch norm folded into the weights before it: y = scale * conv(x) + shift is a convolution with other weights.

Keras's batch norm comes as Mul and Add, so those are folded too where their constant has one value a channel. Graphs
are onnx_ir's here. Sums are in double precision: weights are rounded once, to their own type.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.graph.names import free_name

Array = NDArray[Any]

_LINEAR = ("Conv", "ConvTranspose", "Gemm")
_NORM = "BatchNormalization"


@dataclass(frozen=True)
class _Step:
    """y = scale * x + shift, one value a channel each."""

    scale: Array
    shift: Array


def fold_affine(model: Any) -> None:
    """In place, in every graph of the model: BatchNormalization, Mul, Div, Add and Sub after a Conv, ConvTranspose or
    Gemm whose weights are constant and whose output nothing else reads."""
    import onnx_ir as ir

    for node in list(ir.traversal.RecursiveGraphIterator(model.graph)):
        linear = _linear_before(node)
        step = _step(node, linear) if linear is not None else None
        if step is not None and _fold(linear, step):
            _bypass(node, linear)


def _linear_before(node: Any) -> Any | None:
    """The convolution whose only reader this node is."""
    if node.domain not in ("", "ai.onnx") or node.op_type not in (_NORM, *_STEPS):
        return None
    for value in node.inputs if node.op_type in ("Mul", "Add") else node.inputs[:1]:
        maker = value.producer() if value is not None else None
        if (
            maker is not None
            and maker.op_type in _LINEAR
            and maker.domain in ("", "ai.onnx")
            and maker.graph is node.graph
            and len(value.uses()) == 1
            and not value.is_graph_output()
        ):
            return maker
    return None


def _step(node: Any, linear: Any) -> _Step | None:
    weight = _constant(linear.inputs[1])
    if weight is None or weight.dtype.kind not in "fV":  # V: bfloat16 of ml_dtypes
        return None
    channels = _channels(linear, weight)
    rank = 2 if linear.op_type == "Gemm" else weight.ndim
    if node.op_type == _NORM:
        return _batch_norm(node, channels)
    other = [value for value in node.inputs if value is not linear.outputs[0]]
    constant = _constant(other[0]) if len(other) == 1 else None
    vector = _per_channel(constant, channels, rank) if constant is not None else None
    return _STEPS[node.op_type](vector) if vector is not None else None


def _batch_norm(node: Any, channels: int) -> _Step | None:
    values = [_constant(value) for value in node.inputs[1:5]]
    if any(value is None or value.shape != (channels,) for value in values):
        return None
    gain, bias, mean, variance = (value.astype(np.float64) for value in values if value is not None)
    scale = gain / np.sqrt(variance + _number(node, "epsilon", 1e-5))
    return _Step(scale, bias - mean * scale)


def _of(scale: Array | float, shift: Array | float, channels: int) -> _Step:
    return _Step(*(np.broadcast_to(np.asarray(one, np.float64), (channels,)) for one in (scale, shift)))


_STEPS: dict[str, Callable[[Array], _Step | None]] = {
    "Mul": lambda c: _of(c, 0.0, len(c)),
    "Div": lambda c: _of(1.0 / c, 0.0, len(c)) if c.all() else None,
    "Add": lambda c: _of(1.0, c, len(c)),
    "Sub": lambda c: _of(1.0, -c, len(c)),
}


def _per_channel(constant: Array, channels: int, rank: int) -> Array | None:
    """The constant as one value a channel, if it broadcasts over all else and adds no dimension."""
    if constant.ndim > rank:
        return None
    shape = (1,) * (rank - constant.ndim) + constant.shape
    if any(size != 1 for axis, size in enumerate(shape) if axis != 1) or shape[1] not in (1, channels):
        return None
    return np.broadcast_to(constant.reshape(-1).astype(np.float64), (channels,))


def _fold(linear: Any, step: _Step) -> bool:
    """Give the node its new weights. False, and nothing is changed, where its bias is computed, or a value would leave
    the range of the weights' type."""
    weight = _constant(linear.inputs[1])
    bias = _bias(linear, len(step.scale))
    if weight is None or bias is None:
        return False
    dtype = weight.dtype
    with np.errstate(over="ignore"):
        weights = (weight.astype(np.float64) * _along_weights(linear, weight, step.scale)).astype(dtype)
        biases = (bias * step.scale + step.shift).astype(dtype)
    if not (np.isfinite(weights.astype(np.float32)).all() and np.isfinite(biases.astype(np.float32)).all()):
        return False
    _put(linear, 1, weights)
    _put(linear, 2, biases)
    linear.attributes.pop("beta", None)
    return True


def _channels(linear: Any, weight: Array) -> int:
    if linear.op_type == "Conv":
        return int(weight.shape[0])
    if linear.op_type == "ConvTranspose":
        return int(weight.shape[1] * _number(linear, "group", 1))
    return int(weight.shape[0 if _number(linear, "transB", 0) else 1])


def _along_weights(linear: Any, weight: Array, scale: Array) -> Array:
    """The scale in a shape that multiplies the weights: (M, C / group, k...), of ConvTranspose (C, M / group, k...)
    with the groups one after the other along C, of Gemm (K, M) or (M, K)."""
    if linear.op_type == "Conv":
        return scale.reshape(-1, *(1,) * (weight.ndim - 1))
    if linear.op_type == "Gemm":
        return scale[:, None] if _number(linear, "transB", 0) else scale[None]
    groups = int(_number(linear, "group", 1))
    by_row = np.repeat(scale.reshape(groups, -1), weight.shape[0] // groups, axis=0)
    return by_row.reshape(*by_row.shape, *(1,) * (weight.ndim - 2))


def _bias(linear: Any, channels: int) -> Array | None:
    """As doubles, with Gemm's beta in it; zeros where there is none; None where it is no constant of one a channel."""
    if len(linear.inputs) < 3 or linear.inputs[2] is None:
        return np.zeros(channels)
    constant = _constant(linear.inputs[2])
    vector = _per_channel(constant, channels, 2) if constant is not None and linear.op_type == "Gemm" else constant
    return None if vector is None else vector.astype(np.float64) * _number(linear, "beta", 1.0)


def _put(linear: Any, index: int, array: Array) -> None:
    """The array as a constant input: in place of the old one where nobody else reads it, under its name."""
    import onnx_ir as ir

    old = linear.inputs[index] if index < len(linear.inputs) else None
    if old is not None and len(old.uses()) == 1 and not old.is_graph_output():
        old.const_value = ir.tensor(array, name=old.name)
        old.shape, old.dtype = ir.Shape(array.shape), ir.DataType.from_numpy(array.dtype)
        return
    graph = linear.graph
    wish = f"{linear.inputs[1].name}_bias" if old is None else f"{old.name}/{linear.name or linear.outputs[0].name}"
    value = ir.Value(name=free_name(wish, graph.initializers))
    value.const_value = ir.tensor(array, name=value.name)
    value.shape, value.type = ir.Shape(array.shape), ir.TensorType(ir.DataType.from_numpy(array.dtype))
    graph.register_initializer(value)
    if index >= len(linear.inputs):
        linear.resize_inputs(index + 1)
    linear.replace_input_with(index, value)


def _bypass(node: Any, linear: Any) -> None:
    """Let the convolution make what the node made, under that name."""
    import onnx_ir as ir

    made, name = linear.outputs[0], node.outputs[0].name
    made.type, made.shape = node.outputs[0].type or made.type, node.outputs[0].shape or made.shape
    ir.convenience.replace_all_uses_with(node.outputs[0], made, replace_graph_outputs=True)
    node.graph.remove(node, safe=True)
    made.name = name


def _constant(value: Any) -> Array | None:
    if value is None or value.is_graph_input() or not value.is_initializer() or value.const_value is None:
        return None
    return np.asarray(value.const_value.numpy())


def _number(node: Any, name: str, default: float) -> float:
    attribute = node.attributes.get(name)
    return default if attribute is None else float(attribute.value)
