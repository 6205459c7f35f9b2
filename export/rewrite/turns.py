"""How each of ONNX's operations that do not care about the layout of images is done channels-first instead.

A tensor that a graph has channels-last is "turned" when it is made channels-first. An operation's plan says which of
its tensors are images, and what becomes of its constants and axes when those are turned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from export.rewrite.net import Net, Node

FIRST = {4: [0, 3, 1, 2], 5: [0, 4, 1, 2, 3]}
"""Channels-last to channels-first, by rank: axis i of the turned tensor is axis FIRST[i] of the original."""
LAST = {4: [0, 2, 3, 1], 5: [0, 2, 3, 4, 1]}

# fmt: off
_UNARY = (
    "Abs", "Cast", "Ceil", "Celu", "Clip", "Cos", "Dropout", "Elu", "Erf", "Exp", "Floor", "HardSigmoid",
    "HardSwish", "Identity", "LeakyRelu", "Log", "Mish", "Neg", "Not", "Reciprocal", "Relu", "Round", "Selu",
    "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Sqrt", "Tanh", "ThresholdedRelu",
)
_BROADCAST = (
    "Add", "And", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min",
    "Mod", "Mul", "Or", "Pow", "PRelu", "Sub", "Sum", "Where", "Xor",
)
_REDUCE = (
    "ReduceL1", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum",
    "ReduceSumSquare",
)
# fmt: on


@dataclass(frozen=True)
class Plan:
    """How an operation is done on turned tensors: `turn` rewrites the node once its rank-4 or rank-5 inputs are turned.
    `inputs` are those tensors, `outputs` the ones that come out turned."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    turn: Callable[[], None]


def plan(net: Net, node: Node) -> Plan | None:
    """None for an operation that has a layout of its own, or one that is not known."""
    if node.op in _UNARY:
        return _whole(net, node, lambda: None)
    if node.op in _BROADCAST:
        return _broadcast(net, node)
    planner = _PLANNERS.get(node.op)
    if node.op in _REDUCE:
        planner = _reduce
    return planner(net, node) if planner else None


def _whole(net: Net, node: Node, turn: Callable[[], None]) -> Plan | None:
    """First input and every output are images of one rank."""
    names = (node.inputs[0], *node.outputs)
    if any(net.rank(name) not in FIRST for name in names) or len({net.rank(name) for name in names}) != 1:
        return None
    return Plan((node.inputs[0],), tuple(node.outputs), turn)


def _broadcast(net: Net, node: Node) -> Plan | None:
    """Constants are turned with the tensors, after they were given the ranks that broadcasting gives them."""
    rank = net.rank(node.output)
    if rank not in FIRST:
        return None
    images, constants = [], []
    for name in node.inputs:
        value = net.constants.get(name)
        if value is not None:
            constants.append(name)
        elif net.rank(name) == rank:
            images.append(name)
        elif net.rank(name) != 0:
            return None
    if not images:
        return None

    def turn() -> None:
        for name in dict.fromkeys(constants):
            value = net.constants[name]
            if value.size > 1:
                full = value.reshape((1,) * (rank - value.ndim) + value.shape)
                fresh = net.put(full.transpose(FIRST[rank]), name)
                net.set_inputs(node, [fresh if given == name else given for given in node.inputs])

    return Plan(tuple(images), (node.output,), turn)


def _along_an_axis(net: Net, node: Node) -> Plan | None:
    """Softmax, LogSoftmax."""
    rank = net.rank(node.output)
    return _whole(net, node, lambda: _turn_axis(node, rank)) if rank in FIRST else None


def _concat(net: Net, node: Node) -> Plan | None:
    rank = net.rank(node.output)
    if rank not in FIRST or any(name in net.constants for name in node.inputs):
        return None
    return Plan(tuple(node.inputs), (node.output,), lambda: _turn_axis(node, rank))


def _split(net: Net, node: Node) -> Plan | None:
    rank = net.rank(node.inputs[0])
    return _whole(net, node, lambda: _turn_axis(node, rank)) if rank in FIRST else None


def _turn_axis(node: Node, rank: int) -> None:
    node.attributes["axis"] = _turned_axis(node.attributes.get("axis", -1), rank)


def _turned_axis(axis: int, rank: int) -> int:
    """Where an axis of the original is in the turned tensor."""
    return FIRST[rank].index(axis % rank)


def _reduce(net: Net, node: Node) -> Plan | None:
    rank = net.rank(node.inputs[0])
    axes = _axes(net, node)
    if rank not in FIRST or axes is None:
        return None
    axes = [axis % rank for axis in axes]
    keeps = bool(node.attributes.get("keepdims", 1))
    left = [axis for axis in range(rank) if axis not in axes]
    in_order = [axis for axis in FIRST[rank] if axis in left] == left
    if not keeps and not in_order:
        return None

    def turn() -> None:
        _set_axes(net, node, [_turned_axis(axis, rank) for axis in axes])

    return Plan((node.inputs[0],), (node.output,) if keeps else (), turn)


