"""Images that are right are counted: against a plain sort, where scores are equal or no numbers, batch by batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_agents import accuracy
from device_agents.backends import base
from device_agents.backends.base import Arrays
from device_agents.contract import Accuracy, FileEntry, Labelled, TensorSpec
from device_agents.errors import DeviceError
from tests.jobs import job_spec

CLASSES = 7


class Brightness(base.Backend):
    """Sees how bright the first channel is: class k where that is nearest to k. Normalised by mean 0.5, std 0.5."""

    def bind(self, inputs: Arrays, slot: int) -> None:
        self._images = np.array(inputs["images"])

    def enqueue(self, slot: int) -> None:
        self.seen = self._images.shape

    def wait(self, slot: int) -> None:
        pass

    def outputs(self, slot: int) -> Arrays:
        whole = self._images.dtype == np.uint8
        first = self._images[:, 0, 0, 0]  # of either layout the first pixel's red
        shade = first if whole else np.rint((first * 0.5 + 0.5) * 255)
        return {"scores": -np.abs(np.arange(CLASSES)[None, :] - shade[:, None].astype(np.float32))}


def spec(batch: int, files: tuple[FileEntry, ...], images: int, dtype: str = "float32") -> Any:
    shape = (batch, 4, 4, 3) if dtype == "uint8" else (batch, 3, 4, 4)
    return job_spec(
        inputs=(TensorSpec("images", dtype, shape),), outputs=(TensorSpec("scores", "float32", (batch, CLASSES)),),
        batch=batch, labelled=Labelled("data-0001", files, images, "images", "scores", (0.5,) * 3, (0.5,) * 3),
    )  # fmt: skip


def written(folder: Path, shades: list[int], labels: list[int], chunk: int) -> tuple[FileEntry, ...]:
    files = []
    for number, first in enumerate(range(0, len(shades), chunk)):
        pixels = np.zeros((len(shades[first : first + chunk]), 4, 4, 3), np.uint8)
        pixels[..., 0] = np.array(shades[first : first + chunk])[:, None, None]
        name = f"images-{number:05}.npz"
        np.savez(folder / name, pixels=pixels, labels=np.array(labels[first : first + chunk]))
        files.append(FileEntry(name, 1, "0" * 64))
    return tuple(files)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize(("batch", "chunk"), [(1, 100), (4, 100), (4, 3), (16, 4)])
def test_every_image_counts_once_however_it_is_batched(tmp_path: Path, batch: int, chunk: int, dtype: str) -> None:
    shades = [0, 1, 2, 3, 4, 5, 6, 0, 6, 3]
    labels = [0, 1, 2, 3, 4, 5, 5, 6, 0, 2]  # the first six are right; then one apart, six apart twice, one apart
    files = written(tmp_path, shades, labels, chunk)
    found = accuracy.count(Brightness(), spec(batch, files, len(shades), dtype), tmp_path, 0)
    assert found == Accuracy(images=10, top1=6, top5=8, classes=CLASSES)


def test_ranks_are_those_of_a_sort_that_keeps_the_order_of_equals() -> None:
    random = np.random.default_rng(0)
    scores = random.integers(0, 4, (200, CLASSES)).astype(np.float32)  # full of ties
    labels = random.integers(0, CLASSES, 200)
    order = np.argsort(-scores, axis=1, kind="stable")
    wanted = [list(row).index(label) for row, label in zip(order, labels, strict=True)]
    assert accuracy.ranks_of(scores, labels).tolist() == wanted


def test_a_score_that_is_no_number_is_never_right() -> None:
    scores = np.array([[np.nan, 1.0], [np.nan, 1.0], [np.nan, np.nan], [np.inf, np.inf]], np.float32)
    assert accuracy.ranks_of(scores, np.array([0, 1, 0, 1])).tolist() == [2, 0, 2, 1]


@pytest.mark.parametrize(
    ("shades", "labels", "announced", "message"),
    [([1, 2], [1, 7], 2, "a label is 7, and the model has 7 classes"), ([1, 2], [1, 2], 3, "announced were 3")],
)
def test_what_does_not_fit_is_an_error(
    tmp_path: Path, shades: list[int], labels: list[int], announced: int, message: str
) -> None:
    files = written(tmp_path, shades, labels, 10)
    with pytest.raises(DeviceError, match=message):
        accuracy.count(Brightness(), spec(2, files, announced), tmp_path, 0)
