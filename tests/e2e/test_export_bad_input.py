"""What cannot become an artifact: one sentence each, and nothing left behind."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from device_agents.contract import Precision
from export.api import export_model, parse_model
from export.artifact import NotChecked, Parity, Store
from export.models import missing
from profiles.errors import ConfigError, EdgebenchError, ExportError

needs_torch = pytest.mark.skipif(bool(missing("pytorch")), reason="PyTorch is not installed")
needs_tensorflow = pytest.mark.skipif(bool(missing("tensorflow")), reason="TensorFlow is not installed")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store of the test's own. Afterwards no workspace of an export is left in it."""
    store = Store(tmp_path / "store")
    yield store
    assert not list(store.root.glob("making-*"))


def ask(store: Store, model: str, **changes: Any) -> Any:
    framework = "onnx" if model.endswith(".onnx") else "pytorch"
    asked = {"framework": framework, "precision": Precision.FP32, "batch": "dynamic", "weights": "random", **changes}
    return export_model(parse_model(model), store=store, **asked)


def assert_refused(store: Store, told: str, model: str, kind: type[EdgebenchError] = ExportError, **asked: Any) -> str:
    with pytest.raises(kind, match=told) as caught:
        ask(store, model, **asked)
    assert not list((store.root / "artifacts").glob("*"))
    return str(caught.value)


@pytest.fixture
def no_net(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A proxy that is not there, and empty caches: what a machine without a network looks like to a download."""
    for name in ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))


@needs_torch
def test_torchvision_weights_that_cannot_be_downloaded(store: Store, no_net: None) -> None:
    began = time.monotonic()
    told = assert_refused(store, "cannot be downloaded", "resnet18", weights="pretrained")
    assert "--weights random" in told
    assert "--weights PATH" in told
    assert time.monotonic() - began < 30  # most of it is importing torch


@needs_tensorflow
def test_keras_weights_that_cannot_be_downloaded(store: Store, no_net: None) -> None:
    told = assert_refused(
        store, "cannot be downloaded", "keras:MobileNetV2", framework="tensorflow", weights="pretrained"
    )
    assert "--weights random" in told
    assert "--weights PATH" in told


@needs_torch
def test_names_that_torchvision_does_not_have(store: Store) -> None:
    assert_refused(store, "did you mean 'resnet18'", "torchvision:resnet81", ConfigError)
    assert_refused(store, "unknown torchvision model", "torchvision:quantized_resnet18", ConfigError)


@needs_tensorflow
def test_names_that_keras_does_not_have(store: Store) -> None:
    assert_refused(store, "did you mean", "keras:ResNet51", ConfigError, framework="tensorflow")


@needs_torch
def test_files_that_hold_no_weights_of_this_network(store: Store, tmp_path: Path) -> None:
    import torch

    noise = tmp_path / "noise.pth"
    noise.write_bytes(b"\x80\x02not a checkpoint")
    assert_refused(store, "not a file of PyTorch weights, or a damaged one", "resnet18", weights=str(noise))
    torch.save({"fc.weight": torch.zeros(1)}, tmp_path / "other.pth")
    assert_refused(store, "another network's", "resnet18", weights=str(tmp_path / "other.pth"))


@needs_torch
def test_the_error_of_a_twin_is_that_of_its_weights(store: Store, tmp_path: Path) -> None:
    noise = tmp_path / "noise.pth"
    noise.write_bytes(b"nothing")
    assert_refused(store, "damaged", "resnet18", framework="tensorflow", weights=str(noise))


@needs_torch
def test_memory_and_time_are_bounded(store: Store) -> None:
    assert_refused(store, "over its limit", "resnet18", memory_limit_bytes=100 << 20)
    assert_refused(store, "longer than 1 s", "resnet18", timeout_s=1.0)


class TestFile:
    """A user's own .onnx file."""

    @staticmethod
    def write(path: Path, batch: int | str = "batch", dtype: int = onnx.TensorProto.FLOAT) -> Path:
        """A small network: images (batch, 3, 8, 8) to logits (batch, 4)."""
        kind = onnx.helper.tensor_dtype_to_np_dtype(dtype)
        weight = np.random.default_rng(0).normal(size=(192, 4)).astype(kind)
        nodes = [
            onnx.helper.make_node("Flatten", ["images"], ["flat"]),
            onnx.helper.make_node("MatMul", ["flat", "weight"], ["logits"]),
        ]
        graph = onnx.helper.make_graph(
            nodes,
            "small",
            [onnx.helper.make_tensor_value_info("images", dtype, [batch, 3, 8, 8])],
            [onnx.helper.make_tensor_value_info("logits", dtype, [batch, 4])],
            [onnx.numpy_helper.from_array(weight, "weight")],
        )
        onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)]), path)
        return path

    def test_it_becomes_an_artifact_that_is_its_own_reference(self, store: Store, tmp_path: Path) -> None:
        artifact = ask(store, str(self.write(tmp_path / "small.onnx")))
        assert isinstance(artifact.parity, NotChecked)
        assert (artifact.model, artifact.graph.macs, artifact.graph.parameters) == ("small", 768, 768)
        assert artifact.weights.startswith("sha256:")

    def test_its_fp16_form_is_compared_with_the_file(self, store: Store, tmp_path: Path) -> None:
        artifact = ask(store, str(self.write(tmp_path / "small.onnx")), precision=Precision.FP16, batch=3)
        assert isinstance(artifact.parity, Parity)
        assert (artifact.inputs[0].dtype, artifact.inputs[0].shape) == ("float16", (3, 3, 8, 8))

    def test_damaged_and_foreign_files(self, store: Store, tmp_path: Path) -> None:
        whole = self.write(tmp_path / "small.onnx").read_bytes()
        for name, content in {"cut": whole[: len(whole) // 2], "foreign": b"PK\x03\x04 a zip", "empty": b""}.items():
            path = tmp_path / f"{name}.onnx"
            path.write_bytes(content)
            assert_refused(store, f"{name}.onnx: not an ONNX file", str(path))

    def test_a_graph_that_no_runtime_knows(self, store: Store, tmp_path: Path) -> None:
        proto = onnx.load(self.write(tmp_path / "small.onnx"))
        proto.graph.node[0].op_type = "Flatenn"
        onnx.save(proto, tmp_path / "typo.onnx")
        assert_refused(
            store, "node .flat. is a Flatenn, which ONNX does not have in opset 18", str(tmp_path / "typo.onnx")
        )

    def test_a_batch_or_precision_that_the_file_does_not_have(self, store: Store, tmp_path: Path) -> None:
        fixed = self.write(tmp_path / "fixed.onnx", batch=2)
        assert_refused(store, "fixed batch of 2; use --batch 2", str(fixed))
        half = self.write(tmp_path / "half.onnx", dtype=onnx.TensorProto.FLOAT16)
        assert_refused(store, "use --precision fp16", str(half))
