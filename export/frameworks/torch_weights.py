"""torchvision networks with their weights: pretrained, random by a recipe of ours, or from a file."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from export import golden
from export.artifact import ExportRequest
from export.download import check_reachable, could_not_download
from profiles.errors import ExportError
from profiles.load import unknown
from profiles.schema import ImageInput, ModelProfile

RESIDUAL_GAIN = 0.25
"""Gain of the last batch norm in a residual block. At torchvision's 1 a random ResNet-152 reaches 7e8, beyond FP16."""

_CALIBRATION_IMAGES = 16
_CALIBRATION_SEED = golden.SEED + 1

# torchvision's residual blocks, by class: their last batch norm is the one before the addition.
_BLOCKS = ("BasicBlock", "Bottleneck", "InvertedResidual", "MBConv", "FusedMBConv", "ResBottleneckBlock")
_SHORTCUTS = ("downsample", "proj")


def load_model(model: ModelProfile, request: ExportRequest) -> Any:
    """The torchvision network in eval mode, FP32. Errors: ExportError for an unknown name, weights that cannot be
    downloaded, or a file that is not this network's state dict."""
    import torch

    name = model.frameworks["pytorch"].source.partition(":")[2]
    torch.manual_seed(request.seed)
    network = _build(name)
    if request.weights == "random":
        _randomise(network, model)
    elif request.weights == "pretrained":
        _load_state(network, _pretrained(name, model.frameworks["pytorch"].weights), where=name)
    else:
        path = _weights_path(request)
        _load_state(network, _read_file(path), where=str(path))
    return network.eval()


def image_input(model: ModelProfile) -> ImageInput:
    """The profile's image; for a bare torchvision:NAME, of the side that its weights were evaluated at."""
    if not model.name.startswith("torchvision:"):
        return model.input
    side = _natural_side(model.name.partition(":")[2])
    return replace(model.input, shape=(3, side, side))


def _natural_side(name: str) -> int:
    """The side in pixels of the images that a torchvision model is evaluated on; 224 where it has no weights."""
    import torchvision

    _known(name)
    weights = list(torchvision.models.get_model_weights(name))
    return int(torchvision.models.get_model_weights(name).DEFAULT.transforms().crop_size[0]) if weights else 224


def _build(name: str) -> Any:
    import torchvision

    _known(name)
    extra = {"aux_logits": False, "init_weights": True} if name in ("googlenet", "inception_v3") else {}
    return torchvision.models.get_model(name, weights=None, **extra).eval()


def _known(name: str) -> None:
    import torchvision

    classifiers = torchvision.models.list_models(module=torchvision.models)
    if name not in classifiers:
        error = unknown("torchvision model", name, classifiers)
        raise error


def _pretrained(name: str, pinned: str | None) -> dict[str, Any]:
    """torchvision's state dict, from its cache or downloaded. Errors: ExportError naming what to do without a net."""
    import torch
    import torchvision

    choices = torchvision.models.get_model_weights(name)
    member = pinned.rpartition(".")[2] if pinned else "DEFAULT"
    if member not in choices.__members__ and member != "DEFAULT":
        raise unknown(f"weights of torchvision's {name}", member, choices.__members__)
    weights = choices[member]
    cached = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2]
    if not cached.exists():
        check_reachable(weights.url, name)
    try:
        state: dict[str, Any] = weights.get_state_dict(progress=False, check_hash=True)
    except OSError as error:
        raise could_not_download(name, weights.url, error) from None
    except RuntimeError as error:
        raise ExportError(f"torch cannot read the pretrained weights ({error})", fix=f"remove {cached}") from None
    return state


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
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ExportError("holds no state dict", where=str(path), fix="save it with torch.save(model.state_dict(), …)")
    return {name.removeprefix("module."): value.float() for name, value in state.items()}


def _load_state(network: Any, state: dict[str, Any], *, where: str) -> None:
    expected = network.state_dict()
    counters = {name for name in expected if name.endswith("num_batches_tracked")}
    absent = sorted(expected.keys() - state.keys() - counters)
    if absent:
        raise ExportError(f"the weights lack {absent[0]!r} ({len(absent)} missing): another network's", where=where)
    for name in expected.keys() - counters:
        if expected[name].shape != state[name].shape:
            shapes = f"{tuple(state[name].shape)}, not {tuple(expected[name].shape)}"
            raise ExportError(f"weight {name!r} has the shape {shapes}: another network's", where=where)
    network.load_state_dict({name: value for name, value in state.items() if name in expected}, strict=False)


def _randomise(network: Any, model: ModelProfile) -> None:
    """Weights that behave like trained ones as far as numerics go: otherwise FP16 overflows in deep networks, and the
    parity gate sees little. In place.

    The seed is set already, and torchvision has initialised the rest. Here: small residual branches, heads that are
    not zero, and batch-norm statistics measured on seeded images.
    """
    import torch

    with torch.no_grad():
        for block in network.modules():
            norm = _last_norm(block)
            if norm is not None:
                norm.weight.fill_(RESIDUAL_GAIN)
        for layer in network.modules():
            if isinstance(layer, torch.nn.Linear) and not layer.weight.any():  # ViT's head starts at zero
                layer.weight.normal_(0.0, 1.0 / math.sqrt(layer.in_features))
    _measure_norms(network, model)


def _last_norm(block: Any) -> Any:
    """The batch norm before a residual block's addition, or None."""
    import torch

    if type(block).__name__ not in _BLOCKS or not getattr(block, "use_res_connect", True):
        return None
    norms = [
        layer
        for name, layer in block.named_modules()
        if isinstance(layer, torch.nn.BatchNorm2d) and not name.startswith(_SHORTCUTS)
    ]
    return norms[-1] if norms else None


def _measure_norms(network: Any, model: ModelProfile) -> None:
    """Set every batch norm's mean and variance to those of seeded images. Only the norms are in training mode: dropout
    and stochastic depth would draw random numbers."""
    import torch

    norms = [layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    if not norms:
        return
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average instead of a moving one
        norm.train()
    images = golden.images(image_input(model), count=_CALIBRATION_IMAGES, seed=_CALIBRATION_SEED)
    with torch.no_grad():
        network(torch.from_numpy(images))
    network.eval()
