"""Detectors up to their NMS, which is left to the host: no NonZero, no NMS, every shape fixed, so that TensorRT takes
them. All of it is torchvision's own arithmetic, on the same modules and weights as with the full head.

    one stage   class_logits (N, A, K), boxes (N, A, 4) decoded and clipped, centerness (N, A, 1) of FCOS
    two stages  class_logits (N, P, K), boxes (N, P, K, 4) of the P proposals with the highest objectness
    with masks or keypoints   boxes (N, D, 4), scores and labels (N, D) of the D likeliest proposals, each with
                masks (N, D, 28, 28) or keypoint_heatmaps (N, D, 17, 56, 56)

Boxes are x1, y1, x2, y2 in pixels. What TopK chose is in the order of the anchors, not of the scores: a near tie that
falls otherwise then moves nothing.
"""

from __future__ import annotations

from typing import Any

from export.pt.catalog import Entry
from export.pt.heads import as_module, detections, image_list, is_two_stage, normalised
from export.pt.outputs import adapter
from profiles.schema import ImageInput


def as_raw_module(network: Any, entry: Entry, image: ImageInput) -> Any:
    """The detector as a module from (N, 3, H, W) in [0, 1] to what is before NMS, for images of this one size."""
    import torch

    with torch.inference_mode():  # levels and scales are set by the first images that a network sees
        as_module(network, entry)(torch.zeros((1, *image.shape)))
    anchors = _anchors(network, image)
    call = _two_stages if is_two_stage(network) else _one_stage
    return adapter(network, lambda network, images: call(network, images, anchors))


def _anchors(network: Any, image: ImageInput) -> Any:
    """(A, 4): they depend on the size alone."""
    import torch

    with torch.inference_mode():
        images = image_list(network, torch.zeros((1, *image.shape)))
        features = list(network.backbone(images.tensors).values())
        generator = network.rpn.anchor_generator if is_two_stage(network) else network.anchor_generator
        anchors = generator(images, features)[0]
    return anchors.clone()  # out of inference mode


def _one_stage(network: Any, images: Any, anchors: Any) -> dict[str, Any]:
    heads = network.head(list(network.backbone(normalised(network, images)).values()))
    boxes = _decode(network.box_coder, heads["bbox_regression"], anchors.to(images.dtype))
    found = {"class_logits": heads["cls_logits"], "boxes": _clipped(boxes, images)}
    if "bbox_ctrness" in heads:
        found["centerness"] = heads["bbox_ctrness"]
    return found


def _decode(coder: Any, regression: Any, anchors: Any) -> Any:
    """(N, A, 4) boxes."""
    from torchvision.models.detection._utils import BoxLinearCoder

    spread = anchors.expand(regression.shape[0], *anchors.shape[-2:])
    if isinstance(coder, BoxLinearCoder):
        return coder.decode(regression, spread)
    return coder.decode_single(regression.reshape(-1, 4), spread.reshape(-1, 4)).reshape(regression.shape)


def _clipped(boxes: Any, images: Any) -> Any:
    """(..., 4) boxes cut to the image, as torchvision's clip_boxes_to_image."""
    import torch

    height, width = images.shape[-2:]
    x, y = boxes[..., 0::2].clamp(0, width), boxes[..., 1::2].clamp(0, height)
    return torch.stack((x, y), dim=-1).flatten(-2)


def _two_stages(network: Any, images: Any, anchors: Any) -> dict[str, Any]:
    features = network.backbone(normalised(network, images))
    proposals = _proposals(network, features, images, anchors.to(images.dtype))
    heads = network.roi_heads
    pooled = _pool(heads.box_roi_pool, features, proposals)
    logits, regression = heads.box_predictor(heads.box_head(pooled))
    count, kept = proposals.shape[:2]
    boxes = heads.box_coder.decode_single(regression, proposals.reshape(-1, 4))
    boxes = _clipped(boxes.reshape(count, kept, -1, 4), images)
    logits = logits.reshape(count, kept, -1)
    if not heads.has_mask() and not heads.has_keypoint():
        return {"class_logits": logits, "boxes": boxes}
    found = _likeliest(logits, boxes, detections(network))
    shape = (*found["labels"].shape, -1)
    if heads.has_mask():
        masks = heads.mask_predictor(heads.mask_head(_pool(heads.mask_roi_pool, features, found["boxes"])))
        of_class = found["labels"].reshape(-1, 1, 1, 1).expand(-1, 1, *masks.shape[-2:])
        found["masks"] = masks.gather(1, of_class).sigmoid().reshape(*shape[:2], *masks.shape[-2:])
    if heads.has_keypoint():
        pooled = _pool(heads.keypoint_roi_pool, features, found["boxes"])
        heatmaps = heads.keypoint_predictor(heads.keypoint_head(pooled))
        found["keypoint_heatmaps"] = heatmaps.reshape(*shape[:2], *heatmaps.shape[1:])
    return found


