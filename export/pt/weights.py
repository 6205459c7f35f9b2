"""The weights of torchvision's networks: pretrained, random by a recipe of ours, or from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from export.pt import catalog
from export.pt.catalog import Entry
from export.pt.random_weights import randomise
from export.request import ExportRequest
from profiles.errors import ExportError

_TRAINING_HEADS = ("aux1.", "aux2.", "AuxLogits.", "aux_classifier.")
"""Of torchvision's networks: files of weights hold them, and networks for inference are built without."""


def load(entry: Entry, request: ExportRequest, pinned: str | None) -> Any:
    """The torchvision network in eval mode, FP32. `entry` is at its own size, whatever is asked for: random weights are
    the same at every size, and in every framework. Errors: ExportError for weights that cannot be downloaded, or a file
    that is not this network's state dict."""
    import torch

    torch.manual_seed(request.seed)
    if request.weights == "pretrained":
        return catalog.build_pretrained(entry, pinned)
    network = catalog.build(catalog.at_size(entry, request))
    if request.weights == "random":
        randomise(network, entry)
    else:
        load_file(network, _weights_path(request))
    return network.eval()


def load_file(network: Any, path: Path) -> None:
    """Errors: ExportError for a file that is not this network's state dict."""
    _load_state(network, _read_file(path), where=str(path))


def _weights_path(request: ExportRequest) -> Path:
    if request.weights_path is None:
        raise ExportError("the request names weights by hash and gives no file")
    return request.weights_path


def _read_file(path: Path) -> dict[str, Any]:
    """A state dict from .safetensors or what torch.save wrote; never arbitrary pickles. Errors: ExportError."""
    import torch

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except ImportError:
        raise ExportError("safetensors is not installed", where=str(path), fix="pip install safetensors") from None
    except Exception as error:  # what a broken file raises has no common base
        raise ExportError("not a file of PyTorch weights, or a damaged one", where=str(path)) from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    named = isinstance(state, dict) and all(isinstance(name, str) for name in state)
    if not named or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ExportError("holds no state dict", where=str(path), fix="save it with torch.save(model.state_dict(), …)")
    return {name: value.float() for name, value in state.items()}


def _load_state(network: Any, state: dict[str, Any], *, where: str) -> None:
    expected = network.state_dict()
    if not expected.keys() & state.keys():  # nn.DataParallel puts it before every name
        state = {name.removeprefix("module."): value for name, value in state.items()}
    absent = sorted(name for name in expected.keys() - state.keys() if not _is_counter(name))
    if absent:
        raise ExportError(f"the weights lack {absent[0]!r} ({len(absent)} missing): another network's", where=where)
    shared = expected.keys() & state.keys()
    for name in shared:
        if not _is_counter(name) and expected[name].shape != state[name].shape:
            shapes = f"{tuple(state[name].shape)}, not {tuple(expected[name].shape)}"
            raise ExportError(f"weight {name!r} has the shape {shapes}: another network's", where=where)
    _refuse_spare(state.keys() - expected.keys(), expected, where)
    network.load_state_dict({name: state[name] for name in shared}, strict=False)


def _refuse_spare(spare: set[str], expected: dict[str, Any], where: str) -> None:
    """Errors: ExportError for weights that the network has no use for, unless they are of heads for training alone."""
    unused = tuple(head for head in _TRAINING_HEADS if not any(name.startswith(head) for name in expected))
    strange = sorted(name for name in spare if not _is_counter(name) and not name.startswith(unused))
    if strange:
        message = f"the weights hold {strange[0]!r}, which the network does not have ({len(strange)} such)"
        raise ExportError(f"{message}: another network's", where=where)


def _is_counter(name: str) -> bool:
    return name.endswith("num_batches_tracked")
