"""The convert job: from files to files, and what it tells of bad calibration data."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from device_agents.contract import from_json
from export.artifact import Calibration
from export.data import golden, preprocess
from export.precision import job
from export.precision.overflow import Overflow
from profiles.errors import ConfigError, ExportError
from profiles.progress import silent
from profiles.schema import ImageInput

INPUTS = np.random.default_rng(3).normal(size=(8, 3, 6, 6)).astype(np.float32)


@pytest.fixture
def told(tmp_path: Path) -> dict[str, Any]:
    """A job for a small network whose second product is beyond FP16."""
    return job_for(tmp_path, opset=17)


def job_for(tmp_path: Path, opset: int) -> dict[str, Any]:
    weight = np.random.default_rng(4).normal(size=(4, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], "conv", kernel_shape=[3, 3]),
        helper.make_node("Mul", ["a", "large"], ["b"], "much"),
        helper.make_node("Div", ["b", "large"], ["c"], "less"),
        helper.make_node("Relu", ["c"], ["y"], "relu"),
    ]
    constants = {"w": weight, "large": np.float32(8000)}
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4, 4, 4])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    golden.save(tmp_path / "golden.npz", {"x": INPUTS}, {"y": INPUTS})
    return {
        "task": "convert",
        "model": str(tmp_path / "model.onnx"),
        "golden": str(tmp_path / "golden.npz"),
        "precision": "fp16",
        "method": "convert",
        "io": "model",
        "calibration": {"data": "random", "file": None},
        "ranges": str(tmp_path / "ranges.json"),
        "out": str(tmp_path / "out"),
    }


def made(told: dict[str, Any]) -> Any:
    model = onnx.load(Path(told["out"]) / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    return model


def with_data(told: dict[str, Any], **arrays: Any) -> dict[str, Any]:
    file = Path(told["golden"]).with_name("calibration.npz")
    np.savez(file, **{f"input:{name}": array for name, array in arrays.items()})
    return {**told, "precision": "int8", "calibration": {"data": "sha256:0", "file": str(file)}}


def test_a_scan_names_what_is_beyond_fp16_and_writes_nothing(told: dict[str, Any]) -> None:
    answer = json.loads(json.dumps(job.compute({**told, "task": "scan"}, silent)))
    found = [from_json(Overflow, one) for one in answer["found"]]
    assert [(one.node, one.op, one.tensor) for one in found] == [("much", "Mul", "b"), ("less", "Div", "b")]
    assert found[0].largest > 16_000
    assert not Path(told["out"]).exists()


def test_what_a_scan_has_found_is_not_sought_again(told: dict[str, Any]) -> None:
    """The golden data, which a scan runs the graph on, are gone by then."""
    found = job.compute({**told, "task": "scan"}, silent)["found"]
    told["found"] = json.loads(json.dumps(found))
    Path(told["golden"]).unlink()
    answer = job.compute(told, silent)
    assert [one["node"] for one in answer["kept"]] == ["much", "less"]
    assert [node.op_type for node in made(told).graph.node] == ["Conv", "Cast", "Mul", "Div", "Cast", "Relu"]
    assert job.compute({**told, "found": []}, silent)["kept"] == []


def test_fp16_keeps_what_the_scan_found(told: dict[str, Any]) -> None:
    answer = json.loads(json.dumps(job.compute(told, silent)))
    assert [one["node"] for one in answer["kept"]] == ["much", "less"]
    assert (answer["method"], answer["calibration"]) == ("convert", None)
    model = made(told)
    assert [node.op_type for node in model.graph.node] == ["Conv", "Cast", "Mul", "Div", "Cast", "Relu"]
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT16


@pytest.mark.parametrize(("precision", "opset"), [("fp16", 18), ("int8", 20)])
def test_normalisation_in_the_graph_stays_fp32(tmp_path: Path, precision: str, opset: int) -> None:
    """... and is cast once, at its end: 255 times a rounded factor would lose more than the model's own rounding."""
    told = {**job_for(tmp_path, opset), "precision": precision}
    image = ImageInput(name="x", shape=(3, 6, 6))
    pixels = preprocess.in_graph(onnx.load(told["model"]), [image])
    Path(told["model"]).write_bytes(pixels.SerializeToString())
    golden.save(Path(told["golden"]), {"x": preprocess.to_pixels(INPUTS, image)}, {"y": INPUTS})
    job.compute(told, silent)
    model = made(told)
    assert [node.op_type for node in model.graph.node][:5] == ["Cast", "Transpose", "Mul", "Add", "Cast"]
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    front = [kinds[node.input[1]] for node in model.graph.node if node.op_type in ("Mul", "Add")][:2]
    assert front == [TensorProto.FLOAT, TensorProto.FLOAT]
    assert model.graph.node[4].attribute[0].i == TensorProto.FLOAT16


def test_the_same_job_gives_the_same_bytes(told: dict[str, Any]) -> None:
    written = []
    for precision in ("fp16", "int8", "fp16", "int8"):
        job.compute({**told, "precision": precision}, silent)
        written.append((Path(told["out"]) / "model.onnx").read_bytes())
    assert written[:2] == written[2:]


