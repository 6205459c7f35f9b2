"""Whether two sets of outputs say the same in the words of a task: the class, the pixel's class, the motion."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.data.golden import Arrays

_BEST = 5


def agreement(task: str, reference: Arrays, outputs: Arrays) -> dict[str, float]:
    """By the name of the measure; shares of 1, where 1 is the same. Outputs are samples first; empty where the task has
    no measure, or no output of its form. (Final boxes of a detector: export.judging.boxes.)

    classification, video: `top1` and `top5`, the share of the reference's best that are among the best; of scores, not
        of flags or class ids, nor of a single column, whose best is always the same
    segmentation: `pixels` of the same class, `mean_iou` of the classes that either shows
    optical_flow: `end_point_error`, relative to the mean flow: 0 is the same
    """
    if task in ("classification", "video"):
        pair = _pair(reference, outputs, "logits", 2)
        return _classes(*pair) if pair and pair[0].dtype.kind == "f" and pair[0].shape[1] > 1 else {}
    if task == "segmentation":
        pair = _pair(reference, outputs, "out", 4)
        return _maps(*pair) if pair else {}
    if task == "optical_flow":
        pair = _pair(reference, outputs, "flow", 4)
        return _flow(*pair) if pair else {}
    return {}


def _pair(reference: Arrays, outputs: Arrays, name: str, rank: int) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """The output of this name, or the first of this rank, from both."""
    fitting = [name, *reference] if name in reference else list(reference)
    chosen = next((one for one in fitting if reference[one].ndim == rank), None)
    return (reference[chosen], outputs[chosen]) if chosen is not None else None


def _classes(reference: NDArray[Any], output: NDArray[Any]) -> dict[str, float]:
    """Of (samples, classes)."""
    found = {"top1": float((reference.argmax(axis=1) == output.argmax(axis=1)).mean())}
    if reference.shape[1] > _BEST:
        best, others = (np.argsort(-one, axis=1, kind="stable")[:, :_BEST] for one in (reference, output))
        found["top5"] = float((best[:, :, None] == others[:, None, :]).any(axis=2).mean())
    return found


def _maps(reference: NDArray[Any], output: NDArray[Any]) -> dict[str, float]:
    """Of (samples, classes, height, width); one channel is taken for the logit of a foreground."""
    if reference.shape[1] == 1:
        ours, theirs = (output[:, 0] > 0).astype(np.int64), (reference[:, 0] > 0).astype(np.int64)
    else:
        ours, theirs = output.argmax(axis=1), reference.argmax(axis=1)
    shared = [
        float(((ours == kind) & (theirs == kind)).sum() / ((ours == kind) | (theirs == kind)).sum())
        for kind in np.union1d(ours, theirs)
    ]
    return {"pixels": float((ours == theirs).mean()), "mean_iou": float(np.mean(shared))}


def _flow(reference: NDArray[Any], output: NDArray[Any]) -> dict[str, float]:
    """Of (samples, 2, height, width) in pixels."""
    moved = float(np.linalg.norm(reference.astype(np.float64), axis=1).mean())
    if moved == 0.0:
        return {}
    apart = float(np.linalg.norm(output.astype(np.float64) - reference, axis=1).mean())
    return {"end_point_error": apart / moved}
