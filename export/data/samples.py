"""The operator's own data on its way into a graph: images or arrays to calibrate on, images to check with. In a child,
as reading images wants Pillow and memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device_agents.contract import TensorSpec, from_json
from export.data import golden, images, npz, preprocess
from export.declared import finite
from profiles.errors import ExportError
from profiles.progress import Progress
from profiles.schema import ImageInput

MOST = 1024
"""Samples that are read, in the order of their names: more changes neither ranges nor shares."""


def compute(job: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Write `input:<name>` arrays, samples first, to `out`; answers {"count", "notes"}. `pixels` says whether images
    are normalised, or whole as a graph takes them that does it itself. Errors: ExportError for data that does not fit,
    cannot be read, or is none."""
    path = Path(job["path"])
    inputs = tuple(from_json(TensorSpec, one) for one in job["inputs"])
    shown = tuple(from_json(ImageInput, one) for one in job["images"])
    if not inputs:
        raise ExportError("how this model wants its images is not known", where=str(path), fix="give --mean and --std")
    progress(f"read {path.name}")
    if path.is_dir():
        arrays, notes = _of_folder(path, inputs, shown, job)
    else:
        arrays, notes = _of_arrays(path, inputs), ()
    finite(arrays, str(path))
    count = len(next(iter(arrays.values())))
    golden.save(Path(job["out"]), arrays, {})
    return {"count": count, "notes": list(notes)}


def _of_folder(
    path: Path, inputs: Sequence[TensorSpec], shown: Sequence[ImageInput], job: dict[str, Any]
) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]]:
    if len(inputs) != 1 or [image.name for image in shown] != [inputs[0].name]:
        fix = "give --mean and --std, or an .npz with an array for every input"
        raise ExportError("how this model wants its images is not known", where=str(path), fix=fix)
    read = images.read(path, shown[0], most=MOST, skip=bool(job.get("skip")))
    array = read.array if job["pixels"] == "float" else preprocess.to_pixels(read.array, shown[0])
    notes = []
    if read.skipped:
        names = ", ".join(file.name for file in read.skipped[:5])
        notes.append(f"{len(read.skipped)} of the files in {path.name} could not be read, and passed over: {names}")
    return {inputs[0].name: array}, tuple(notes)


def _of_arrays(path: Path, inputs: Sequence[TensorSpec]) -> dict[str, NDArray[Any]]:
    raw = npz.read(path, "neither a folder of images nor an .npz that numpy reads")
    found = {spec.name: _of_kind(npz.chosen(raw, "input", spec, path), spec, path) for spec in inputs}
    npz.check_samples(found.values(), path)
    return {name: array[:MOST] for name, array in found.items()}


def _of_kind(array: NDArray[Any], spec: TensorSpec, path: Path) -> NDArray[Any]:
    if (array.dtype.kind in "iub") != (np.dtype(spec.dtype).kind in "iub"):
        raise ExportError(f"input {spec.name!r} holds {array.dtype}, the model takes {spec.dtype}", where=str(path))
    return array
