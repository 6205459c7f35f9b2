"""The operator's labelled images on their way to a device: cut to the model's size, in files of a few hundred.

They are whole pixels, a quarter of what normalised ones are; the device normalises them as the operator's machine would
(device_agents.formats.pixels). One file is in memory at a time.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from device_agents.contract import FileEntry, Labelled, SchemaViolation, TensorSpec, dumps, from_json, loads
from edge.planning.data_files import takes
from edge.planning.labelled_files import LabelledFiles, find, fingerprint, indices
from edge.results.store import LabelledImages
from export.artifact import Artifact, Store, content_id, sha256_file
from export.data import images
from profiles.errors import ConfigError, ExportError
from profiles.progress import Progress, silent
from profiles.schema import ImageInput

_FACTS, _USED = "labelled.json", "used.json"
_RECIPE = 1  # raise it when the same images are prepared in another way
_CHUNK = 256  # images in a file
_MAX_BYTES = 4 << 30
_WHERE = "--dataset"


@dataclass(frozen=True)
class PreparedImages:
    """Images that are ready for one model: `folder` holds the files of `data`, to be shipped as the artifact of that
    id; `used` goes into the result."""

    used: LabelledImages
    folder: Path
    data: Labelled

    @property
    def files(self) -> tuple[FileEntry, ...]:
        return self.data.files


def prepare(
    path: Path, artifact: Artifact, store: Store, *, image: ImageInput | None, progress: Progress = silent
) -> PreparedImages:
    """The labelled images for `artifact`, whose shapes are those of the cell, kept in `store` so that they are prepared
    once. `image` says how the model wants its pixels. Errors: ConfigError for what does not fit, ExportError where the
    store cannot be written."""
    output, classes = _scores(artifact)
    image = _wanted(artifact, image)
    content = fingerprint(path)
    folder = store.root / "labelled" / _key(content, artifact, image)
    if not (folder / _FACTS).exists():
        found = find(path)
        classes_of, how = indices(found, classes, artifact.labels)
        _check_size(found, image)
        try:
            with store.workspace() as workspace:
                made = workspace / "made"
                made.mkdir()
                files = tuple(_written(made, found, classes_of, image, progress))
                name = artifact.inputs[0].name
                data = Labelled(content_id(files), files, found.count, name, output, image.mean, image.std, image.order)
                used = LabelledImages(content, found.count, how, _told(image, artifact.inputs[0]))
                (made / _USED).write_text(dumps(used, indent=1) + "\n", encoding="utf-8")
                (made / _FACTS).write_text(dumps(data, indent=1) + "\n", encoding="utf-8")
                store.keep(made, folder, _FACTS)
        except OSError as error:
            raise ExportError(f"the store cannot be written ({error.strerror})", where=str(store.root)) from None
    return _prepared(folder)


def _scores(artifact: Artifact) -> tuple[str, int]:
    """The output that has a score for each class, and how many those are. Errors: ConfigError for no classifier."""
    where = f"{_WHERE} with {artifact.model}"
    flat = [one for one in artifact.outputs if len(one.shape) == 2 and isinstance(one.shape[1], int)]
    if artifact.task not in ("classification", "other") or len(flat) != 1 or not flat[0].dtype.startswith("float"):
        message = "the model has no one output with a score for each class"
        raise ConfigError(message, where=where, fix="leave it out: accuracy is told of classifiers")
    return flat[0].name, int(flat[0].shape[1])


def _wanted(artifact: Artifact, image: ImageInput | None) -> ImageInput:
    where = f"{_WHERE} with {artifact.model}"
    if image is None or len(artifact.inputs) != 1 or not takes(artifact.inputs[0], image):
        fix = "export it with --mean and --std"
        raise ConfigError("nothing says how this model wants its images", where=where, fix=fix)
    images.check_kind(image)
    return image


def _check_size(found: LabelledFiles, image: ImageInput) -> None:
    size = found.count * math.prod(image.shape)
    if size > _MAX_BYTES:
        most = _MAX_BYTES // math.prod(image.shape)
        message = (
            f"{found.count:,} images of {image.shape[-2]}x{image.shape[-1]} are more than the {most:,} that are sent"
        )
        fix = "take a part of each class: an interval stands beside the accuracy"
        raise ConfigError(message, where=f"{_WHERE} {found.folder}", fix=fix)


def _written(
    folder: Path, found: LabelledFiles, classes: dict[str, int], image: ImageInput, progress: Progress
) -> Iterator[FileEntry]:
    """The files, written one after another. numpy stamps no time into them, so equal images give equal bytes."""
    labelled = iter([(file, classes[name]) for name, files in found.classes.items() for file in files])
    for number in itertools.count():
        chunk = list(itertools.islice(labelled, _CHUNK))
        if not chunk:
            return
        path = folder / f"images-{number:05}.npz"
        progress("cut the labelled images", number * _CHUNK, found.count)
        pixels = np.stack([images.centre(file, image) for file, _ in chunk])
        with path.open("wb") as stream:
            np.savez(stream, pixels=pixels, labels=np.array([label for _, label in chunk], np.int64))
        yield FileEntry(path.name, path.stat().st_size, sha256_file(path))


def _told(image: ImageInput, spec: TensorSpec) -> str:
    height, width = image.shape[1:]
    target = "x".join(str(round(side * 256 / 224)) for side in dict.fromkeys((height, width)))
    cut = f"shorter side to {target}, bilinear, the middle {height}x{width} cut"
    if spec.dtype == "uint8":
        return f"{cut}, whole pixels: the graph normalises them"
    mean, std = (", ".join(f"{value:.4g}" for value in values) for values in (image.mean, image.std))
    return f"{cut}, {image.order} of 0 to 1 less ({mean}) over ({std})"


def _prepared(folder: Path) -> PreparedImages:
    try:
        used = from_json(LabelledImages, loads((folder / _USED).read_bytes()))
        data = from_json(Labelled, loads((folder / _FACTS).read_bytes()))
        whole = all((folder / one.name).stat().st_size == one.size for one in data.files)
    except (OSError, SchemaViolation):
        whole = False
    if not whole:
        raise ConfigError("the prepared images are damaged", where=str(folder), fix="remove that folder")
    return PreparedImages(used, folder, data)


def _key(content: str, artifact: Artifact, image: ImageInput) -> str:
    specs: Sequence[TensorSpec] = (*artifact.inputs, *artifact.outputs)
    parts = [str(_RECIPE), content, dumps(specs), dumps(image), dumps(artifact.labels)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:40]
