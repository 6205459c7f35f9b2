"""The operator's own files on their way in: an .onnx file's answers, arrays by the names of its graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_agents.contract import Precision, TensorSpec, to_json
from export.data import golden, samples
from export.frameworks import onnx as onnx_files
from export.models import ModelRef
from export.request import ExportRequest
from profiles.errors import ExportError
from profiles.progress import silent
from tests.unit.export import small_graphs as small

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

X = small.random(8, 3)


def written(folder: Path, **stamps: int) -> Path:
    """y = relu(x), of (batch, 3)."""
    model = small.graph([small.node("Relu", ["x"], ["y"])], {"x": ["batch", 3]}, {"y": ["batch", 3]})
    for name, value in stamps.items():
        setattr(model, name, value)
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def asked(**changes: Any) -> ExportRequest:
    fields = {"framework": "onnx", "precision": Precision.FP32, "batch": "dynamic", "weights": "", "opset": 0}
    return ExportRequest(model="sha256:0", **{**fields, **changes})


def test_a_file_of_a_newer_format_than_onnxruntime_reads_answers_all_the_same(tmp_path: Path) -> None:
    ref = ModelRef("onnx", "net", path=written(tmp_path, ir_version=14))
    assert np.array_equal(onnx_files.answers(ref, asked(), {"x": X}, silent)["y"], np.maximum(X, 0))
    assert [file.name for file in tmp_path.iterdir()] == ["net.onnx"]


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path, **{name.replace("__", ":"): array for name, array in arrays.items()})
    return path


def cut(path: Path) -> Path:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return path


def flipped(path: Path) -> Path:
    whole = bytearray(path.read_bytes())
    whole[200] ^= 0xFF
    path.write_bytes(bytes(whole))
    return path


def single(path: Path) -> Path:
    np.save(path.with_suffix(".npy"), X)
    return path.with_suffix(".npy")


BAD = {
    "one array": (single, "it is one array without a name, an .npy; save plain arrays"),
    "cut": (lambda path: cut(save(path, input__x=X, output__y=X)), "an .npz that numpy reads; save plain arrays"),
    "flipped": (lambda path: flipped(save(path, input__x=X, output__y=X)), "an .npz that numpy reads"),
    "objects": (lambda path: save(path, input__x=X.astype(object), output__y=X), "an .npz that numpy reads"),
    "text": (lambda path: save(path, input__x=X.astype(str), output__y=X), "array 'input:x' holds <U32, which are no"),
    "nothing": (lambda path: save(path, input__x=X[:0], output__y=X[:0]), "its arrays hold no samples"),
    "a number": (lambda path: save(path, input__x=np.float32(1), output__y=X), r"input 'x' has the shape \(\), wanted"),
    "other names": (lambda path: save(path, z=X), r"no array for input 'x' \(there is 'z'\); name the array input:x"),
    "not finite": (lambda path: save(path, input__x=X * np.nan, output__y=X), "values that are not finite"),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("use", ["reference", "calibrate"])
def test_arrays_that_cannot_be_taken_are_refused_in_a_sentence(tmp_path: Path, kind: str, use: str) -> None:
    made, told = BAD[kind]
    path = made(tmp_path / "arrays.npz")
    with pytest.raises(ExportError, match=told) as caught:
        taken(use, path, tmp_path)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("use", ["reference", "calibrate"])
@pytest.mark.parametrize("prefix", ["", "input:"])
def test_arrays_that_fit_are_taken(tmp_path: Path, use: str, prefix: str) -> None:
    np.savez(tmp_path / "arrays.npz", **{f"{prefix}x": X, "output:y": X})
    taken(use, tmp_path / "arrays.npz", tmp_path)
    assert np.array_equal(golden.load(tmp_path / "golden.npz")[0]["x"], X)


def taken(use: str, path: Path, folder: Path) -> None:
    """What was taken lies in golden.npz."""
    if use == "reference":
        ref = ModelRef("onnx", "net", path=written(folder))
        onnx_files.Exporter("net", silent).export(ref, asked(reference_path=path), folder)
        return
    spec = TensorSpec("x", "float32", ("batch", 3))
    told = {"inputs": to_json((spec,)), "images": [], "pixels": "float", "out": str(folder / "golden.npz")}
    samples.compute({"path": str(path), **told}, silent)