def test_int8_on_random_data_says_so_loudly(told: dict[str, Any]) -> None:
    answer = json.loads(json.dumps(job.compute({**told, "precision": "int8"}, silent)))
    calibration = from_json(Calibration, answer["calibration"])
    assert (calibration.data, calibration.samples) == ("random", 64)
    assert any("random data" in note for note in answer["notes"])
    assert any("opset 17 has no scales in FP16" in note for note in answer["notes"])
    assert {node.op_type for node in made(told).graph.node} >= {"QuantizeLinear", "DequantizeLinear"}


def test_from_opset_19_on_the_rest_of_int8_is_fp16_but_for_what_overflows(tmp_path: Path) -> None:
    told = {**job_for(tmp_path, opset=20), "precision": "int8"}
    answer = job.compute(told, silent)
    assert [one["node"] for one in answer["kept"]] == ["much", "less"]
    assert not any("opset" in note for note in answer["notes"])
    model = made(told)
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT16
    scales = [node.input[1] for node in model.graph.node if node.op_type == "QuantizeLinear"]
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert {kinds[name] for name in scales} == {TensorProto.FLOAT16}


@pytest.mark.parametrize(
    ("changes", "opset", "wanted"),
    [({"task": "scan"}, 9, 10), ({}, 9, 10), ({"precision": "int8"}, 12, 13)],
)
def test_an_opset_that_is_too_old_is_refused_before_any_work(
    tmp_path: Path, changes: dict[str, str], opset: int, wanted: int
) -> None:
    steps: list[str] = []
    told = {**job_for(tmp_path, opset), **changes}
    sentence = f"the graph has opset {opset}; .* wants {wanted}; make the file anew with a higher opset"
    with pytest.raises(ExportError, match=sentence):
        job.compute(told, lambda what, done=0, total=0: steps.append(what))
    assert not steps


@pytest.mark.parametrize(("precision", "opset"), [("fp16", 10), ("int8", 13)])
def test_the_oldest_opset_that_will_do(tmp_path: Path, precision: str, opset: int) -> None:
    told = {**job_for(tmp_path, opset), "precision": precision}
    job.compute(told, silent)
    made(told)


def test_ranges_that_are_known_are_not_measured_again(told: dict[str, Any]) -> None:
    asked = with_data(told, x=INPUTS)
    steps: list[str] = []
    job.compute(asked, lambda what, done=0, total=0: steps.append(what))
    assert any(step.startswith("calibrate") for step in steps)
    steps.clear()
    answer = job.compute(asked, lambda what, done=0, total=0: steps.append(what))
    assert not any(step.startswith("calibrate") for step in steps)
    assert answer["calibration"]["samples"] == 8


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"x": INPUTS[:0]}, "0 samples to calibrate on"),
        ({"images": INPUTS}, r"no calibration data for input 'x' but for \['images'\]"),
        ({"x": INPUTS[:, :2]}, r"samples of input 'x' have the shape \(2, 6, 6\), the model takes \(3, 6, 6\)"),
        ({"x": INPUTS[0]}, r"samples of input 'x' have the shape \(6, 6\), the model takes \(3, 6, 6\)"),
        ({"x": np.full_like(INPUTS, np.nan)}, "the calibration data for input 'x' holds values that are not finite"),
        ({"x": INPUTS.astype(np.uint8)}, "input 'x' takes float32, the calibration data is uint8"),
    ],
)
def test_calibration_data_that_does_not_fit_is_refused_in_a_sentence(
    told: dict[str, Any], arrays: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ExportError, match=sentence) as caught:
        job.compute(with_data(told, **arrays), silent)
    assert "calibration.npz" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_graph_with_nothing_to_quantise_is_refused(told: dict[str, Any]) -> None:
    model = onnx.load(told["model"])
    del model.graph.node[0]
    model.graph.node[0].input[0] = "x"
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3, 6, 6]))
    Path(told["model"]).write_bytes(model.SerializeToString())
    with pytest.raises(ExportError, match="nothing in this graph is to be quantised"):
        job.compute({**told, "precision": "int8"}, silent)


@pytest.mark.skipif(importlib.util.find_spec("modelopt") is not None, reason="ModelOpt is installed here")
def test_autocast_without_modelopt_names_the_extra(told: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"pip install 'edgebench\[modelopt\]' in an environment of its own"):
        job.compute({**told, "method": "autocast"}, silent)
    assert not Path(told["out"]).exists()


def test_autocast_keeps_what_the_scan_found(told: dict[str, Any]) -> None:
    pytest.importorskip("modelopt.onnx.autocast", reason="pip install 'edgebench[modelopt]'")
    answer = job.compute({**told, "method": "autocast"}, silent)
    assert answer["produced_by"].keys() == {"nvidia-modelopt"}
    assert [one["node"] for one in answer["kept"]] == ["much", "less"]
    kinds = {
        value.name: value.type.tensor_type.elem_type
        for value in onnx.shape_inference.infer_shapes(made(told)).graph.value_info
    }
    assert TensorProto.FLOAT16 in kinds.values()


def test_random_pixels_are_images_of_whole_numbers() -> None:
    like = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    array = job._random("pixels", like)
    assert (array.shape, array.dtype) == ((64, 32, 32, 3), np.uint8)
    neighbours = np.abs(np.diff(array.astype(int), axis=2)).mean()
    assert neighbours < 30, "noise without neighbourhood would give 85"
