"""Random heads of detectors that detect something: without this nothing is over the threshold, or everything is, and
parity compares nothing, or the order of near ties.

Each head's last layer is scaled when it first sees its input, so that its outputs have a given mean and deviation, and
scores are shifted so that a few candidates an image pass the threshold. What comes after sees the new outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from export.pt.catalog import Entry

CANDIDATES = 30
"""What passes the score threshold in an image on average, before NMS."""

_MOST = 3
"""How many times as many pass in the image with the most."""

_SHARPNESS = 4.0
"""Deviation of class logits: scores then lie far apart."""

Rule = Callable[[Any], tuple[Any, Any]]
"""From a layer's outputs, channels first, to (gain, shift), either a number or one for each channel."""


@contextmanager
def calibrated(network: Any, entry: Entry) -> Iterator[None]:
    """While this is open, the heads of a detector are set by what they see; nothing happens to other networks."""
    rules = _rules(network) if entry.task == "detection" else []
    hooks = [layer.register_forward_hook(_once(rule)) for layer, rule in rules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _once(rule: Rule) -> Callable[[Any, Any, Any], Any]:
    """A head that serves several levels of a pyramid is set by the first, which is the largest."""
    told: list[Any] = []

    def hook(layer: Any, _: Any, output: Any) -> Any:
        if told:
            return None
        gain, shift = rule(output)
        told.append(gain)
        layer.weight.mul_(gain)
        bias = layer.bias * gain + shift
        difference = bias - layer.bias * gain
        layer.bias.copy_(bias)
        return output * gain + _along_channels(difference, output)

    return hook


def _along_channels(values: Any, output: Any) -> Any:
    return values.reshape(1, -1, *(1,) * (output.dim() - 2))


def _rules(network: Any) -> list[tuple[Any, Rule]]:
    if hasattr(network, "roi_heads"):
        return _two_stage(network)
    classes, boxes = network.head.classification_head, network.head.regression_head
    if hasattr(classes, "module_list"):  # SSD: a head a level, softmax over classes
        each = max(1, CANDIDATES // len(classes.module_list))
        scores = _softmax_rule(network.score_thresh, classes.num_columns, each)
        pairs = [(_last(layer), scores) for layer in classes.module_list]
        return [*pairs, *((_last(layer), _spread(1.5)) for layer in boxes.module_list)]
    if hasattr(boxes, "bbox_ctrness"):  # FCOS: the score is a root of two probabilities, the boxes are distances
        scores = _sigmoid_rule(2 * network.score_thresh**2)
        return [(classes.cls_logits, scores), (boxes.bbox_reg, _spread(1.0, 3.0)), (boxes.bbox_ctrness, _spread(1.0))]
    return [(classes.cls_logits, _sigmoid_rule(network.score_thresh)), (boxes.bbox_reg, _spread(0.1))]


def _two_stage(network: Any) -> list[tuple[Any, Rule]]:
    heads = network.roi_heads
    predictor = heads.box_predictor
    classes = predictor.cls_score.out_features
    rules = [
        (network.rpn.head.cls_logits, _spread(1.0)),
        (network.rpn.head.bbox_pred, _spread(0.3)),
        (predictor.cls_score, _softmax_rule(heads.score_thresh, classes, proposals=network.rpn.post_nms_top_n())),
        (predictor.bbox_pred, _spread(1.5)),
    ]
    if heads.has_mask():
        rules.append((heads.mask_predictor.mask_fcn_logits, _spread(2.0)))
    if heads.has_keypoint():
        rules.append((heads.keypoint_predictor.kps_score_lowres, _spread(2.0)))
    return rules


def _last(layer: Any) -> Any:
    return layer[-1] if hasattr(layer, "__getitem__") else layer


def _spread(deviation: float, mean: float = 0.0) -> Rule:
    def rule(output: Any) -> tuple[Any, Any]:
        gain = deviation / (float(output.std()) + 1e-12)
        return gain, mean - float(output.mean()) * gain

    return rule


def _sigmoid_rule(threshold: float) -> Rule:
    """Shift all logits alike, so that CANDIDATES an image are over the threshold."""

    def rule(output: Any) -> tuple[Any, Any]:
        gain = _SHARPNESS / (float(output.std()) + 1e-12)
        return gain, math.log(threshold / (1 - threshold)) - _passing((output * gain).flatten(1), CANDIDATES)

    return rule


def _softmax_rule(threshold: float, classes: int, candidates: int = CANDIDATES, proposals: int = 0) -> Rule:
    """The same by the background's logits alone. A score exp(l) / (exp(all others) + exp(background + c)) is over the
    threshold for c below log(exp(l) / threshold - exp(all others)) - background. The outputs of a box head are not
    samples first: there are `proposals` of every image, about."""

    def rule(output: Any) -> tuple[Any, Any]:
        import torch

        gain = _SHARPNESS / (float(output.std()) + 1e-12)
        logits = (output * gain).reshape(len(output), -1, classes, *output.shape[2:]).movedim(2, -1).flatten(0, -2)
        others = torch.logsumexp(logits[:, 1:], dim=1, keepdim=True)
        share = torch.exp(logits[:, 1:] - others)
        highest = torch.log((share / threshold - 1).clamp(min=1e-12)) + others - logits[:, :1]
        images = max(1, len(logits) // proposals) if proposals else len(output)
        per_image = highest.flatten()[: highest.numel() // images * images].reshape(images, -1)
        shift = torch.zeros(output.shape[1])
        shift[::classes] = _passing(per_image, candidates)
        return gain, shift

    return rule


def _passing(values: Any, candidates: int) -> float:
    """What `candidates` of (images, values) exceed on average, and no more than _MOST times as many in any image."""
    average = values.flatten().topk(min(candidates * len(values), values.numel())).values[-1]
    most = values.topk(min(_MOST * candidates, values.shape[1]), dim=1).values[:, -1].max()
    return max(float(average), float(most))
