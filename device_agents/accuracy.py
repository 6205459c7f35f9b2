"""The operator's labelled images through the engine that was timed: how many it gets right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, Tuple

from device_agents import runtimes
from device_agents.backends.base import Backend
from device_agents.contract import Accuracy, JobSpec, Labelled
from device_agents.errors import DeviceError
from device_agents.formats import pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

_TOP = 5


def count(backend: Backend, spec: JobSpec, folder: Path, slot: int) -> Accuracy:
    """Every image once, in batches of the job's size, the last filled up. One file is in memory at a time. Errors:
    DeviceError for files, labels or an output that do not fit."""
    told = spec.labelled
    assert told is not None  # noqa: S101 - for the type checker: the caller has looked
    images = top1 = top5 = classes = 0
    for inputs, labels in _batches(told, spec, folder):
        (answer,) = runtimes.answers(backend, [inputs], slot)
        scores = answer[told.output][: len(labels)]
        _check(scores, labels, told)
        ranks = ranks_of(scores, labels)
        images, classes = images + len(labels), scores.shape[1]
        top1, top5 = top1 + int((ranks < 1).sum()), top5 + int((ranks < _TOP).sum())
    if images != told.images:
        raise _damaged(f"there are {images} labelled images, announced were {told.images}", folder)
    return Accuracy(images, top1, top5, classes)


def ranks_of(scores: Array, labels: Array) -> Array:
    """How many classes come before an image's own: those with a higher score, and of those with an equal one the lower
    classes. Of an own score that is no number, all. `scores` is (n, classes), `labels` (n,)."""
    import numpy as np

    own = np.take_along_axis(scores, labels[:, None], axis=1)
    lower = np.arange(scores.shape[1])[None, :] < labels[:, None]
    before = (scores > own) | ((scores == own) & lower)
    ranks: Array = np.where(np.isnan(own[:, 0]), scores.shape[1], before.sum(axis=1))
    return ranks


def _batches(told: Labelled, spec: JobSpec, folder: Path) -> Iterator[Tuple[Dict[str, Array], Array]]:
    """Inputs of a batch, and the labels of the images in it that are not there to fill it up."""
    import numpy as np

    (wanted,) = [tensor for tensor in spec.inputs if tensor.name == told.input]
    for file in told.files:
        with np.load(folder / file.name, allow_pickle=False) as arrays:
            images, labels = arrays["pixels"], arrays["labels"]
        for first in range(0, len(images), spec.batch):
            rows = np.arange(first, first + spec.batch) % len(images)
            batch = images[rows]
            if wanted.dtype != "uint8":
                batch = pixels.normalise(batch, told.mean, told.std, told.order).astype(wanted.dtype)
            if batch.shape != wanted.shape:
                raise _damaged(
                    f"labelled images make {batch.shape}, the input {wanted.name!r} is {wanted.shape}", folder
                )
            yield {told.input: np.ascontiguousarray(batch)}, labels[first : first + spec.batch]


def _check(scores: Array, labels: Array, told: Labelled) -> None:
    if scores.ndim != 2:
        message = f"output {told.output!r} has the shape {scores.shape}, wanted is a score for each class"
        raise DeviceError("unsupported", "accuracy", message, fix="leave --dataset out: the model is no classifier")
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        message = f"a label is {int(labels.max())}, and the model has {scores.shape[1]} classes"
        raise DeviceError("unsupported", "accuracy", message, fix="name the folders by the model's own class indices")


def _damaged(message: str, folder: Path) -> DeviceError:
    return DeviceError("artifact_damaged", "accuracy", message, where=str(folder), fix="give --dataset again")
