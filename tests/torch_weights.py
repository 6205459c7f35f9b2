"""A small network of torchvision as an artifact has it, for tests of the pytorch backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from device_agents.backends.base import Backend
from device_agents.contract import NETWORK_FILE, JobSpec, LoadPattern, Network, TensorSpec, dumps
from device_agents.formats import safetensors
from tests.jobs import job_spec

SIDE = 64
NETWORK = Network(("logits",), "torchvision:squeezenet1_1")
SPEC: JobSpec = job_spec(
    backend="pytorch",
    inputs=(TensorSpec("images", "float32", (2, 3, SIDE, SIDE)),),
    outputs=(TensorSpec("logits", "float32", (2, 1000)),),
    batch=2,
)
DRAWN: JobSpec = replace(
    SPEC,
    graph_inputs=(TensorSpec("images", "float32", ("batch", 3, "height", "width")),),
    pattern=LoadPattern("sizes", sizes=(32, 64, 96)),
)
_TYPES = {"float32": "F32", "float16": "F16", "int64": "I64"}


def squeezenet() -> Any:
    """The network, the same every time."""
    import torch
    from torchvision import models

    torch.manual_seed(0)
    return models.squeezenet1_1(weights=None).eval()


def save(state: Mapping[str, Any], folder: Path, network: Network = NETWORK) -> Path:
    """The weights and what says whose they are; returns the file of the weights."""
    (folder / NETWORK_FILE).write_text(dumps(network))
    types = [(name, _TYPES[str(one.dtype).partition(".")[2]], tuple(one.shape)) for name, one in state.items()]
    data = b"".join(one.numpy().tobytes() for one in state.values())
    path = folder / "model.safetensors"
    path.write_bytes(safetensors.encode_header(types) + data)
    return path


def computes_every_size(backend: Backend, network: Any, sizes: Sequence[int] = DRAWN.pattern.sizes) -> None:
    """In slots of different sizes, in any order."""
    import numpy as np
    import torch

    batches = [np.random.default_rng(side).random((2, 3, side, side), np.float32) for side in sizes]
    for slot, batch in enumerate(batches):
        backend.bind({"images": batch}, slot)
    for slot in (*range(len(sizes)), *reversed(range(len(sizes)))):
        backend.enqueue(slot)
        backend.wait(slot)
        with torch.inference_mode():
            wanted = network(torch.from_numpy(batches[slot])).numpy()
        np.testing.assert_allclose(backend.outputs(slot)["logits"], wanted, rtol=1e-3, atol=1e-4)
