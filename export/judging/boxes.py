"""How far off the boxes of a detector may be. How they are matched, the device has to know, too:
device_agents.formats.detections.
"""

from __future__ import annotations

from device_agents.contract import Precision
from device_agents.formats.detections import PROPOSALS, Compared, are_final, are_matched, compare, iou

__all__ = ["LIMITS", "MEASURES", "OF_PROPOSALS", "PROPOSALS", "Compared", "are_final", "are_matched", "compare", "iou"]

_OUTPUTS = ("boxes", "scores", "labels", "masks", "keypoints", "keypoint_scores")
LIMITS = {
    Precision.FP32: dict(zip(_OUTPUTS, (5e-3, 1e-3, 0.02, 1e-2, 5e-3, 5e-3), strict=True)),
    Precision.FP16: dict(zip(_OUTPUTS, (5e-2, 2e-2, 0.1, 5e-2, 5e-2, 5e-2), strict=True)),
    Precision.INT8: dict(zip(_OUTPUTS, (0.25, 0.2, 0.5, 0.3, 0.25, 0.5), strict=True)),
}
"""NMS decides between boxes of almost the same score: a few of hundreds come out otherwise without any fault. FP16 has
a step of half a pixel from 512 on."""

OF_PROPOSALS = {precision: {PROPOSALS: limits["labels"]} for precision, limits in LIMITS.items()}
"""What matched proposals say, is judged as any output."""

MEASURES = {
    "boxes": "of what matched boxes have in common",
    "scores": "in the scores of matched boxes",
    "labels": "of the boxes, which match none",
    "masks": "of what the masks of matched boxes have in common",
    "keypoints": "of the size of matched boxes",
    "keypoint_scores": "of their spread over matched boxes",
    PROPOSALS: "of them, which match none",
}
"""What the error of an output is of, for sentences."""
