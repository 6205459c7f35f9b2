"""A device whose TensorRT and CUDA are stand-ins: the real agent, the real backend, nothing of a GPU.

The scripted TensorRT (tests/stand_ins/tensorrt) has the names and the refusals of the release that is asked for and
computes with onnxruntime. It shows that the backend keeps the order of calls and tells the truth, never how fast it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from agent_lab import CLASSES, Lab, golden

from device_agents.contract import DimRange, EngineRequest, JobSpec, Precision, TensorSpec

RELEASES = ("8.5", "10.3", "11.4")


@dataclass
class TensorRTLab(Lab):
    """`extra` is what the login's environment has beside PATH and HOME: where the stand-ins are, and their settings."""

    extra: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, **self.extra}

    def engine_spec(self, job: str = "job-0001", **changes: Any) -> JobSpec:
        """A TensorRT job on the shipped model; `free` with an optimization profile for batches of 1 to 8."""
        half = changes.get("precision") is Precision.FP16
        dtype, batch = "float16" if half else "float32", changes.get("batch", 1)
        fields: dict[str, Any] = {
            "backend": "tensorrt",
            "inputs": (TensorSpec("image", dtype, (batch, 3, 4, 4)),),
            "outputs": (TensorSpec("scores", dtype, (batch, CLASSES)),),
            "graph_inputs": (TensorSpec("image", dtype, ("batch", 3, 4, 4)),),
            "parity_limit": 2e-2 if half else 1e-3,
            "engine": EngineRequest(profiles=({"batch": DimRange(1, 4, 8)},)),
            "options": {},
        }
        return self.spec(job, **{**fields, **changes})


def half_model(tiny: dict[str, bytes]) -> dict[str, bytes]:
    """The tiny model with FP16 in the graph, its golden outputs still the FP32 ones, as export makes them."""
    import io

    import onnx
    from onnx import TensorProto, numpy_helper

    model = onnx.load_from_string(tiny["model.onnx"])
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    with np.load(io.BytesIO(tiny["golden.npz"])) as kept:
        images, scores = kept["input:image"].astype(np.float16), kept["output:scores"]
    return {"model.onnx": model.SerializeToString(), "golden.npz": golden(images, scores)}
