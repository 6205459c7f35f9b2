"""Resizes that say by what factor. tf2onnx has them compute the size that comes out, in a dozen nodes on shapes, as
TensorFlow does; runtimes plan memory, and fuse, where the factor is a constant."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from export.rewrite.net import Net, Node

# A dimension that the graph computes: a number, or so many times one axis of a tensor.
_Dim = int | tuple[str, int, Fraction]

_REPEATING = {
    b"half_pixel": (b"round_prefer_floor", b"round_prefer_ceil"),
    b"asymmetric": (b"floor",),
    b"tf_half_pixel_for_nn": (b"floor",),
}
"""Ways of counting pixels, and of rounding, in which a pixel of a larger image is the one that it lies in."""


def use_scales(net: Net) -> None:
    """In place, when layouts are chosen."""
    for node in net:
        if node.op != "Resize":
            continue
        scales = _scales(net, node) if len(node.inputs) == 4 else None
        if scales is not None:
            net.set_inputs(node, [node.inputs[0], "", net.put(np.array(scales, np.float32), node.output)])
        if len(node.inputs) == 3 and node.inputs[2] in net.constants:
            _repeat(node, net.constants[node.inputs[2]].tolist())
    net.tidy()
    net.infer_shapes()


def _repeat(node: Node, scales: list[float]) -> None:
    """Nearest neighbours of a whole number of times as many pixels are repetitions, in every way of counting that does
    not align corners: in the plainest, as TensorFlow's own is deprecated."""
    counting = node.attributes.get("coordinate_transformation_mode", b"half_pixel")
    rounding = node.attributes.get("nearest_mode", b"round_prefer_floor")
    repeats = node.attributes.get("mode") == b"nearest" and rounding in _REPEATING.get(counting, ())
    if repeats and all(scale >= 1 and scale.is_integer() for scale in scales):
        node.attributes["coordinate_transformation_mode"] = b"asymmetric"
        node.attributes["nearest_mode"] = b"floor"


def _scales(net: Net, node: Node) -> list[float] | None:
    dims = _dims(net, node.inputs[3])
    shape = net.shape(node.inputs[0])
    if dims is None or shape is None or len(dims) != len(shape):
        return None
    factors = [_factor(net, node.inputs[0], axis, dim) for axis, dim in enumerate(dims)]
    if any(factor is None or 1 not in factor.as_integer_ratio() for factor in factors):
        return None  # a third of 100 pixels is not a number of pixels
    return [float(factor) for factor in factors if factor is not None]


def _factor(net: Net, source: str, axis: int, dim: _Dim) -> Fraction | None:
    if isinstance(dim, int):
        own = (net.shape(source) or ())[axis]
        return Fraction(dim, own) if own else None
    tensor, other, factor = dim
    return factor if _root(net, tensor, other) == _root(net, source, axis) else None


def _root(net: Net, tensor: str, axis: int) -> tuple[str, int]:
    """The axis before it was moved by Transposes."""
    while (node := net.made_by(tensor, "Transpose")) is not None:
        tensor, axis = node.inputs[0], node.attributes["perm"][axis]
    return tensor, axis


def _dims(net: Net, name: str) -> list[_Dim] | None:
    """What a tensor of shapes holds, element by element; None where it is computed in another way."""
    constant = net.ints(name)
    if constant is not None:
        return list(constant)
    node = net.maker(name)
    if node is None:
        return None
    if node.op == "Shape" and not node.attributes:
        rank = net.rank(node.inputs[0])
        return None if rank is None else [(node.inputs[0], axis, Fraction(1)) for axis in range(rank)]
    inner = [_dims(net, source) for source in node.inputs[: 2 if node.op == "Mul" else None]]
    if inner[0] is None:
        return None
    if node.op in ("Cast", "Squeeze", "Unsqueeze", "Identity", "Reshape"):
        return inner[0]
    if None in inner or node.op not in ("Concat", "Mul", "Gather", "Slice"):
        return None
    return _combined(node.op, [part for part in inner if part is not None])


def _combined(op: str, parts: list[list[_Dim]]) -> list[_Dim] | None:
    first = parts[0]
    if op == "Concat":
        return [dim for part in parts for dim in part]
    if op == "Mul":
        return _product(*parts)
    indices = [[dim for dim in part if isinstance(dim, int)] for part in parts[1:]]
    if op == "Gather":
        return [first[index] for index in indices[0]]
    if len(indices) < 2 or any(step != 1 for step in (indices[3] if len(indices) > 3 else [])):
        return None
    return first[indices[0][0] : indices[1][0]]


def _product(first: list[_Dim], second: list[_Dim]) -> list[_Dim] | None:
    if len(first) != len(second):
        first, second = (first * len(second), second) if len(first) == 1 else (first, second * len(first))
    found: list[_Dim] = []
    for a, b in zip(first, second, strict=True):
        one, other = (b, a) if isinstance(a, int) else (a, b)
        if not isinstance(other, int):
            return None
        found.append(one * other if isinstance(one, int) else (one[0], one[1], one[2] * other))
    return found
