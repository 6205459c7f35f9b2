"""Ranges of an INT8 graph: found in samples, and kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from export import graph as graphs
from export.precision import calibration
from export.precision.running import running
from profiles.errors import ExportError
from profiles.progress import silent


def graph(tmp_path: Path, batch: int | str = "batch") -> Path:
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Sub", ["b", "b"], ["y"]),
    ]
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 1000])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 1000])
    made = helper.make_graph(nodes, "g", [value], [output], [numpy_helper.from_array(np.float32(2), "two")])
    path = tmp_path / "model.onnx"
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("batch", ["batch", 16])
def test_ranges_are_absolute_values_over_all_samples(tmp_path: Path, batch: Any) -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (40, 1000)).astype(np.float32)
    x[39, 7:300] = -5.0  # in the last sample alone
    ranges = calibration.calibrate(graph(tmp_path, batch), ["x", "a", "b", "y"], {"x": x}, silent)
    assert ranges["x"] == pytest.approx(5, rel=0.05)
    assert ranges["a"] == pytest.approx(10, rel=0.05)
    assert ranges["b"] == pytest.approx(2, rel=0.05)
    assert ranges["y"] == 0


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_values_that_are_not_finite_have_no_part_in_a_range(tmp_path: Path, odd: float) -> None:
    """One sample may be divided by nothing; what it does besides counts."""
    x = np.random.default_rng(0).uniform(-1, 1, (40, 1000)).astype(np.float32)
    plain = calibration.calibrate(graph(tmp_path), ["x", "a"], {"x": x}, silent)
    x[[np.abs(x[:, 0]).argmin(), 7], 0] = odd
    ranges = calibration.calibrate(graph(tmp_path), ["x", "a"], {"x": x}, silent)
    assert ranges == pytest.approx(plain, rel=0.05)
    x[:] = odd
    assert calibration.calibrate(graph(tmp_path), ["x"], {"x": x}, silent) == {"x": 0.0}


def test_a_mistake_of_the_caller_is_no_fault_of_onnxruntime(tmp_path: Path) -> None:
    model = graphs.load(graph(tmp_path))
    with pytest.raises(KeyError, match="mine"), running(model, ["a"]):
        raise KeyError("mine")


def test_a_graph_that_does_not_run_is_told_in_a_sentence(tmp_path: Path) -> None:
    model = graphs.load(graph(tmp_path))
    model.graph.node[0].op_type = "NoSuchThing"
    with pytest.raises(ExportError, match="onnxruntime does not run the graph"), running(model, ["a"]):
        pass


def test_one_outlier_in_a_million_does_not_widen_a_range(tmp_path: Path) -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (1000, 1000)).astype(np.float32)
    x[0, 0] = 20.0
    ranges = calibration.calibrate(graph(tmp_path), ["x"], {"x": x}, silent)
    assert 1 < ranges["x"] < 5


def test_every_finite_value_is_counted_once() -> None:
    values = np.random.default_rng(2).normal(size=(3, calibration._PIECE)).astype(np.float32)
    values[1, :4] = np.nan, np.inf, -np.inf, 0.0
    peak = float(np.abs(values[np.isfinite(values)]).max())
    counts = np.ones(calibration._BINS, np.int64)
    calibration._count(values, peak, counts)
    finite = np.abs(values[np.isfinite(values)])
    bins = np.minimum(finite * np.float32(calibration._BINS / peak), calibration._BINS - 1).astype(int)
    assert (counts == 1 + np.bincount(bins, minlength=calibration._BINS)).all()


def test_a_tensor_of_the_smallest_numbers_has_a_range(tmp_path: Path) -> None:
    x = np.full((1000, 1000), 1e-37, np.float32)
    x[0, 0] = 0.0
    ranges = calibration.calibrate(graph(tmp_path), ["x"], {"x": x}, silent)
    assert 0 < ranges["x"] < 1.1e-37


def test_a_range_clips_as_much_as_pays() -> None:
    values = np.abs(np.random.default_rng(1).normal(size=1_000_000))
    peak = float(values.max())
    counts, _ = np.histogram(values, calibration._BINS, (0, peak))
    chosen = calibration.best_range(counts, peak)

    def error(range_: float) -> float:
        step = range_ / 127
        return float(np.mean((values - np.minimum(np.rint(values / step), 127) * step) ** 2))

    assert 3.5 < chosen < peak
    assert error(chosen) < min(error(peak), error(chosen / 1.3), error(chosen * 1.3))


def test_ranges_are_kept_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "ranges.json"
    assert calibration.load(path, ["a", "b"]) is None
    calibration.save(path, {"a": 1.5, "b": 0.0})
    assert calibration.load(path, ["b", "a"]) == {"a": 1.5, "b": 0.0}
    assert [file.name for file in tmp_path.iterdir()] == ["ranges.json"]


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": 0},
        {"method": "minmax"},
        {"ranges": {"a": 1.0}},
        {"ranges": {"a": 1.0, "b": float("nan")}},
        {"ranges": 3},
    ],
)
def test_ranges_by_another_recipe_or_of_other_tensors_are_made_anew(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "ranges.json"
    calibration.save(path, {"a": 1.0, "b": 2.0})
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert calibration.load(path, ["a", "b"]) is None


@pytest.mark.parametrize("text", ["", "[]", '{"ranges": {"a": "x"}}', "\x00"])
def test_a_damaged_file_of_ranges_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ranges.json"
    path.write_text(text)
    assert calibration.load(path, ["a"]) is None
