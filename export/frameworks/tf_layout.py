"""Which tensors of a graph are channels-first: the choice that moves the fewest elements through Transposes.

tf2onnx puts every convolution and pooling between two Transposes, and its own pass that removes them gives up in many
places. Here the choice is made once for the whole graph. Operations that do not care (an addition, a concatenation, a
mean over height and width) may work in either layout; the others have theirs. A tensor costs its size where someone
reads it in the other layout. That is a minimum cut (export.frameworks.min_cut), so no other choice is cheaper.

A tensor that the graph has channels-last is "turned" when it is made channels-first instead. Of a tensor that is
channels-first already, nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from export.frameworks.min_cut import Cut
from export.frameworks.tf_net import Net, Node, elements

_FIRST = {4: [0, 3, 1, 2], 5: [0, 4, 1, 2, 3]}
"""Channels-last to channels-first, by rank: axis i of the turned tensor is axis _FIRST[i] of the original."""
_LAST = {4: [0, 2, 3, 1], 5: [0, 2, 3, 4, 1]}

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

_COST_OF_A_NODE = 64  # elements: a Transpose costs something, however small


@dataclass(frozen=True)
class _Plan:
    """How an operation is done on turned tensors: `turn` rewrites the node once its rank-4 or rank-5 inputs are turned.
    `inputs` are those tensors, `outputs` the ones that come out turned."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    turn: Callable[[], None]


def choose_layouts(net: Net) -> None:
    """In place. Shapes must have been inferred."""
    _cancel_inverse_pairs(net)
    plans = {node: plan for node in net if (plan := _plan(net, node)) is not None}
    turned = _cheapest(net, plans)
    _apply(net, plans, turned)
    _cancel_inverse_pairs(net)
    net.tidy()
    net.infer_shapes()


def _cancel_inverse_pairs(net: Net) -> None:
    """Two Transposes in a row become one, or none."""
    for node in net:
        if node.op != "Transpose" or node not in net:
            continue
        before = net.made_by(node.inputs[0], "Transpose")
        if before is None:
            continue
        perm = [before.attributes["perm"][axis] for axis in node.attributes["perm"]]
        source = before.inputs[0]
        if perm != sorted(perm):
            node.attributes["perm"] = perm
            net.set_inputs(node, [source])
        else:
            _bypass(net, node, source)
    net.tidy()


def _bypass(net: Net, node: Node, source: str) -> None:
    """Drop a node that gives `source` again; an output of the graph keeps its name."""
    if not net.is_output(node.output):
        net.replace(node.output, source)
        net.remove(node)
        return
    maker = net.maker(source)
    if maker is not None and not net.is_output(source):
        net.remove(node)
        net.replace(source, node.output)
        net.set_outputs(maker, [node.output if name == source else name for name in maker.outputs])


def _cheapest(net: Net, plans: Mapping[Node, _Plan]) -> set[Node]:
    """The nodes of `plans` that are to work channels-first."""
    cut = Cut()
    for name in _tensors(plans):
        maker = net.maker(name)
        supply = cut.channels_last
        if maker is not None and maker in plans and name in plans[maker].outputs:
            supply = maker
        elif _turns(maker, _LAST):
            supply = cut.channels_first
        cost = _COST_OF_A_NODE + elements(net.shapes.get(name, ()))
        wants = [
            node if node in plans else (cut.channels_first if _turns(node, _FIRST) else cut.channels_last)
            for node in net.readers(name)
        ]
        cut.tensor(name, supply, [*wants, *([cut.channels_last] if net.is_output(name) else [])], cost)
    first = cut.solve()
    return {node for node in plans if node in first}


def _tensors(plans: Mapping[Node, _Plan]) -> list[str]:
    """Every tensor that some plan takes or gives."""
    names = {name: None for plan in plans.values() for name in (*plan.inputs, *plan.outputs)}
    return [*names]


def _turns(node: Node | None, perms: Mapping[int, list[int]]) -> bool:
    return node is not None and node.op == "Transpose" and node.attributes["perm"] in perms.values()


