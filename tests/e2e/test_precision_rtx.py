"""What the precision passes write, read and built by the real TensorRT-RTX as strongly typed networks.

Not run: that wants a GPU. That the outputs are right is judged by onnxruntime.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from device_agents.contract import Precision
from export.artifact import Artifact
from export.data import golden
from export.judging.parity import relative_error, run
from export.precision import fp16, job
from export.precision.nodes import key_of
from profiles.progress import silent

trt = pytest.importorskip("tensorrt_rtx", reason="the real builder: pip install tensorrt-rtx-cu13")


def build(model: Path) -> int:
    """Bytes of an engine for an A100. Fails with the parser's words."""
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    parsed = parser.parse_from_file(str(model))
    assert parsed, [str(parser.get_error(index)) for index in range(parser.num_errors)]
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM80, 0)
    profile = builder.create_optimization_profile()
    images = network.get_input(0)
    shape = (2, *tuple(images.shape)[1:])
    profile.set_shape(images.name, shape, shape, shape)
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    assert plan is not None
    return len(bytes(plan))


def convert(artifact: Artifact, out: Path, precision: str, io: str = "model") -> Path:
    assert artifact.golden is not None
    told = {
        "task": "convert",
        "model": str(artifact.path / artifact.model_file),
        "golden": str(artifact.path / artifact.golden),
        "precision": precision,
        "method": "convert",
        "io": io,
        "calibration": {"data": "sha256:golden", "file": str(artifact.path / artifact.golden)},
        "ranges": str(out / "ranges.json"),
        "out": str(out),
    }
    job.compute(told, silent)
    return out / "model.onnx"


def error_of(model: Path, artifact: Artifact, precision: Precision) -> float:
    inputs, expected = golden.load(artifact.path / str(artifact.golden))
    outputs = run(model, inputs, precision)
    return max(relative_error(expected[name], outputs[name]) for name in expected)


@pytest.mark.parametrize("framework", ["pytorch", "tensorflow"])
def test_fp16_and_int8_of_both_frameworks(artifact_store: Any, tmp_path: Path, framework: str) -> None:
    artifact = artifact_store.get("resnet18", framework)
    weights = (artifact.path / artifact.model_file).stat().st_size
    for io in ("model", "fp32"):
        half = convert(artifact, tmp_path, "fp16", io)
        assert error_of(half, artifact, Precision.FP16) < 0.02
        assert build(half) < 0.6 * weights
    quantised = convert(artifact, tmp_path, "int8")
    assert 0.005 < error_of(quantised, artifact, Precision.INT8) < 0.3
    assert build(quantised) < 0.4 * weights, "the engine holds INT8 weights"


def test_int8_with_the_rest_in_fp16(artifact_store: Any, tmp_path: Path) -> None:
    artifact = artifact_store.get("resnet18", "pytorch", opset=20)
    quantised = convert(artifact, tmp_path, "int8")
    model = onnx.load(quantised)
    assert {
        tensor.data_type for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT
    } == set()
    assert 0.005 < error_of(quantised, artifact, Precision.INT8) < 0.3
    assert build(quantised) < 0.4 * (artifact.path / artifact.model_file).stat().st_size


@pytest.mark.parametrize("io", ["model", "fp32"])
def test_a_graph_with_nodes_kept_in_fp32_has_no_cast_error(artifact_store: Any, tmp_path: Path, io: str) -> None:
    artifact = artifact_store.get("resnet18", "tensorflow")
    model = onnx.load(artifact.path / artifact.model_file)
    random = np.random.default_rng(5)
    kept = [key_of(node) for node in model.graph.node if random.random() < 0.3]
    fp16.convert(model, kept, io)
    onnx.checker.check_model(model, full_check=True)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    build(path)
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    assert not any(node.op_type == makers.get(node.input[0]) == "Cast" for node in model.graph.node if node.input)
