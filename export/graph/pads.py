"""Zeros around an image before a pooling, which onnxruntime takes for the pooling's own padding."""

from __future__ import annotations

from typing import Any

_POOLINGS = ("MaxPool", "AveragePool")


def keep_apart(graph: Any) -> None:
    """In place, in one graph or function: a pooling that pads nothing, behind a Pad, says so as auto_pad VALID. By
    ONNX's definition that is the same.

    onnxruntime 1.17 and later moves zeros into a MaxPool whatever its values are, where there are numbers below zero
    and no zero wins, and some into an AveragePool that does not count them (its pad_fusion.cc; onnxruntime issue
    22177). It leaves automatic padding alone.
    """
    pads = {name for node in graph.node if node.op_type == "Pad" for name in node.output}
    for node in graph.node:
        if node.op_type in _POOLINGS and node.input[0] in pads and _pads_nothing(node):
            for one in [one for one in node.attribute if one.name in ("pads", "auto_pad")]:
                node.attribute.remove(one)
            node.attribute.add(name="auto_pad", type=3, s=b"VALID")  # AttributeProto.STRING


def _pads_nothing(node: Any) -> bool:
    """With ceil_mode, VALID counts otherwise than pads of 0. What a function is told by its caller may be anything."""
    told = {one.name: one for one in node.attribute}
    if any(one.ref_attr_name for one in node.attribute):
        return False
    automatic = told["auto_pad"].s if "auto_pad" in told else b"NOTSET"
    rounds_up = "ceil_mode" in told and told["ceil_mode"].i
    own = any(told["pads"].ints) if "pads" in told else False
    return automatic in (b"NOTSET", b"") and not own and not rounds_up
