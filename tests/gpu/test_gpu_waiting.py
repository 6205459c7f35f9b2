"""On a real GPU: a backend that returns before the GPU has finished is caught at its first use, and the honest one is
not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gpu_models
import numpy as np
import pytest

from device_agents import cuda_handles, waiting
from device_agents.backends import onnxruntime as ort
from device_agents.backends import pytorch
from device_agents.backends.base import Backend
from tests.torch_weights import SIDE, SPEC, save, squeezenet

pytestmark = pytest.mark.leaves("CUDA's driver keeps pipes, threads and its context for the life of the process")

MUCH_NS = 200_000


def looks(
    backend: Backend, inputs: dict[str, Any], spec: Any, monkeypatch: pytest.MonkeyPatch, waits: tuple[type, str]
) -> list[dict[str, Any]]:
    """What is seen of a backend as it is, and of the same one when what it `waits` with does nothing."""
    honest = waiting.look(backend, inputs, spec, 0)
    monkeypatch.setattr(*waits, lambda *_: None)
    return [{name: reading.value for name, reading in one.items()}
            for one in (honest, waiting.look(backend, inputs, spec, 0))]  # fmt: skip


def caught(honest: dict[str, Any], early: dict[str, Any]) -> None:
    assert honest["outputs_after_wait"] == "settled"
    assert honest["left_after_wait_ns"] < max(20_000, 0.05 * honest["awaited_ns"])
    assert early["left_after_wait_ns"] > MUCH_NS
    assert early["left_after_wait_ns"] > 0.05 * (early["awaited_ns"] + early["left_after_wait_ns"])


def test_pytorch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason="no PyTorch: install edgebench[pytorch]")
    pytest.importorskip("torchvision", reason="no torchvision: install edgebench[pytorch]")
    if not torch.cuda.is_available():
        pytest.skip("PyTorch finds no GPU here")
    batch = 512
    inputs = {"images": np.random.default_rng(0).random((batch, 3, SIDE, SIDE), np.float32)}
    one, many = SPEC.inputs[0], SPEC.outputs[0]
    spec = replace(
        SPEC,
        batch=batch,
        inputs=(replace(one, shape=(batch, *one.shape[1:])),),
        outputs=(replace(many, shape=(batch, *many.shape[1:])),),
        options={"provider": "cuda"},
    )
    backend = pytorch.Backend()
    backend.start()
    backend.load(save(squeezenet().state_dict(), tmp_path), spec)
    caught(*looks(backend, inputs, spec, monkeypatch, (pytorch.Backend, "wait")))
    backend.close()


def test_onnxruntime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cuda: Any) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="no onnxruntime: install edgebench[local]")
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has no CUDA provider")
    gpu_models.convolutions(tmp_path / "model.onnx", depth=24)
    spec = gpu_models.job(batch=64)
    backend = ort.Backend()
    backend.start()
    backend.load(tmp_path / "model.onnx", spec)
    waits = cuda_handles.Event, "synchronize"  # what else its wait does has to be done
    caught(*looks(backend, gpu_models.images(1, batch=64)[0], spec, monkeypatch, waits))
    monkeypatch.undo()
    backend.close()
