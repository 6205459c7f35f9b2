"""torchvision's networks as modules that take tensors and return tensors, whatever they return themselves.

Detectors take one size without resizing (at torchvision's own size that changes nothing) and return either all there
is after NMS, padded to a fixed number of detections ("full"), or all there is before it ("raw": see raw_heads).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from export.pt.catalog import Entry
from export.pt.outputs import OUTPUT, adapter


def as_module(network: Any, entry: Entry) -> Any:
    """The network as a module of tensors, a detector with its full head. `network` itself is changed: a detector no
    longer resizes."""
    if entry.task == "segmentation":
        return adapter(network, lambda network, images: dict(network(images)))
    if entry.task == "optical_flow":
        return adapter(network, flow)
    if entry.task == "detection":
        _take_images_as_they_are(network)
        return adapter(network, detect)
    return adapter(network, lambda network, images: {OUTPUT: network(images)})


def flow(network: Any, first: Any, second: Any) -> dict[str, Any]:
    """RAFT's last flow, (N, 2, H, W) in pixels, from two images. It joins both in one batch and takes them apart again
    by torch.chunk: with a free batch that becomes a sequence in the graph, which TensorRT does not have."""
    import torch

    original = torch.chunk

    def halves(features: Any, chunks: int, dim: int = 0) -> Any:
        if dim != 0 or chunks != 2:
            return original(features, chunks, dim)
        return features.reshape(2, -1, *features.shape[1:]).unbind(0)

    torch.chunk = halves
    try:
        return {"flow": network(first, second)[-1]}
    finally:
        torch.chunk = original


def detect(network: Any, images: Any) -> dict[str, Any]:
    """A detector's answers to (N, 3, H, W) in [0, 1], samples first: boxes (N, D, 4) as x1, y1, x2, y2 in pixels,
    scores (N, D) and labels (N, D), by falling score and padded with zeros to torchvision's own limit D; masks
    (N, D, 28, 28) within each box, keypoints (N, D, K, 3) and keypoint_scores (N, D, K)."""
    import torch

    limit = detections(network)
    with _nms_without_branches() if torch.jit.is_tracing() else nullcontext():
        found = [_padded(one, limit) for one in network(list(images.unbind(0)))]
    return {name: torch.stack([one[name] for one in found]) for name in found[0]}


def detections(network: Any) -> int:
    """The most detections that a detector gives for one image."""
    return int(network.roi_heads.detections_per_img if is_two_stage(network) else network.detections_per_img)


def is_two_stage(network: Any) -> bool:
    return hasattr(network, "roi_heads")


def normalised(network: Any, images: Any) -> Any:
    """(N, 3, H, W) images in [0, 1] as the backbone wants them: normalised, and padded to what its strides divide."""
    import torch

    transform = network.transform
    height, width = (int(side) for side in images.shape[-2:])
    statistics = (transform.image_mean, transform.image_std)
    mean, std = (torch.tensor(values, dtype=images.dtype)[:, None, None] for values in statistics)
    step = int(transform.size_divisible)
    missing = [math.ceil(side / step) * step - side for side in (height, width)]
    images = (images - mean) / std
    if any(missing):
        images = torch.nn.functional.pad(images, (0, missing[1], 0, missing[0]))
    return images


def image_list(network: Any, images: Any) -> Any:
    """torchvision's ImageList of a fixed number of (N, 3, H, W) images in [0, 1]."""
    from torchvision.models.detection.image_list import ImageList

    height, width = (int(side) for side in images.shape[-2:])
    return ImageList(normalised(network, images), [(height, width)] * int(images.shape[0]))


def _take_images_as_they_are(network: Any) -> None:
    """Replace the resizing before a detector and its undoing afterwards. Masks are not pasted into images then, which
    is a step of its own on the host everywhere (100 masks of 800 x 800 are 256 MB an image)."""
    import torch

    def forward(images: list[Any], targets: Any = None) -> tuple[Any, Any]:
        return image_list(network, torch.stack(images)), targets

    network.transform.forward = forward
    network.transform.postprocess = lambda found, *_: found


@contextmanager
def _nms_without_branches() -> Iterator[None]:
    """torchvision moves the boxes of every class away by the largest coordinate before NMS, and branches where there
    are no boxes. With a zero beside the coordinates it need not, and rounds as torchvision does."""
    import torch
    from torchvision.ops import boxes as operations

    def batched(boxes: Any, scores: Any, classes: Any, threshold: float) -> Any:
        reach = torch.cat((boxes.flatten(), boxes.new_zeros(1))).max() + 1
        return operations.nms(boxes + classes.to(boxes)[:, None] * reach, scores, threshold)

    original = operations.batched_nms
    operations.batched_nms = batched
    try:
        yield
    finally:
        operations.batched_nms = original


_NAMES = {
    "boxes": "boxes",
    "scores": "scores",
    "labels": "labels",
    "masks": "masks",
    "keypoints": "keypoints",
    "keypoints_scores": "keypoint_scores",
}


def _padded(found: dict[str, Any], limit: int) -> dict[str, Any]:
    import torch

    padded = {}
    for name, new in _NAMES.items():
        if name not in found:
            continue
        value = found[name].squeeze(1) if name == "masks" else found[name]
        shape = [limit, *map(int, value.shape[1:])]
        # The last step only says in the graph what is true anyway: the number is fixed.
        padded[new] = torch.cat([value, torch.zeros(shape, dtype=value.dtype)])[:limit].reshape(shape)
    return padded