def _proposals(network: Any, features: Any, images: Any, anchors: Any) -> Any:
    """(N, P, 4): those of the highest objectness, over all levels."""
    from torchvision.models.detection.rpn import concat_box_prediction_layers

    count = images.shape[0]
    objectness, deltas = concat_box_prediction_layers(*network.rpn.head(list(features.values())))
    most = min(int(network.rpn.post_nms_top_n()), anchors.shape[0])
    chosen = _best(objectness.reshape(count, -1), most)
    deltas = _take(deltas.reshape(count, -1, 4), chosen)
    boxes = _decode(network.rpn.box_coder, deltas, _take(anchors.expand(count, -1, -1), chosen))
    return _clipped(boxes, images)


def _best(scores: Any, most: int) -> Any:
    """(N, most) indices of the highest scores of (N, A), rising. Sorted as float32, which holds whole numbers up to
    2^24: TensorRT 8 sorts no integers."""
    import torch

    chosen = torch.topk(scores, most, dim=1).indices
    return torch.topk(chosen.float(), most, dim=1, largest=False).values.long()


def _take(values: Any, chosen: Any) -> Any:
    """(N, most, V) rows of (N, A, V)."""
    return values.gather(1, chosen.unsqueeze(-1).expand(-1, -1, values.shape[-1]))


def _pool(pool: Any, features: Any, boxes: Any) -> Any:
    """(N P, C, s, s) by RoIAlign of (N, P, 4) boxes that lie in the image. torchvision pools each box on its own level,
    for which it counts how many there are: here each is pooled on all levels, and its own is taken."""
    import torch

    count, kept = boxes.shape[:2]
    levels = pool.map_levels([boxes.reshape(-1, 4)]).reshape(count, 1, kept, 1, 1)
    result: Any = None
    maps = [features[name] for name in pool.featmap_names if name in features]
    for level, (one, scale) in enumerate(zip(maps, pool.scales, strict=True)):
        pooled = _aligned(one, boxes * scale, pool)
        result = pooled if result is None else torch.where(levels == level, pooled, result)
    return result.transpose(1, 2).reshape(-1, *result.shape[1:2], *pool.output_size)


def _aligned(features: Any, boxes: Any, pool: Any) -> Any:
    """(N, C, P, s, s): torchvision's roi_align, unaligned, by grid_sample, which TensorRT has itself: its RoiAlign is a
    plugin that wants a GPU when a graph is parsed. `boxes` are in units of `features`."""
    import torch

    ratio, (rows, columns) = pool.sampling_ratio, pool.output_size
    x = _samples(boxes[..., 0::2], columns * ratio, features.shape[-1])
    y = _samples(boxes[..., 1::2], rows * ratio, features.shape[-2])
    count, kept = boxes.shape[:2]
    shape = (count, kept, rows * ratio, columns * ratio)
    grid = torch.stack((x[:, :, None].expand(shape), y[..., None].expand(shape)), dim=-1)
    grid = grid.reshape(count, kept * rows * ratio, columns * ratio, 2)
    sampled = torch.nn.functional.grid_sample(features, grid, padding_mode="border", align_corners=True)
    pooled = torch.nn.functional.avg_pool2d(sampled, ratio)
    return pooled.reshape(count, -1, kept, rows, columns)


def _samples(ends: Any, count: int, size: int) -> Any:
    """(N, P, count) places along one side of boxes with (N, P, 2) ends, as grid_sample wants them: the middle of the
    first of `size` cells is -1, of the last 1."""
    import torch

    low = ends[..., :1]
    length = (ends[..., 1:] - low).clamp(min=1.0)  # roi_align's own least
    steps = (torch.arange(count, dtype=ends.dtype) + 0.5) / count
    return (low + length * steps) * (2.0 / (size - 1)) - 1.0


def _likeliest(logits: Any, boxes: Any, most: int) -> dict[str, Any]:
    """The proposals that show something most surely, each with the box of its likeliest class."""
    scores, labels = logits.softmax(-1)[..., 1:].max(-1)
    labels = labels + 1  # 0 is the background
    chosen = _best(scores, min(most, scores.shape[1]))
    of_class = labels.gather(1, chosen)
    rows = _take(boxes.flatten(2), chosen).reshape(*chosen.shape, -1, 4)
    own = rows.gather(2, of_class.reshape(*chosen.shape, 1, 1).expand(-1, -1, 1, 4)).squeeze(2)
    return {"boxes": own, "scores": scores.gather(1, chosen), "labels": of_class}
