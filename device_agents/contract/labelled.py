"""Labelled images that go through the engine that was timed, and how many of them it got right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

from device_agents.codec import SchemaViolation
from device_agents.contract.terms import FileEntry


@dataclass(frozen=True)
class Labelled:
    """The operator's labelled images, cut to the model's size: .npz files in `artifacts/<artifact>/` with arrays
    `pixels` (n, H, W, C) uint8 in RGB and `labels` (n,), class indices from 0. They go into the input of that name,
    normalised by `mean`, `std` and `order` as profiles.schema.ImageInput has them unless it takes whole pixels; the
    output of that name has a score for each class."""

    artifact: str
    files: Tuple[FileEntry, ...]
    images: int
    input: str
    output: str
    mean: Tuple[float, ...]
    std: Tuple[float, ...]
    order: str = "RGB"

    def __post_init__(self) -> None:
        if self.images < 1 or not self.files:
            raise SchemaViolation("images", "there are none")


@dataclass(frozen=True)
class Accuracy:
    """Of so many labelled `images`, those whose class had the highest score (`top1`), or one of the five highest
    (`top5`), of `classes` that the model tells apart. Of equal scores the lower class comes first."""

    images: int
    top1: int
    top5: int
    classes: int

    def __post_init__(self) -> None:
        if not 0 <= self.top1 <= self.top5 <= self.images or not self.images or self.classes < 1:
            raise SchemaViolation("top1", f"{self.top1} and {self.top5} of {self.images} images is no accuracy")