def _apply(net: Net, plans: Mapping[Node, _Plan], turned: set[Node]) -> None:
    """Each turned node reads through a Transpose and is read through one: those that face each other cancel."""
    for node in net:
        if node not in turned:
            continue
        plan = plans[node]
        plan.turn()
        for name in dict.fromkeys(plan.inputs):
            fresh = net.insert("Transpose", [name], node, perm=_FIRST[_rank(net, name)])
            net.shapes[fresh] = _permuted(net, name)
            net.set_inputs(node, [fresh if given == name else given for given in node.inputs])
        for name in plan.outputs:
            inner = f"{name}__turned"
            net.set_outputs(node, [inner if given == name else given for given in node.outputs])
            net.shapes[inner] = _permuted(net, name)
            back = Node("Transpose", [inner], [name], {"perm": _LAST[_rank(net, name)]}, f"{node.name}/Transpose")
            net.add(back)
    _share(net)


def _share(net: Net) -> None:
    """Of the Transposes that do the same to one tensor, one stays."""
    seen: dict[tuple[str, tuple[int, ...]], str] = {}
    for node in net:
        if node.op == "Transpose":
            key = (node.inputs[0], tuple(node.attributes["perm"]))
            kept = seen.setdefault(key, node.output)
            if kept != node.output and not net.is_output(node.output):
                net.replace(node.output, kept)
                net.remove(node)


def _permuted(net: Net, name: str) -> tuple[int | None, ...]:
    shape = net.shape(name) or ()
    return tuple(shape[axis] for axis in _FIRST[len(shape)])


def _rank(net: Net, name: str) -> int:
    rank = net.rank(name)
    assert rank is not None  # noqa: S101  only tensors of known rank are in a plan
    return rank


def _plan(net: Net, node: Node) -> _Plan | None:
    """None for an operation that has a layout of its own, or one that is not known."""
    if node.op in _UNARY:
        return _whole(net, node, lambda: None)
    if node.op in _BROADCAST:
        return _broadcast(net, node)
    planner = _PLANNERS.get(node.op)
    if node.op in _REDUCE:
        planner = _reduce
    return planner(net, node) if planner else None


def _whole(net: Net, node: Node, turn: Callable[[], None]) -> _Plan | None:
    """First input and every output are images of one rank."""
    names = (node.inputs[0], *node.outputs)
    if any(net.rank(name) not in _FIRST for name in names) or len({net.rank(name) for name in names}) != 1:
        return None
    return _Plan((node.inputs[0],), tuple(node.outputs), turn)


def _broadcast(net: Net, node: Node) -> _Plan | None:
    """Constants are turned with the tensors, after they were given the ranks that broadcasting gives them."""
    rank = net.rank(node.output)
    if rank not in _FIRST:
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
                fresh = net.put(full.transpose(_FIRST[rank]), name)
                net.set_inputs(node, [fresh if given == name else given for given in node.inputs])

    return _Plan(tuple(images), (node.output,), turn)


def _along_an_axis(net: Net, node: Node) -> _Plan | None:
    """Softmax, LogSoftmax."""
    rank = net.rank(node.output)
    return _whole(net, node, lambda: _turn_axis(node, rank)) if rank in _FIRST else None


def _concat(net: Net, node: Node) -> _Plan | None:
    rank = net.rank(node.output)
    if rank not in _FIRST or any(name in net.constants for name in node.inputs):
        return None
    return _Plan(tuple(node.inputs), (node.output,), lambda: _turn_axis(node, rank))


def _split(net: Net, node: Node) -> _Plan | None:
    rank = net.rank(node.inputs[0])
    return _whole(net, node, lambda: _turn_axis(node, rank)) if rank in _FIRST else None


def _turn_axis(node: Node, rank: int) -> None:
    node.attributes["axis"] = _turned_axis(node.attributes.get("axis", -1), rank)


def _turned_axis(axis: int, rank: int) -> int:
    """Where an axis of the original is in the turned tensor."""
    return _FIRST[rank].index(axis % rank)


def _reduce(net: Net, node: Node) -> _Plan | None:
    rank = net.rank(node.inputs[0])
    axes = _axes(net, node)
    if rank not in _FIRST or axes is None:
        return None
    axes = [axis % rank for axis in axes]
    keeps = bool(node.attributes.get("keepdims", 1))
    left = [axis for axis in range(rank) if axis not in axes]
    in_order = [axis for axis in _FIRST[rank] if axis in left] == left
    if not keeps and not in_order:
        return None

    def turn() -> None:
        _set_axes(net, node, [_turned_axis(axis, rank) for axis in axes])

    return _Plan((node.inputs[0],), (node.output,) if keeps else (), turn)


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


