"""From an artifact's weights to a network: torchvision builds it, the weights are read, and nothing else runs."""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Any, Dict

from device_agents.backends.base import first_line
from device_agents.contract import Network
from device_agents.errors import DeviceError
from device_agents.formats import safetensors

_TYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip


def build(torch: Any, told: Network, weights: Path) -> Any:
    """The network on the processor, in the precision of its weights, ready for inference. Errors: DeviceError."""
    network = _empty(told)
    state = read(torch, weights)
    floating = next((value.dtype for value in state.values() if value.is_floating_point()), torch.float32)
    try:
        network.to(floating).load_state_dict(state)
    except RuntimeError as error:  # names that are missing, shapes that differ
        message = f"the weights are not those of this torchvision's {told.builder} ({first_line(error)})"
        fix = "install the torchvision that the artifact was made with, or export it with this one"
        raise DeviceError("load_failed", "load", message, where=weights.name, fix=fix) from None
    return network.eval()


def read(torch: Any, path: Path) -> Dict[str, Any]:
    """The tensors of a safetensors file by name; they share one block of memory. Errors: DeviceError."""
    size = path.stat().st_size
    try:
        with path.open("rb") as stream:
            entries = safetensors.read_header(stream, size)
            begin = stream.tell()
            data = bytearray(size - begin)
            stream.readinto(data)
    except ValueError as error:
        message = f"the weights cannot be read: {error}"
        raise DeviceError("artifact_damaged", "load", message, where=path.name, fix="export the model again") from None
    return {name: _tensor(torch, data, entry, begin) for name, entry in entries.items()}


def _tensor(torch: Any, data: bytearray, entry: safetensors.Entry, begin: int) -> Any:
    dtype, count = getattr(torch, _TYPES[entry.dtype]), math.prod(entry.shape)
    if not count:
        return torch.empty(entry.shape, dtype=dtype)
    return torch.frombuffer(data, dtype=dtype, count=count, offset=entry.begin - begin).reshape(entry.shape)


def _empty(told: Network) -> Any:
    """As its builder initialises it: torchvision's registry holds torchvision's builders alone."""
    import torchvision
    from torchvision import models

    name = told.builder.partition(":")[2]
    if not hasattr(models, "get_model_builder"):
        message = f"torchvision {torchvision.__version__} has no list of its networks, 0.14 does"
        raise DeviceError("unsupported", "load", message, fix="update it, or take --backend onnxruntime")
    try:
        builder = models.get_model_builder(name)
    except ValueError:
        message = f"torchvision {torchvision.__version__} has no network {name!r}"
        raise DeviceError("unsupported", "load", message, fix="update torchvision on the device") from None
    arguments: Dict[str, Any] = dict(told.arguments)
    if "weights_backbone" in inspect.signature(builder).parameters:
        arguments["weights_backbone"] = None
    return builder(weights=None, **arguments)
