"""The layers that an engine would have: nodes fused as TensorRT is wont to, each with the type it computes in."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Set

from . import _onnx
from ._onnx import BOOL, FLOAT, FLOAT16, FLOATING, INT8, INT32, INT64, UINT8, Model, Node

PRECISIONS = {FLOAT: "fp32", FLOAT16: "fp16", INT8: "int8", UINT8: "int8", INT32: "int32", INT64: "int64", BOOL: "bool"}
KINDS = {
    "Conv": "CaskConvolution",
    "MatMul": "CaskGemmMatrixMultiply",
    "Gemm": "CaskGemmMatrixMultiply",
    "MaxPool": "CaskPooling",
    "AveragePool": "CaskPooling",
    "Flatten": "NoOp",
    "Reshape": "NoOp",
    "Transpose": "Shuffle",
    "Softmax": "SoftMaxV2",
}
_HEADS, _TAILS = ("Conv", "MatMul", "Gemm"), ("Relu", "Add", "Clip", "Sigmoid", "BatchNormalization")
_FOLDED = ("Constant", "Shape", "Identity", "Dropout")
_ON_DLA = {*_HEADS, *_TAILS, "Mul", "MaxPool", "AveragePool", "GlobalAveragePool", "Flatten", "Concat", "Reshape"}


class Layer(NamedTuple):
    name: str
    kind: str
    precision: str
    nodes: List[str]
    inputs: List[str]
    outputs: List[str]


def of(model: Model, halve: bool, in_full: bool) -> List[Layer]:
    """`halve`: FP32 of the graph is computed in FP16; `in_full`: all floats in FP32, whatever the graph says."""
    types = _onnx.types(model)
    dequantized = {output for node in model.nodes if node.op == "DequantizeLinear" for output in node.outputs}
    layers = [_layer(group, types, dequantized, halve, in_full) for group in _fused(model)]
    if halve and not in_full and layers and any(tensor.dtype == FLOAT for tensor in model.inputs):
        first = layers[0]
        name = f"Reformatting CopyNode for Input Tensor 0 to {first.name}"
        layers.insert(0, Layer(name, "Reformat", "fp16", [], first.inputs[:1], first.inputs[:1]))
    return layers


def off_dla(model: Model) -> List[str]:
    """The nodes that no DLA can run."""
    return [name_of(node) for node in model.nodes if node.op not in _ON_DLA and node.op not in _FOLDED]


def name_of(node: Node) -> str:
    return node.name or f"node_of_{node.outputs[0]}"


def _fused(model: Model) -> List[List[Node]]:
    """Nodes in order; what follows a convolution or a product, and is its only reader, is part of it."""
    readers: Dict[str, int] = {}
    for node in model.nodes:
        for name in node.inputs:
            readers[name] = readers.get(name, 0) + 1
    groups: List[List[Node]] = []
    ends: Dict[str, List[Node]] = {}
    for node in model.nodes:
        if node.op in _FOLDED:
            continue
        group = next((ends[name] for name in node.inputs if name in ends and readers[name] == 1), None)
        if group is None or node.op not in _TAILS:
            group = []
            groups.append(group)
        group.append(node)
        if group[0].op in _HEADS:
            ends[node.outputs[0]] = group
    return groups


def _layer(group: List[Node], types: Dict[str, int], dequantized: Set[str], halve: bool, in_full: bool) -> Layer:
    made: Set[str] = {output for node in group for output in node.outputs}
    inputs = [name for node in group for name in node.inputs if name in types and name not in made]
    names = [name_of(node) for node in group]
    kind = KINDS.get(group[0].op, "PointWiseV2")
    quantized = group[0].op in _HEADS and not dequantized.isdisjoint(group[0].inputs)
    precision = "int8" if quantized else _precision(types[group[-1].outputs[0]], halve, in_full)
    return Layer(" + ".join(names), kind, precision, names, inputs[:1], list(group[-1].outputs[:1]))


def _precision(dtype: int, halve: bool, in_full: bool) -> str:
    if dtype in FLOATING and in_full:
        return "fp32"
    return "fp16" if halve and dtype == FLOAT else PRECISIONS.get(dtype, "unknown")


def as_json(layers: List[Layer]) -> List[Dict[str, Any]]:
    return [dict(layer._asdict()) for layer in layers]
