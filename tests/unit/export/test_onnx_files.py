"""Users' .onnx files: the precision that they have, sizes that are free, and what exporters write that don't know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_agents.contract import DimRange, Precision
from export.api import Options, export_model, parse_model
from export.artifact import Artifact, Store
from profiles.errors import ConfigError, ExportError
from tests.unit.export.small_graphs import FLOAT16, graph, node, random

onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install 'edgebench[local]'")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

SIZES = {"x": ["batch", 3, "height", "width"]}


def exported(folder: Path, model: Any, precision: Precision = Precision.FP32, **options: Any) -> Artifact:
    path = folder / "mine.onnx"
    onnx.save(model, path)
    return export_model(
        parse_model(str(path)), framework="onnx", precision=precision, batch="dynamic", weights="pretrained",
        store=Store(folder / "store"), options=Options(**options),
    )  # fmt: skip


def convolution(**shapes: Any) -> Any:
    nodes = [node("Conv", ["x", "w"], ["a"], "conv", kernel_shape=[3, 3]), node("Relu", ["a"], ["y"], "relu")]
    return graph(nodes, shapes or {"x": ["batch", 3, 8, 8]}, {"y": ["batch", 4, None, None]}, {"w": random(4, 3, 3, 3)})


def dynamically_quantised() -> Any:
    nodes = [
        node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
        node("MatMulInteger", ["q", "w", "zero"], ["sum"]),
        node("Cast", ["sum"], ["real"], to=onnx.TensorProto.FLOAT),
        node("Mul", ["real", "scale"], ["y"]),
    ]
    weight = np.random.default_rng(1).integers(-9, 9, (4, 2)).astype(np.int8)
    return graph(nodes, {"x": ["batch", 4]}, {"y": ["batch", 2]}, {"w": weight})


def half_inside() -> Any:
    nodes = [
        node("Cast", ["x"], ["x/fp16"], to=FLOAT16),
        node("MatMul", ["x/fp16", "w"], ["y/fp16"]),
        node("Cast", ["y/fp16"], ["y"], to=onnx.TensorProto.FLOAT),
    ]
    return graph(nodes, {"x": ["batch", 4]}, {"y": ["batch", 2]}, {"w": random(4, 2).astype(np.float16)})


@pytest.mark.parametrize(
    ("make", "precision"), [(dynamically_quantised, Precision.INT8), (half_inside, Precision.FP16)]
)
def test_the_precision_of_a_file_is_what_it_computes_in_whatever_it_takes(
    tmp_path: Path, make: Any, precision: Precision
) -> None:
    """INT8 takes no data to calibrate on: it is done."""
    with pytest.raises(ExportError, match=f"the file is {precision} and cannot become fp32; use --precision"):
        exported(tmp_path, make())
    assert exported(tmp_path, make(), precision).precision is precision


def test_int8_of_a_file_in_fp32_wants_data(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="int8 needs data to calibrate on; --calibrate"):
        exported(tmp_path, convolution(), Precision.INT8)
    np.savez(tmp_path / "nothing.npz", x=np.zeros((4, 3, 8, 8), np.float32))
    with pytest.raises(ExportError, match="the calibration data for input 'x' is 0 everywhere"):
        exported(tmp_path, convolution(), Precision.INT8, calibrate=str(tmp_path / "nothing.npz"))


def test_what_fp16_cannot_hold_is_looked_for_at_every_size(tmp_path: Path) -> None:
    """A sum over the image is small at the size that engines are tuned for, and beyond FP16 at the greatest."""
    nodes = [
        node("Abs", ["x"], ["a"], "abs"),
        node("ReduceSum", ["a", "sides"], ["s"], "total", keepdims=0),
        node("MatMul", ["s", "w"], ["y"], "head"),
    ]
    constants = {"sides": np.array([2, 3]), "w": random(3, 2) * 1e-6}
    free = (DimRange(24, 24, 512), DimRange(24, 24, 512))
    made = exported(tmp_path, graph(nodes, SIZES, {"y": ["batch", 2]}, constants), Precision.FP16, size=free)
    assert [one.node for one in made.kept_fp32] == ["total", "head"]


def test_one_size_is_that_of_the_graph(tmp_path: Path) -> None:
    one = (DimRange(32, 32, 32), DimRange(48, 48, 48))
    made = exported(tmp_path, convolution(**SIZES), size=one)
    assert made.inputs[0].shape == ("batch", 3, 32, 48)
    assert made.profiles == ()


def test_a_size_that_the_file_does_not_have_is_refused(tmp_path: Path) -> None:
    assert exported(tmp_path, convolution(), size=(DimRange(8, 8, 8),) * 2).inputs[0].shape == ("batch", 3, 8, 8)
    for size in (DimRange(64, 64, 64), DimRange(4, 8, 16)):
        with pytest.raises(ExportError, match="no free side that is called height or width; leave the size out"):
            exported(tmp_path, convolution(), size=(size, size))


def test_what_only_other_models_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"an \.onnx file has the head and the layers that it has"):
        exported(tmp_path, convolution(), head="raw")
    with pytest.raises(ConfigError, match="mine, --weights: the file has weights of its own; leave it out"):
        export_model(
            parse_model(str(tmp_path / "mine.onnx")), framework="onnx", precision=Precision.FP32, batch="dynamic",
            weights="mine.pth", store=Store(tmp_path / "store"),
        )  # fmt: skip


@pytest.mark.parametrize("unknown", [-1, 0])
def test_what_an_exporter_does_not_know_is_free(tmp_path: Path, unknown: int) -> None:
    model = convolution()
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = unknown
    assert exported(tmp_path, model).inputs[0].shape == ("batch", 3, 8, 8)


def test_arrays_to_check_with_want_to_know_how_pixels_are_normalised(tmp_path: Path) -> None:
    np.savez(tmp_path / "some.npz", x=random(4, 3, 8, 8))
    with pytest.raises(ExportError, match="how this model wants its images is not known; give --mean and --std"):
        exported(tmp_path, convolution(), images=tmp_path / "some.npz")
    made = exported(tmp_path, convolution(), images=tmp_path / "some.npz", mean=(0.0,), std=(1.0,))
    assert made.precision is Precision.FP32


def test_what_was_converted_before_is_converted_again(tmp_path: Path) -> None:
    """Its tensors have the names already that a conversion gives."""
    nodes = [
        node("Conv", ["x", "w"], ["y/fp16"], "first", kernel_shape=[3, 3]),
        node("Conv", ["y/fp16", "v"], ["y/fp32"], "second", kernel_shape=[1, 1]),
        node("Relu", ["y/fp32"], ["y"], "relu"),
    ]
    constants = {"w": random(4, 3, 3, 3), "v": random(4, 4, 1, 1)}
    model = graph(nodes, {"x": ["batch", 3, 8, 8]}, {"y": ["batch", 4, 6, 6]}, constants)
    assert exported(tmp_path, model, Precision.FP16, io="fp32").precision is Precision.FP16
