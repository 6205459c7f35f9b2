"""One run of a graph as onnxruntime saw it: which nodes were executed, how often, and on which shapes.

Its profiler tells the shapes of everything but constants, inside of loops too; those are read off the graph.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.graph import macs
from export.graph.files import save, tensors
from export.graph.names import subgraphs

_SUFFIX = "_kernel_time"

Call = tuple[Any, list[list[int]], list[int]]


@dataclass(frozen=True)
class Executed:
    """`calls` are the runs of nodes that are counted: (node, the shapes of its inputs, of its first output)."""

    calls: list[Call]
    outputs: dict[str, Any]


def profile(model: Any, feed: Mapping[str, Any]) -> Executed:
    """Run the graph. Its nodes have names of their own afterwards, and weights of gigabytes are no more in it (a copy
    would be beyond protobuf's limit). Raises what onnxruntime raises."""
    import onnxruntime

    known: dict[str, Any] = {}
    for graph in subgraphs(model.graph):
        for node in graph.node:
            node.name = f"node{len(known)}"
            known[node.name] = node
    with tempfile.TemporaryDirectory() as scratch:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 3
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(scratch) / "profile")
        path = save(model, Path(scratch))
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        names = [value.name for value in session.get_outputs()]
        outputs = dict(zip(names, session.run(names, dict(feed)), strict=True))
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    constants = {tensor.name: list(tensor.dims) for tensor in tensors(model) if tensor.name}
    constants |= {
        node.output[0]: list(node.attribute[0].t.dims)
        for node in known.values()
        if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t")
    }
    return Executed(list(_calls(events, known, constants)), outputs)


def _calls(
    events: list[dict[str, Any]], known: Mapping[str, Any], constants: Mapping[str, list[int]]
) -> Iterator[Call]:
    for event in events:
        name = event.get("name", "")
        node = known.get(name.removesuffix(_SUFFIX)) if name.endswith(_SUFFIX) else None
        if node is None or node.op_type not in macs.COUNTED:
            continue
        told = iter([next(iter(one.values())) for one in event["args"]["input_type_shape"]])
        inputs = [constants[name] if name in constants else next(told) if name else [] for name in node.input]
        yield node, inputs, next(iter(event["args"]["output_type_shape"][0].values()))
