"""Graphs on disk, with their weights in one file or beside it."""

from pathlib import Path

import numpy as np
import pytest

from export import graph
from profiles.errors import ExportError
from tests.unit.export import small_graphs as small

onnx, node = small.onnx, small.node
W = small.random(100, 100)


def network():
    constants = {"w": W, "b": small.random(100, seed=1)}
    return small.graph([node("Gemm", ["x", "w", "b"], ["y"])], {"x": ["batch", 100]}, {"y": ["batch", 100]}, constants)


def outside(folder: Path, location: str = "weights.bin") -> Path:
    """The network as others save it: all of its weights in a file of another name."""
    folder.mkdir(exist_ok=True)
    onnx.save_model(
        network(), folder / "net.onnx", save_as_external_data=True, location=location, size_threshold=0,
    )  # fmt: skip
    return folder / "net.onnx"


def test_large_weights_go_to_a_file_beside_the_graph_and_come_back(tmp_path: Path) -> None:
    path = graph.save(network(), tmp_path, limit=1000)
    assert (path.name, (tmp_path / "model.onnx.data").stat().st_size) == ("model.onnx", W.nbytes)
    assert path.stat().st_size < 2000
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    x = small.random(2, 100, seed=2)
    assert np.array_equal(session.run(None, {"x": x})[0], small.run(network(), x=x)["y"])
    assert graph.load(path).SerializeToString(deterministic=True) == network().SerializeToString(deterministic=True)


def test_equal_graphs_give_equal_files_and_old_data_does_not_stay(tmp_path: Path) -> None:
    files = []
    for _ in range(2):
        path = graph.save(network(), tmp_path, limit=1000)
        files.append((path.read_bytes(), (tmp_path / "model.onnx.data").read_bytes()))
    assert files[0] == files[1]
    graph.save(network(), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]


def test_weights_in_another_file_are_read(tmp_path: Path) -> None:
    model = graph.load(outside(tmp_path))
    assert np.array_equal(onnx.numpy_helper.to_array(model.graph.initializer[0]), W)
    onnx.checker.check_model(model)


def test_a_file_of_weights_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = outside(tmp_path)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ExportError, match=r"net.onnx: weight 'w' lies in 'weights.bin', which is not there; copy"):
        graph.load(path)


def test_a_file_of_weights_that_was_cut_short_is_named(tmp_path: Path) -> None:
    path = outside(tmp_path)
    with (tmp_path / "weights.bin").open("r+b") as stream:
        stream.truncate(40_000)
    with pytest.raises(ExportError, match=r"weight 'b' ends at byte 40400 of 'weights.bin', which has 40000"):
        graph.load(path)


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", ""])
def test_weights_outside_the_folder_are_not_read(tmp_path: Path, location: str) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(50_000))
    path = outside(tmp_path / "model")
    model = onnx.load_model(path, load_external_data=False)
    for tensor in model.graph.initializer:
        next(entry for entry in tensor.external_data if entry.key == "location").value = location
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ExportError, match="outside the folder of the model"):
        graph.load(path)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    path = outside(tmp_path / "model")
    (tmp_path / "model" / "weights.bin").rename(tmp_path / "elsewhere.bin")
    (tmp_path / "model" / "weights.bin").symlink_to(tmp_path / "elsewhere.bin")
    with pytest.raises(ExportError, match="outside the folder of the model"):
        graph.load(path)


@pytest.mark.parametrize("kind", ["hardlink_to", "symlink_to"])
def test_a_link_within_the_folder_is_told_in_a_sentence(tmp_path: Path, kind: str) -> None:
    path = outside(tmp_path)
    (tmp_path / "weights.bin").rename(tmp_path / "real.bin")
    getattr(tmp_path / "weights.bin", kind)(tmp_path / "real.bin")
    with pytest.raises(
        ExportError, match=r"weight 'w' cannot be read from 'weights.bin' \(.*; put the file itself"
    ) as caught:
        graph.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not a graph at all", b"\x08\x07"])
def test_what_is_no_graph_says_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(ExportError, match="not an ONNX file") as caught:
        graph.load(path)
    assert "net.onnx" in caught.value.where
    with pytest.raises(ExportError, match="cannot be read"):
        graph.load(tmp_path / "nowhere.onnx")
