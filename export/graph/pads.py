"""Zeros around an image before a pooling, which onnxruntime takes for the pooling's own padding."""

from __future__ import annotations

from typing import Any

_POOLINGS = ("MaxPool", "AveragePool")


def keep_apart(graph: Any) -> None:
    """In place, in one graph or function: a pooling behind a Pad. One that pads nothing says so as auto_pad VALID; any
    other reads the larger of its image and its image. By ONNX's definition both are the same.

    onnxruntime 1.17 and later moves zeros into a MaxPool whatever its values are, where there are numbers below zero
    and no zero wins, and some into an AveragePool that does not count them (its pad_fusion.cc; onnxruntime issue
    22177). It leaves automatic padding alone, and a Pad that something else reads; an Identity it would drop first.
    """
    pads = {name for node in graph.node if node.op_type == "Pad" for name in node.output}
    for node in [node for node in graph.node if node.op_type in _POOLINGS and node.input[0] in pads]:
        told = {one.name: one for one in node.attribute}
        if _is_automatic(told):
            continue
        if not _pads(told):
            for one in [told[name] for name in ("pads", "auto_pad") if name in told]:
                node.attribute.remove(one)
            node.attribute.add(name="auto_pad", type=3, s=b"VALID")  # AttributeProto.STRING
        elif node.op_type == "MaxPool" or not ("count_include_pad" in told and told["count_include_pad"].i):
            _put_between(graph, node)


def _is_automatic(told: dict[str, Any]) -> bool:
    return "auto_pad" in told and not told["auto_pad"].ref_attr_name and told["auto_pad"].s not in (b"NOTSET", b"")


def _pads(told: dict[str, Any]) -> bool:
    """Whether it may. With ceil_mode, VALID counts otherwise than pads of 0. What a function is told by its caller may
    be anything."""
    rounds_up = "ceil_mode" in told and told["ceil_mode"].i
    own = "pads" in told and any(told["pads"].ints)
    return bool(rounds_up or own or any(one.ref_attr_name for one in told.values()))


def _put_between(graph: Any, node: Any) -> None:
    source = node.input[0]
    taken = {name for one in graph.node for name in one.output}
    name = next(name for name in (f"{source}_apart{more or ''}" for more in range(len(taken) + 1)) if name not in taken)
    node.input[0] = name
    kind = type(node)
    graph.node.insert(list(graph.node).index(node), kind(op_type="Max", name=name, input=[source] * 2, output=[name]))
