"""Small models and jobs for the tests of the TensorRT backends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from device_agents.contract import (
    SCHEMA,
    EngineRequest,
    FileEntry,
    JobSpec,
    LoadPattern,
    Precision,
    ShapeProfile,
    TensorSpec,
)

SIZE = 8
CLASSES = 10


def a_job(
    model: Path,
    batch: int = 1,
    *,
    backend: str = "tensorrt",
    precision: Precision = Precision.FP32,
    free: bool = True,
    profiles: tuple[ShapeProfile, ...] = (),
    build: int = 0,
    task: str = "build",
    pattern: str = "serial",
    transfers: bool = True,
    options: dict[str, Any] | None = None,
) -> JobSpec:
    """A job of `network`, `batch` images at once; `free`: the batch of the graph is free."""
    dtype = "float16" if precision is Precision.FP16 else "float32"
    return JobSpec(
        schema=SCHEMA,
        job="job-1",
        backend=backend,
        artifact="artifact-1",
        files=(FileEntry(model.name, model.stat().st_size, "0" * 64),),
        model_file=model.name,
        precision=precision,
        inputs=(TensorSpec("image", dtype, (batch, 3, SIZE, SIZE)),),
        outputs=(TensorSpec("scores", dtype, (batch, CLASSES)),),
        batch=batch,
        free_dims={"batch": batch} if free else {},
        graph_inputs=(TensorSpec("image", dtype, ("batch" if free else batch, 3, SIZE, SIZE)),),
        engine=EngineRequest(profiles=profiles, build=build),
        options=options or {},
        task=task,
        pattern=LoadPattern.parse(pattern),
        transfers=transfers,
    )


def network(
    path: Path, precision: Precision = Precision.FP32, batch: object = "batch", extra: tuple[str, ...] = ()
) -> Path:
    """image[batch,3,8,8] -> Conv -> Relu -> GlobalAveragePool -> Flatten -> MatMul -> scores[batch,10].

    INT8 quantizes the inputs and weights of Conv and MatMul explicitly, as TensorRT wants it. `extra` operators take
    the scores and end in outputs of their own.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    half = precision is Precision.FP16
    kind, dtype = (TensorProto.FLOAT16, np.float16) if half else (TensorProto.FLOAT, np.float32)
    random = np.random.default_rng(3)
    graph = _Graph()
    for name, shape in (("kernel", (16, 3, 3, 3)), ("matrix", (16, CLASSES))):
        graph.constants.append(numpy_helper.from_array((random.standard_normal(shape) * 0.2).astype(dtype), name))
    quantized = precision is Precision.INT8
    image, kernel = ("image", "kernel") if not quantized else (graph.quantize("image"), graph.quantize("kernel"))
    graph.add("Conv", [image, kernel], "convolved", "/block/Conv", pads=[1, 1, 1, 1])
    graph.add("Relu", ["convolved"], "active", "/block/Relu")
    graph.add("GlobalAveragePool", ["active"], "pooled", "/pool/GlobalAveragePool")
    graph.add("Flatten", ["pooled"], "flat", "/flatten/Flatten")
    flat, matrix = ("flat", "matrix") if not quantized else (graph.quantize("flat"), graph.quantize("matrix"))
    graph.add("MatMul", [flat, matrix], "scores", "/head/MatMul")
    outputs = [helper.make_tensor_value_info("scores", kind, [batch, CLASSES])]
    for number, op in enumerate(extra):
        graph.add(op, ["scores"], f"extra_{number}", f"/extra/{op}_{number}")
        outputs.append(helper.make_tensor_value_info(f"extra_{number}", kind, None))
    image_info = helper.make_tensor_value_info("image", kind, [batch, 3, SIZE, SIZE])
    made = helper.make_graph(graph.nodes, "network", [image_info], outputs, graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if not extra:
        onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


class _Graph:
    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, op: str, inputs: list[str], output: str, name: str, **attributes: Any) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(op, inputs, [output], name, **attributes))

    def quantize(self, name: str) -> str:
        """QuantizeLinear and DequantizeLinear after a tensor, symmetric, one scale a tensor."""
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.float32(0.01), f"{name}_scale"))
        self.constants.append(numpy_helper.from_array(np.int8(0), f"{name}_zero"))
        scale = [f"{name}_scale", f"{name}_zero"]
        self.add("QuantizeLinear", [name, *scale], f"{name}_q", f"/{name}/QuantizeLinear")
        self.add("DequantizeLinear", [f"{name}_q", *scale], f"{name}_dq", f"/{name}/DequantizeLinear")
        return f"{name}_dq"


def images(batch: int, precision: Precision = Precision.FP32, seed: int = 0) -> dict[str, Any]:
    dtype = np.float16 if precision is Precision.FP16 else np.float32
    return {"image": np.random.default_rng(seed).random((batch, 3, SIZE, SIZE), dtype=np.float32).astype(dtype)}