def _axes(net: Net, node: Node) -> list[int] | None:
    """The axes of a reduction, a squeeze or an unsqueeze, which opsets give as an attribute or as an input."""
    if "axes" in node.attributes:
        return [int(axis) for axis in node.attributes["axes"]]
    return net.ints(node.inputs[1]) if len(node.inputs) > 1 else None


def _set_axes(net: Net, node: Node, axes: list[int]) -> None:
    if "axes" in node.attributes:
        node.attributes["axes"] = sorted(axes)
    else:
        net.set_inputs(node, [node.inputs[0], net.put(np.array(sorted(axes), np.int64), node.inputs[1])])


def _pad(net: Net, node: Node) -> Plan | None:
    rank = net.rank(node.inputs[0])
    pads = net.ints(node.inputs[1]) if len(node.inputs) > 1 else None
    if rank not in FIRST or pads is None or len(node.inputs) > 3:
        return None

    def turn() -> None:
        order = [*FIRST[rank], *(axis + rank for axis in FIRST[rank])]
        fresh = net.put(np.array([pads[axis] for axis in order], np.int64), node.inputs[1])
        net.set_inputs(node, [node.inputs[0], fresh, *node.inputs[2:]])

    return _whole(net, node, turn)


def _slice(net: Net, node: Node) -> Plan | None:
    rank = net.rank(node.inputs[0])
    if rank not in FIRST or len(node.inputs) < 4:
        return None
    axes = net.ints(node.inputs[3])
    if axes is None:
        return None

    def turn() -> None:
        kind = net.constants[node.inputs[3]].dtype  # that of starts, ends and steps: ONNX wants one
        fresh = net.put(np.array([_turned_axis(axis, rank) for axis in axes], kind), node.inputs[3])
        net.set_inputs(node, [*node.inputs[:3], fresh, *node.inputs[4:]])

    return _whole(net, node, turn)


def _tile(net: Net, node: Node) -> Plan | None:
    rank = net.rank(node.inputs[0])
    repeats = net.ints(node.inputs[1])
    if rank not in FIRST or repeats is None:
        return None

    def turn() -> None:
        fresh = net.put(np.array([repeats[axis] for axis in FIRST[rank]], np.int64), node.inputs[1])
        net.set_inputs(node, [node.inputs[0], fresh])

    return _whole(net, node, turn)


def _shape(net: Net, node: Node) -> Plan | None:
    rank = net.rank(node.inputs[0])
    if rank not in FIRST or node.attributes:
        return None

    def turn() -> None:
        inner, order = f"{node.output}__turned", net.put(np.array(LAST[rank], np.int64), node.output)
        net.add(Node("Gather", [inner, order], [node.output], {"axis": 0}, f"{node.name}/Gather"))
        net.set_outputs(node, [inner])

    return Plan((node.inputs[0],), (), turn)


def _to_image(net: Net, node: Node) -> Plan | None:
    """(N, C) made (N, 1, 1, C), as before a gate: (N, C, 1, 1) when turned."""
    rank = net.rank(node.output)
    shape = net.shape(node.output)
    if rank not in FIRST or shape is None or any(dim != 1 for dim in shape[1:-1]):
        return _from_image(net, node)
    target = net.ints(node.inputs[1])
    if target is None or net.rank(node.inputs[0]) != 2 or (node.op == "Reshape" and 0 in target):
        return None

    def turn() -> None:
        if node.op == "Unsqueeze":
            fresh = np.array(range(2, rank), np.int64)
        else:
            fresh = np.array([target[axis] for axis in FIRST[rank]], np.int64)
        net.set_inputs(node, [node.inputs[0], net.put(fresh, node.inputs[1])])

    return Plan((), (node.output,), turn)


def _from_image(net: Net, node: Node) -> Plan | None:
    """(N, 1, 1, C) made (N, C): the same numbers in the same order in either layout."""
    shape = net.shape(node.inputs[0])
    rank = net.rank(node.output)
    if shape is None or len(shape) not in FIRST or rank != 2 or any(dim != 1 for dim in shape[1:-1]):
        return None
    if node.op == "Reshape":
        target = net.ints(node.inputs[1])
        if target is None or 0 in target[1:]:
            return None
        return Plan((node.inputs[0],), (), lambda: None)
    if sorted(axis % len(shape) for axis in _axes(net, node) or ()) != [*range(1, len(shape) - 1)]:
        return None
    return Plan((node.inputs[0],), (), lambda: _set_axes(net, node, [*range(2, len(shape))]))


_PLANNERS: Mapping[str, Callable[[Net, Node], Plan | None]] = {
    "Softmax": _along_an_axis,
    "LogSoftmax": _along_an_axis,
    "Concat": _concat,
    "Split": _split,
    "Pad": _pad,
    "Slice": _slice,
    "Tile": _tile,
    "Shape": _shape,
    "Reshape": _to_image,
    "Unsqueeze": _to_image,
    "Squeeze": _from_image,
}
