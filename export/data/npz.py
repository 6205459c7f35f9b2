"""The operator's own arrays in an .npz, by the names of a graph: the one reader of --reference and --calibrate."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device_agents.contract import TensorSpec
from profiles.errors import ExportError

Array = NDArray[Any]

_UNREADABLE = (
    *(OSError, ValueError, EOFError, RuntimeError, MemoryError, SyntaxError),
    *(tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)
_FIX = "save plain arrays of numbers with np.savez"


def read(path: Path, what: str = "not an .npz that numpy reads") -> dict[str, Array]:
    """Every array of the file by its key. Errors: ExportError, beginning with `what` for what is no .npz or a damaged
    one, and for an array of anything but numbers."""
    try:
        with path.open("rb") as stream:  # numpy leaves a damaged file open
            loaded = np.load(stream, allow_pickle=False)
            found = None if isinstance(loaded, np.ndarray) else {key: loaded[key] for key in loaded.files}
    except _UNREADABLE as error:
        raise ExportError(what, where=str(path), fix=_FIX) from error
    if found is None:
        raise ExportError("it is one array without a name, an .npy", where=str(path), fix=_FIX)
    for key, array in found.items():
        if array.dtype.kind not in "fiub":
            raise ExportError(f"array {key!r} holds {array.dtype}, which are no numbers", where=str(path), fix=_FIX)
    return found


def chosen(raw: Mapping[str, Array], side: str, spec: TensorSpec, path: Path) -> Array:
    """The array of an input or output (`side`), by its name or as `side:<name>`, samples first. Errors: ExportError
    where there is none, or of another shape."""
    key = next((key for key in (f"{side}:{spec.name}", spec.name) if key in raw), None)
    if key is None:
        there = ", ".join(map(repr, raw)) or "nothing"
        fix = f"name the array {side}:{spec.name}"
        raise ExportError(f"no array for {side} {spec.name!r} (there is {there})", where=str(path), fix=fix)
    array, wanted = raw[key], spec.shape[1:]
    fits = array.ndim == len(spec.shape) and all(
        isinstance(dim, str) or size == dim for size, dim in zip(array.shape[1:], wanted, strict=True)
    )
    if not fits:
        told = ", ".join(map(str, ("samples", *wanted)))
        raise ExportError(f"{side} {spec.name!r} has the shape {array.shape}, wanted is ({told})", where=str(path))
    return array


def check_samples(found: Iterable[Array], path: Path) -> None:
    """Errors: ExportError for arrays of no samples, or of unlike numbers of them."""
    counts = {len(array) for array in found}
    if len(counts) != 1 or not counts.pop():
        raise ExportError("its arrays hold no samples, or unlike numbers of them", where=str(path))
