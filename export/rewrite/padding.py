"""Zeros around an image that become the padding of the operation that reads it, where that is the same. Where it is
not, export.graph.pads keeps onnxruntime from thinking so."""

from __future__ import annotations

from collections.abc import Sequence

from export.rewrite.net import Net, Node


def fuse_padding(net: Net) -> None:
    """In place, when convolutions and poolings are no longer between Transposes."""
    for node in net:
        pad = net.made_by(node.inputs[0], "Pad") if node.op in ("Conv", "MaxPool", "AveragePool") else None
        if pad is None:
            continue
        amounts = _zeros_around(net, pad)
        if amounts is not None and _may_take(net, node, pad, amounts):
            own = node.attributes.get("pads", [0] * len(amounts))
            node.attributes.pop("auto_pad", None)
            node.attributes["pads"] = [a + b for a, b in zip(own, amounts, strict=True)]
            net.set_inputs(node, [pad.inputs[0], *node.inputs[1:]])
    net.tidy()
    net.infer_shapes()


def _zeros_around(net: Net, pad: Node) -> list[int] | None:
    """How many zeros a Pad puts around height and width, as in `pads`; None for one that does something else."""
    amounts = net.ints(pad.inputs[1])
    fill = net.scalar(pad.inputs[2]) if len(pad.inputs) > 2 and pad.inputs[2] else 0.0
    if pad.attributes.get("mode", b"constant") != b"constant" or len(pad.inputs) > 3 or amounts is None or fill != 0.0:
        return None
    rank = len(amounts) // 2
    others = (*amounts[:2], *amounts[rank : rank + 2])
    return None if any(others) or min(amounts) < 0 else [*amounts[2:rank], *amounts[rank + 2 :]]


def _may_take(net: Net, node: Node, pad: Node, amounts: Sequence[int]) -> bool:
    """A convolution pads with zeros; a MaxPool with nothing, which is the same where no value is below zero."""
    if node.op == "Conv":
        return node.attributes.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
    if node.op == "AveragePool" or net.made_by(pad.inputs[0], "Relu") is None or _pads(node):
        return False
    return all(amount < size for amount, size in zip(amounts, node.attributes["kernel_shape"] * 2, strict=True))


def _pads(node: Node) -> bool:
    automatic = node.attributes.get("auto_pad", b"NOTSET")
    return automatic not in (b"NOTSET", b"VALID") or any(node.attributes.get("pads", ()))
