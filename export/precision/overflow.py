"""What would not fit into FP16: sought on the FP32 graph, as a CPU that computes an FP16 graph in FP32 shows nothing.

Measured are all tensors, constants, and the sums inside reductions. What is not measured:
- Convolutions and matrix products: what they add up is taken to be FP32 in TensorRT; what they hand on is a tensor.
- LayerNormalization, InstanceNormalization, GroupNormalization: taken to be FP32 inside. ONNX's stash_type 1 says so,
  and up to TensorRT 10 INormalizationLayer's compute precision is FP32 unless set otherwise; TensorRT 11 has no such
  setting.
- Softmax: exponents are at most 0, so a sum is at most the number of its terms.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from export import graph as graphs
from export.graph.names import key_of, reads
from export.precision.nodes import element_types, expect_opset, lift_constants, name_of
from export.precision.running import Arrays, add_peaks, batches, peak_name, running
from profiles.progress import Progress

LIMIT = 16_000.0
"""A quarter of what FP16 holds, as other inputs than those that were tried give other values (measurement.md)."""

FLOAT16_MAX = 65_504.0

_IS_INF = 10
"""The opset from which there is IsInf, by which infinite values are set aside."""

_SUMS = ("ReduceMean", "GlobalAveragePool", "ReduceSum")
_BOUNDS = ("Clip", "Max", "Min")


@dataclass(frozen=True)
class Overflow:
    """A node that must stay in FP32: `largest` is the greatest absolute value of `tensor`, which it makes or reads.

    `output` is the first tensor that the node makes; it identifies the node.
    """

    node: str
    op: str
    tensor: str
    largest: float
    output: str


def scan(model: Path, samples: Iterable[Arrays], progress: Progress) -> list[Overflow]:
    """Every node of the FP32 graph in the file that makes or reads more than FP16 can hold, in the graph's order.

    `samples` are arrays by input name, samples first. Errors: ExportError when onnxruntime does not run the graph, or
    it is of an opset that has not what this takes.
    """
    proto = graphs.load(model)
    expect_opset(proto, _IS_INF, "FP16")
    lift_constants(proto.graph)
    constants = {name: peak for name, peak in _constants(proto.graph) if peak > FLOAT16_MAX}
    floats = {name for name, kind in element_types(proto).items() if kind == 1}
    nodes = list(proto.graph.node)
    feeds = (feed for arrays in samples for feed in batches(proto, arrays))
    sums = _add_sums(proto.graph, nodes, floats)
    made = [value.name for value in proto.graph.input]
    made += [name for node in nodes for name in (*node.output, *sums.get(key_of(node), ()))]
    measured = floats.union(*sums.values())
    outputs = add_peaks(proto, [name for name in made if name in measured])
    peaks = dict.fromkeys(outputs, 0.0)
    with running(proto, outputs) as run:
        for done, feed in enumerate(feeds):
            progress("look for values beyond FP16", done)
            for output, value in zip(outputs, run(feed), strict=True):
                peaks[output] = max(peaks[output], float(value))
    return list(_beyond(nodes, peaks, constants))


def _beyond(nodes: list[Any], peaks: dict[str, float], constants: dict[str, float]) -> Iterator[Overflow]:
    for node in nodes:
        names = {name: peaks.get(peak_name(name), 0.0) for name in (*node.output, *reads(node)) if name}
        if node.op_type not in _BOUNDS:  # a bound that FP16 does not reach bounds nothing there
            names |= {name: constants[name] for name in names if name in constants}
        names[f"the sum inside {name_of(node)}"] = _inner_sum(node, peaks)
        tensor, largest = max(names.items(), key=lambda item: item[1])
        if largest > LIMIT:
            yield Overflow(name_of(node), node.op_type, tensor, largest, key_of(node))


def _inner_sum(node: Any, peaks: dict[str, float]) -> float:
    if node.op_type == "ReduceL2":  # TensorRT squares, adds and takes the root, one layer each
        return peaks.get(peak_name(key_of(node)), 0.0) ** 2  # of FP32 alone: what is FP16 or double stays so
    return peaks.get(peak_name(_sum_name(node)), 0.0)


def _constants(graph: Any) -> Iterator[tuple[str, float]]:
    """The greatest finite absolute value of every float constant."""
    import onnx

    for tensor in graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            array = np.abs(onnx.numpy_helper.to_array(tensor))
            yield tensor.name, float(np.max(array, initial=0.0, where=np.isfinite(array)))


def _add_sums(graph: Any, nodes: list[Any], floats: set[str]) -> dict[str, tuple[str]]:
    """In place: for each reduction the sum of absolute values inside it: the same reduction of them, and of a mean the
    number of terms times it. Returns the name of each sum, by its node."""
    import onnx

    make = onnx.helper.make_node
    sums = {}
    for node in nodes:
        if node.op_type not in _SUMS or node.input[0] not in floats:
            continue
        source, made, name = node.input[0], key_of(node), _sum_name(node)
        own = onnx.NodeProto()
        own.CopyFrom(node)
        own.name = f"{name}/reduce"
        own.input[0], own.output[0] = f"{name}/values", f"{name}/mean"
        scale = [
            make("Size", [source], [f"{name}/size"]),
            make("Cast", [f"{name}/size"], [f"{name}/in"], to=onnx.TensorProto.FLOAT),
            make("Size", [made], [f"{name}/sums"]),
            make("Cast", [f"{name}/sums"], [f"{name}/out"], to=onnx.TensorProto.FLOAT),
            make("Div", [f"{name}/in", f"{name}/out"], [f"{name}/terms"]),
            make("Mul", [f"{name}/mean", f"{name}/terms"], [name]),
        ]
        if node.op_type == "ReduceSum":
            own.output[0], scale = name, []
        graph.node.extend([make("Abs", [source], [own.input[0]]), own, *scale])
        sums[made] = (name,)
    return sums


def _sum_name(node: Any) -> str:
    return f"{key_of(node)}/sum"
