"""Graphs of a few nodes, made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install 'edgebench[local]'")

FLOAT, FLOAT16, UINT8 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.UINT8

node = onnx.helper.make_node

Shape = Sequence[int | str] | None


def value(name: str, shape: Shape, kind: int = FLOAT) -> Any:
    return onnx.helper.make_tensor_value_info(name, kind, shape)


def graph(
    nodes: Sequence[Any],
    inputs: Mapping[str, Shape],
    outputs: Mapping[str, Shape],
    constants: Mapping[str, Any] | None = None,
    *,
    opset: int = 18,
    kind: int = FLOAT,
) -> Any:
    """A ModelProto. Inputs and outputs of one type; constants as numpy has them."""
    tensors = [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()]
    made = onnx.helper.make_graph(
        nodes,
        "g",
        [value(name, shape, kind) for name, shape in inputs.items()],
        [value(name, shape, kind) for name, shape in outputs.items()],
        tensors,
    )
    model = onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", opset)])
    model.ir_version = 8
    return model


def run(model: Any, **inputs: Any) -> dict[str, Any]:
    """Outputs by name, from onnxruntime as the graph is written."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def random(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def kinds(model: Any) -> list[str]:
    return [one.op_type for one in model.graph.node]
