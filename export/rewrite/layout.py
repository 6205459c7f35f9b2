"""Which tensors of a graph are channels-first: the choice that moves the fewest elements through Transposes.

tf2onnx puts every convolution and pooling between two Transposes, and its own pass that removes them gives up in many
places. Here the choice is made once for the whole graph. Operations that do not care (an addition, a concatenation, a
mean over height and width) may work in either layout; the others have theirs. A tensor costs its size where someone
reads it in the other layout. That is a minimum cut (export.rewrite.min_cut), so no other choice is cheaper.

A tensor that the graph has channels-last is "turned" when it is made channels-first instead. Of a tensor that is
channels-first already, nothing is changed.
"""

from __future__ import annotations

from collections.abc import Mapping

from export.rewrite.min_cut import Cut
from export.rewrite.net import Net, Node, elements
from export.rewrite.turns import FIRST, LAST, Plan, plan

_COST_OF_A_NODE = 64  # elements: a Transpose costs something, however small


def choose_layouts(net: Net) -> None:
    """In place. Shapes must have been inferred."""
    _cancel_inverse_pairs(net)
    plans = {node: found for node in net if (found := plan(net, node)) is not None}
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


def _cheapest(net: Net, plans: Mapping[Node, Plan]) -> set[Node]:
    """The nodes of `plans` that are to work channels-first."""
    cut = Cut()
    for name in _tensors(plans):
        maker = net.maker(name)
        supply = cut.channels_last
        if maker is not None and maker in plans and name in plans[maker].outputs:
            supply = maker
        elif _turns(maker, LAST):
            supply = cut.channels_first
        cost = _COST_OF_A_NODE + elements(net.shapes.get(name, ()))
        wants = [
            node if node in plans else (cut.channels_first if _turns(node, FIRST) else cut.channels_last)
            for node in net.readers(name)
        ]
        cut.tensor(name, supply, [*wants, *([cut.channels_last] if net.is_output(name) else [])], cost)
    first = cut.solve()
    return {node for node in plans if node in first}


def _tensors(plans: Mapping[Node, Plan]) -> list[str]:
    """Every tensor that some plan takes or gives."""
    names = {name: None for one in plans.values() for name in (*one.inputs, *one.outputs)}
    return [*names]


def _turns(node: Node | None, perms: Mapping[int, list[int]]) -> bool:
    return node is not None and node.op == "Transpose" and node.attributes["perm"] in perms.values()


def _apply(net: Net, plans: Mapping[Node, Plan], turned: set[Node]) -> None:
    """Each turned node reads through a Transpose and is read through one: those that face each other cancel."""
    for node in net:
        if node not in turned:
            continue
        chosen = plans[node]
        chosen.turn()
        for name in dict.fromkeys(chosen.inputs):
            fresh = net.insert("Transpose", [name], node, perm=FIRST[_rank(net, name)])
            net.shapes[fresh] = _permuted(net, name)
            net.set_inputs(node, [fresh if given == name else given for given in node.inputs])
        for name in chosen.outputs:
            inner = f"{name}__turned"
            net.set_outputs(node, [inner if given == name else given for given in node.outputs])
            net.shapes[inner] = _permuted(net, name)
            back = Node("Transpose", [inner], [name], {"perm": LAST[_rank(net, name)]}, f"{node.name}/Transpose")
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
    return tuple(shape[axis] for axis in FIRST[len(shape)])


def _rank(net: Net, name: str) -> int:
    rank = net.rank(name)
    assert rank is not None  # noqa: S101  only tensors of known rank are in a plan
    return rank
