"""How far off the final boxes of a detector may be. How they are matched, the device has to know, too:
device_agents.formats.detections.
"""

from __future__ import annotations

from device_agents.contract import Precision
from device_agents.formats.detections import Compared, are_final, compare, iou

__all__ = ["LIMITS", "MEASURES", "Compared", "are_final", "compare", "iou"]

LIMITS = {
    Precision.FP32: {"boxes": 5e-3, "scores": 1e-3, "labels": 0.02, "masks": 1e-2, "keypoints": 5e-3},
    Precision.FP16: {"boxes": 5e-2, "scores": 2e-2, "labels": 0.1, "masks": 5e-2, "keypoints": 5e-2},
    Precision.INT8: {"boxes": 0.25, "scores": 0.2, "labels": 0.5, "masks": 0.3, "keypoints": 0.25},
}
"""NMS decides between boxes of almost the same score: a few of hundreds come out otherwise without any fault. FP16 has
a step of half a pixel from 512 on."""

MEASURES = {
    "boxes": "of what matched boxes have in common",
    "scores": "in the scores of matched boxes",
    "labels": "of the boxes, which match none",
    "masks": "of what the masks of matched boxes have in common",
    "keypoints": "of the size of matched boxes",
}
"""What the error of an output is of, for sentences."""
