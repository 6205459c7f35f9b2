"""Random weights that behave like trained ones as far as numerics go: otherwise FP16 overflows in deep networks, and
the parity gate sees little. The seed is set before, and torchvision has initialised the rest.

Here: small residual branches, heads that are not zero, batch-norm statistics measured on seeded images, and detectors
that detect something (random_detectors).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from export.data import golden
from export.pt.catalog import Entry
from export.pt.heads import as_module
from export.pt.random_detectors import calibrated

RESIDUAL_GAIN = 0.25
"""Gain of the last batch norm in a residual block. At torchvision's 1 a random ResNet-152 reaches 7e8, beyond FP16.
ConvNeXt's layer scale starts at 1e-6, where parity would see nothing of its blocks."""

_IMAGES = 16
_FEWEST_IMAGES = 4
_VALUES = 16 * 3 * 224 * 224
"""How many values go through a network at a time, and at most where that leaves a few images: memory and time."""

_SEED = golden.SEED + 1

# torchvision's residual blocks, by class: their last batch norm is the one before the addition.
_BLOCKS = ("BasicBlock", "Bottleneck", "InvertedResidual", "MBConv", "FusedMBConv", "ResBottleneckBlock")
_SHORTCUTS = ("downsample", "proj")


def randomise(network: Any, entry: Entry) -> None:
    """In place. `network` has torchvision's initial weights, and is in eval mode."""
    import torch

    with torch.no_grad():
        for block in network.modules():
            norm = _last_norm(block)
            if norm is not None:
                norm.weight.fill_(RESIDUAL_GAIN)
        for layer in network.modules():
            if isinstance(layer, torch.nn.Linear) and not layer.weight.any():  # ViT's head starts at zero
                layer.weight.normal_(0.0, 1.0 / math.sqrt(layer.in_features))
            if hasattr(layer, "layer_scale"):
                layer.layer_scale.fill_(RESIDUAL_GAIN)
        _measure(network, entry)


def _last_norm(block: Any) -> Any:
    """The batch norm before a residual block's addition, or None."""
    if type(block).__name__ not in _BLOCKS or not getattr(block, "use_res_connect", True):
        return None
    norms = [layer for name, layer in block.named_modules() if _is_norm(layer) and not name.startswith(_SHORTCUTS)]
    return norms[-1] if norms else None


def _is_norm(layer: Any) -> bool:
    import torch

    return isinstance(layer, torch.nn.BatchNorm2d | torch.nn.BatchNorm3d)


def _measure(network: Any, entry: Entry) -> None:
    """Set every batch norm's mean and variance to those of seeded images, and a detector's heads by its features. Only
    the norms are in training mode: dropout and stochastic depth would draw random numbers."""
    import torch

    norms = [layer for layer in network.modules() if _is_norm(layer)]
    detector = entry.task == "detection"
    if not norms and not detector:
        return
    module = as_module(network, entry)
    batches = list(_batches(entry))
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average instead of a moving one
        norm.train()
    with calibrated(network, entry):
        for batch in batches:
            module(*batch)
    network.eval()
    if detector:
        with calibrated(network, entry):  # once more: with the norms as they stay, on what parity will be judged by
            module(*[torch.from_numpy(golden.images(image)) for image in entry.images])


def _batches(entry: Entry) -> Iterator[list[Any]]:
    import torch

    values = sum(math.prod(image.shape) for image in entry.images)
    count = min(_IMAGES, max(_FEWEST_IMAGES, _VALUES // values))
    step = min(count, max(2, _VALUES // values))  # a norm after a global pooling wants two
    images = [golden.images(image, count=count, seed=_SEED + index) for index, image in enumerate(entry.images)]
    for start in range(0, count, step):
        yield [torch.from_numpy(image[start : start + step]) for image in images]
