"""Small models for the tests of the onnxruntime backend, and the job that runs one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from device_agents.contract import JobSpec, TensorSpec
from tests.jobs import job_spec

CLASSES = 10


def classifier(path: Path) -> None:
    """Images (batch, 3, 8, 8) to `p` (batch, 10) and `y` (batch): Conv, Relu, Reshape by a computed shape (Shape, then
    Gather, Mul, Div, Unsqueeze, Concat), MatMul, Softmax, and an ArgMax."""
    import onnx
    from onnx import helper, numpy_helper

    random = np.random.default_rng(0)
    values = {
        "w": random.standard_normal((4, 3, 3, 3)).astype(np.float32),
        "w2": random.standard_normal((144, CLASSES)).astype(np.float32),
        "zero": np.array(0, dtype=np.int64),
        "two": np.array(2, dtype=np.int64),
        "axes": np.array([0], dtype=np.int64),
        "rest": np.array([-1], dtype=np.int64),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("Shape", ["r"], ["s"], name="shape"),
        helper.make_node("Gather", ["s", "zero"], ["b"], name="gather"),
        helper.make_node("Mul", ["b", "two"], ["b2"], name="double"),  # a plain reshape would be fused away
        helper.make_node("Div", ["b2", "two"], ["b1"], name="halve"),
        helper.make_node("Unsqueeze", ["b1", "axes"], ["bu"], name="unsqueeze"),
        helper.make_node("Concat", ["bu", "rest"], ["ns"], name="concat", axis=0),
        helper.make_node("Reshape", ["r", "ns"], ["f"], name="reshape"),
        helper.make_node("MatMul", ["f", "w2"], ["m"], name="matmul"),
        helper.make_node("Softmax", ["m"], ["p"], name="softmax"),
        helper.make_node("ArgMax", ["m"], ["y"], name="argmax", axis=1, keepdims=0),
    ]
    kind = onnx.TensorProto
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("x", kind.FLOAT, ["batch", 3, 8, 8])],
        [
            helper.make_tensor_value_info("p", kind.FLOAT, ["batch", CLASSES]),
            helper.make_tensor_value_info("y", kind.INT64, ["batch"]),
        ],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def job(batch: int = 2, **changes: Any) -> JobSpec:
    fields: dict[str, Any] = {
        "inputs": (TensorSpec("x", "float32", (batch, 3, 8, 8)),),
        "outputs": (TensorSpec("p", "float32", (batch, CLASSES)), TensorSpec("y", "int64", (batch,))),
        "batch": batch,
        "free_dims": {"batch": batch},
        "options": {"provider": "cpu", "threads": 1},
    }
    return job_spec(**{**fields, **changes})


def images(count: int, batch: int = 2) -> list[dict[str, np.ndarray]]:
    random = np.random.default_rng(1)
    return [{"x": random.random((batch, 3, 8, 8), dtype=np.float32)} for _ in range(count)]
