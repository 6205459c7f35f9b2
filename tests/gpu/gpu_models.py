"""Models that keep a GPU busy for a known while, and jobs that run them. For tests on a GPU and benchmarks/gpu."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from device_agents.contract import FileEntry, JobSpec, Precision, TensorSpec

CHANNELS, SIZE, CLASSES = 64, 56, 10


def convolutions(path: Path, *, depth: int = 12, dtype: Any = np.float32, fall_back: bool = False) -> None:
    """x (batch, 64, 56, 56) through `depth` times Conv 3x3 and Relu, then GlobalAveragePool, a Reshape by a computed
    shape and a MatMul to `y` (batch, 10). With `fall_back`, a Det in the middle, which has no CUDA kernel."""
    import onnx
    from onnx import helper, numpy_helper

    random = np.random.default_rng(0)
    nodes, values, last = [], {}, "x"
    for layer in range(depth):
        scale = (2.0 / (CHANNELS * 9)) ** 0.5
        values[f"w{layer}"] = (random.standard_normal((CHANNELS, CHANNELS, 3, 3)) * scale).astype(dtype)
        nodes.append(helper.make_node("Conv", [last, f"w{layer}"], [f"c{layer}"], name=f"conv{layer}", pads=[1] * 4))
        nodes.append(helper.make_node("Relu", [f"c{layer}"], [f"r{layer}"], name=f"relu{layer}"))
        last = f"r{layer}"
    if fall_back:
        nodes += [
            helper.make_node("Det", [last], ["det"], name="det"),
            helper.make_node("Unsqueeze", ["det", "last_axes"], ["det4"], name="spread"),
            helper.make_node("Clip", ["det4", "nothing", "nothing"], ["det0"], name="drop"),
            helper.make_node("Add", [last, "det0"], ["joined"], name="join"),
        ]
        values["last_axes"], values["nothing"] = np.array([2, 3], dtype=np.int64), np.array(0, dtype=dtype)
        last = "joined"
    values.update(
        zero=np.array(0, dtype=np.int64), two=np.array(2, dtype=np.int64), rest=np.array([-1], dtype=np.int64)
    )
    values.update(axes=np.array([0], dtype=np.int64), head=random.standard_normal((CHANNELS, CLASSES)).astype(dtype))
    nodes += [
        helper.make_node("GlobalAveragePool", [last], ["pooled"], name="pool"),
        helper.make_node("Shape", ["pooled"], ["s"], name="shape"),
        helper.make_node("Gather", ["s", "zero"], ["b"], name="gather"),
        helper.make_node("Mul", ["b", "two"], ["b2"], name="double"),
        helper.make_node("Div", ["b2", "two"], ["b1"], name="halve"),
        helper.make_node("Unsqueeze", ["b1", "axes"], ["bu"], name="unsqueeze"),
        helper.make_node("Concat", ["bu", "rest"], ["ns"], name="concat", axis=0),
        helper.make_node("Reshape", ["pooled", "ns"], ["flat"], name="reshape"),
        helper.make_node("MatMul", ["flat", "head"], ["y"], name="head"),
    ]
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph = helper.make_graph(
        nodes,
        "convolutions",
        [helper.make_tensor_value_info("x", kind, ["batch", CHANNELS, SIZE, SIZE])],
        [helper.make_tensor_value_info("y", kind, ["batch", CLASSES])],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def job(batch: int = 8, dtype: str = "float32", **changes: Any) -> JobSpec:
    fields: dict[str, Any] = {
        "schema": 1,
        "job": "job-0001",
        "backend": "onnxruntime",
        "artifact": "tiny-0001",
        "files": (FileEntry("model.onnx", 1, "0" * 64),),
        "model_file": "model.onnx",
        "precision": Precision.FP16 if dtype == "float16" else Precision.FP32,
        "inputs": (TensorSpec("x", dtype, (batch, CHANNELS, SIZE, SIZE)),),
        "outputs": (TensorSpec("y", dtype, (batch, CLASSES)),),
        "batch": batch,
        "free_dims": {"batch": batch},
        "options": {"provider": "cuda"},
    }
    return JobSpec(**{**fields, **changes})


def images(count: int, batch: int = 8, dtype: str = "float32") -> list[dict[str, np.ndarray]]:
    random = np.random.default_rng(1)
    return [{"x": random.random((batch, CHANNELS, SIZE, SIZE), dtype=np.float32).astype(dtype)} for _ in range(count)]
