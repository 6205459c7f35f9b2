"""Models that keep a GPU busy, jobs that run them, and our events held against PyTorch's. For tests on a GPU and
benchmarks/gpu."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from device_agents.backends.base import Backend
from device_agents.contract import JobSpec, Precision, TensorSpec
from tests.jobs import job_spec

CHANNELS, SIZE, CLASSES = 64, 56, 10
_AHEAD = 2_000_000
"""Cycles of the GPU, about a millisecond: longer than the host takes to enqueue an inference."""


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
        "precision": Precision.FP16 if dtype == "float16" else Precision.FP32,
        "inputs": (TensorSpec("x", dtype, (batch, CHANNELS, SIZE, SIZE)),),
        "outputs": (TensorSpec("y", dtype, (batch, CLASSES)),),
        "batch": batch,
        "free_dims": {"batch": batch},
        "options": {"provider": "cuda"},
    }
    return job_spec(**{**fields, **changes})


def images(count: int, batch: int = 8, dtype: str = "float32") -> list[dict[str, np.ndarray]]:
    random = np.random.default_rng(1)
    return [{"x": random.random((batch, CHANNELS, SIZE, SIZE), dtype=np.float32).astype(dtype)} for _ in range(count)]


def beside_pytorch(backend: Backend, stream: int, inferences: int = 50) -> list[float]:
    """What an inference of slot 0 takes by our events, over what it takes by two of PyTorch's around it.

    `stream` is the handle of the one stream on which the backend copies and computes. The GPU sleeps first, so that
    between the events lies its own pace and not that of Python.
    """
    import torch

    on = torch.cuda.ExternalStream(stream)
    ratios = []
    for _ in range(inferences):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        with torch.cuda.stream(on):
            torch.cuda._sleep(_AHEAD)
        begin.record(on)
        backend.enqueue(0)
        end.record(on)
        backend.wait(0)
        end.synchronize()
        told = backend.parts(0)
        assert told is not None
        ratios.append((told.h2d_ns + told.compute_ns + told.d2h_ns) / (begin.elapsed_time(end) * 1e6))
    return ratios