def _pad(net: Net, node: Node) -> _Plan | None:
    rank = net.rank(node.inputs[0])
    pads = net.ints(node.inputs[1]) if len(node.inputs) > 1 else None
    if rank not in _FIRST or pads is None or len(node.inputs) > 3:
        return None

    def turn() -> None:
        order = [*_FIRST[rank], *(axis + rank for axis in _FIRST[rank])]
        fresh = net.put(np.array([pads[axis] for axis in order], np.int64), node.inputs[1])
        net.set_inputs(node, [node.inputs[0], fresh, *node.inputs[2:]])

    return _whole(net, node, turn)


def _slice(net: Net, node: Node) -> _Plan | None:
    rank = net.rank(node.inputs[0])
    if rank not in _FIRST or len(node.inputs) < 4:
        return None
    axes = net.ints(node.inputs[3])
    if axes is None:
        return None

    def turn() -> None:
        fresh = net.put(np.array([_turned_axis(axis, rank) for axis in axes], np.int64), node.inputs[3])
        net.set_inputs(node, [*node.inputs[:3], fresh, *node.inputs[4:]])

    return _whole(net, node, turn)


def _tile(net: Net, node: Node) -> _Plan | None:
    rank = net.rank(node.inputs[0])
    repeats = net.ints(node.inputs[1])
    if rank not in _FIRST or repeats is None:
        return None

    def turn() -> None:
        fresh = net.put(np.array([repeats[axis] for axis in _FIRST[rank]], np.int64), node.inputs[1])
        net.set_inputs(node, [node.inputs[0], fresh])

    return _whole(net, node, turn)


def _shape(net: Net, node: Node) -> _Plan | None:
    rank = net.rank(node.inputs[0])
    if rank not in _FIRST or node.attributes:
        return None

    def turn() -> None:
        inner, order = f"{node.output}__turned", net.put(np.array(_LAST[rank], np.int64), node.output)
        net.add(Node("Gather", [inner, order], [node.output], {"axis": 0}, f"{node.name}/Gather"))
        net.set_outputs(node, [inner])

    return _Plan((node.inputs[0],), (), turn)


def _to_image(net: Net, node: Node) -> _Plan | None:
    """(N, C) made (N, 1, 1, C), as before a gate: (N, C, 1, 1) when turned."""
    rank = net.rank(node.output)
    shape = net.shape(node.output)
    if rank not in _FIRST or shape is None or any(dim != 1 for dim in shape[1:-1]):
        return _from_image(net, node)
    target = net.ints(node.inputs[1])
    if target is None or net.rank(node.inputs[0]) != 2 or (node.op == "Reshape" and 0 in target):
        return None

    def turn() -> None:
        if node.op == "Unsqueeze":
            fresh = np.array(range(2, rank), np.int64)
        else:
            fresh = np.array([target[axis] for axis in _FIRST[rank]], np.int64)
        net.set_inputs(node, [node.inputs[0], net.put(fresh, node.inputs[1])])

    return _Plan((), (node.output,), turn)


def _from_image(net: Net, node: Node) -> _Plan | None:
    """(N, 1, 1, C) made (N, C): the same numbers in the same order in either layout."""
    shape = net.shape(node.inputs[0])
    rank = net.rank(node.output)
    if shape is None or len(shape) not in _FIRST or rank != 2 or any(dim != 1 for dim in shape[1:-1]):
        return None
    if node.op == "Reshape":
        target = net.ints(node.inputs[1])
        if target is None or 0 in target[1:]:
            return None
        return _Plan((node.inputs[0],), (), lambda: None)
    if sorted(axis % len(shape) for axis in _axes(net, node) or ()) != [*range(1, len(shape) - 1)]:
        return None
    return _Plan((node.inputs[0],), (), lambda: _set_axes(net, node, [*range(2, len(shape))]))


_PLANNERS: Mapping[str, Callable[[Net, Node], _Plan | None]] = {
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
