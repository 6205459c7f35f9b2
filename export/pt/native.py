"""torchvision's network as its weights and its name: what PyTorch on a device makes it of again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from device_agents.contract import NETWORK_FILE, Network, Precision, dumps
from device_agents.formats import safetensors
from export.cache import versions
from export.native import Written
from export.pt import catalog
from export.pt.catalog import Entry
from export.pt.net import Arrays, answers, of_torchvision
from export.request import ExportRequest
from profiles.errors import ExportError

MODEL_FILE = "model.safetensors"

_RETURNS = {"classification": "tensor", "video": "tensor", "segmentation": "named", "optical_flow": "last"}
_TYPES = {"float32": "F32", "float16": "F16", "int64": "I64"}


def write(
    network: Any, entry: Entry, request: ExportRequest, inputs: Arrays, out: Path
) -> tuple[Written, dict[str, Any]]:
    """Write weights and description; and the answers of a network that was built anew from them. Errors: ExportError
    for a network that torchvision alone does not make what the graph is."""
    if entry.task not in _RETURNS:
        message = f"PyTorch on a device runs {', '.join(_RETURNS)}: what follows a network of {entry.task} is Python"
        raise ExportError(message, where=entry.name, fix="take --backend onnxruntime or tensorrt")
    half = request.precision is Precision.FP16
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    again = catalog.build(entry)
    again.load_state_dict(state)
    net = of_torchvision(again, entry, request)
    found = answers(net, inputs, half=half)
    if half:
        state = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    _save(state, out / MODEL_FILE)
    told = Network(
        outputs=tuple(net.module.names),
        builder=f"torchvision:{entry.name}",
        arguments=catalog.arguments(entry),
        returns=_RETURNS[entry.task],
    )
    (out / NETWORK_FILE).write_text(dumps(told, indent=1) + "\n", encoding="utf-8")
    return Written(MODEL_FILE, {**versions("pytorch"), "exporter": "state dict"}), found


def _save(state: dict[str, Any], path: Path) -> None:
    """The largest alignment first, as the library writes: no tensor begins off its type's size."""
    order = sorted(state, key=lambda name: (-state[name].element_size(), name))
    types = [(name, _TYPES[str(state[name].dtype).removeprefix("torch.")], tuple(state[name].shape)) for name in order]
    with path.open("wb") as stream:
        stream.write(safetensors.encode_header(types))
        for name in order:
            stream.write(state[name].contiguous().numpy().tobytes())
