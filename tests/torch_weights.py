"""A small network of torchvision as an artifact has it, for tests of the pytorch backend."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from device_agents.contract import NETWORK_FILE, JobSpec, Network, TensorSpec, dumps
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
