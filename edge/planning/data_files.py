"""Reading the operator's own inputs: one .npz, or a folder of .npy, .npz or image files, checked against the model.

What comes out are arrays of the model's own shape, samples first. Nothing is scaled or cut to fit, but images, which
are prepared as the model's profile says.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device_agents.contract import TensorSpec
from export.artifact import sha256_file
from export.data import images, preprocess
from profiles.errors import ConfigError
from profiles.schema import ImageInput

Array = NDArray[Any]

ARRAYS = (".npy", ".npz")
IMAGES = images.SUFFIXES

_MAX_BYTES = 2 << 30
_INPUT, _OUTPUT = "input:", "output:"
_WHERE = "--inputs"
_UNREADABLE = (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error, NotImplementedError)


@dataclass(frozen=True)
class OwnData:
    """Arrays by the names of the model's inputs and outputs, samples first; `outputs` are the reference that came with
    the data, or empty."""

    inputs: dict[str, Array]
    outputs: dict[str, Array]

    @property
    def count(self) -> int:
        return len(next(iter(self.inputs.values())))


def fingerprint(path: Path) -> str:
    """SHA-256 (hex) of a file, or of the names and contents of the files in a folder that are used: what a cell is
    identified by. Errors: ConfigError when there is nothing to use, or too much."""
    try:
        found = files(path)
        if not path.is_dir():
            return sha256_file(found[0])
        digest = hashlib.sha256()
        for file in found:
            digest.update(f"{file.name}\0{sha256_file(file)}\n".encode())
        return digest.hexdigest()
    except OSError as error:
        raise ConfigError(f"it cannot be read ({error.strerror})", where=f"{_WHERE} {str(path)[:200]}") from None


def files(path: Path) -> list[Path]:
    """The one .npz, or the folder's arrays or images in the order of their names; hidden and other files are passed
    over. Errors: ConfigError."""
    if not path.exists():
        raise ConfigError("there is no such file or folder", where=f"{_WHERE} {path}")
    if path.is_dir():
        found = _in_folder(path)
    elif path.is_file() and path.suffix.lower() == ".npz":
        found = [path]
    else:
        raise ConfigError("neither an .npz file nor a folder", where=f"{_WHERE} {path}", fix="save it with np.savez")
    # Images shrink to the model's size; of arrays not even the hash is worth its time.
    if found[0].suffix.lower() in ARRAYS and sum(file.stat().st_size for file in found) > _MAX_BYTES:
        raise _too_large(path)
    return found


def _in_folder(path: Path) -> list[Path]:
    plain = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    arrays = [file for file in plain if file.suffix.lower() in ARRAYS]
    pictures = [file for file in plain if file.suffix.lower() in IMAGES]
    if arrays and pictures:
        message = f"it holds arrays ({arrays[0].name}) and images ({pictures[0].name})"
        raise ConfigError(message, where=f"{_WHERE} {path}", fix="keep one kind in a folder of its own")
    if not arrays and not pictures:
        fix = "name the folder that holds them: folders within are not looked at"
        raise ConfigError(f"it holds no {', '.join(ARRAYS + IMAGES)} files", where=f"{_WHERE} {path}", fix=fix)
    return arrays or pictures


def read(
    path: Path, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], image: ImageInput | None = None
) -> OwnData:
    """The operator's data for a model with these inputs and outputs (the first dimension is the batch).

    `image` says how the model wants its pixels; without it images are refused. Float arrays come back as float32
    (float64 where the model takes that), others in the model's own type. Errors: ConfigError for whatever does not
    fit, naming file and array.
    """
    found = files(path)
    if found[0].suffix.lower() in IMAGES:
        return OwnData({inputs[0].name: _images(found, inputs, image, path)}, {})
    pieces: list[dict[str, Array]] = []
    size = 0
    for file in found:
        piece = _pieces(file, inputs, outputs, alone=not path.is_dir())
        if pieces and set(piece) != set(pieces[0]):
            missing = ", ".join(sorted(set(pieces[0]) ^ set(piece)))
            raise ConfigError(f"{missing} is in some files and not in others", where=str(file))
        size += sum(array.nbytes for array in piece.values())
        if size > _MAX_BYTES:
            raise _too_large(path)
        pieces.append(piece)
    joined = {key: np.concatenate([piece[key] for piece in pieces]) for key in pieces[0]}
    data = OwnData(_named(joined, _INPUT), _named(joined, _OUTPUT))
    _check_counts(data, path)
    return data


def _pieces(
    file: Path, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], *, alone: bool
) -> dict[str, Array]:
    """What one file holds by `input:<name>` and `output:<name>`, each checked and of the model's type. A file of a
    folder may hold one sample without the first dimension."""
    raw = _load(file)
    sources = _sources(raw, inputs, outputs, file)
    pieces = {}
    for spec in inputs:
        pieces[_INPUT + spec.name] = _fitting(
            raw[sources[_INPUT + spec.name]], spec, f"input {spec.name!r}", file, alone
        )
    for spec in outputs:
        if _OUTPUT + spec.name in raw:
            array = _fitting(raw[_OUTPUT + spec.name], spec, f"output {spec.name!r}", file, alone)
            if array.dtype.kind not in "fiub":
                raise ConfigError(f"output {spec.name!r} holds {array.dtype}, no numbers", where=str(file))
            pieces[_OUTPUT + spec.name] = _finite(array.astype(np.float32), f"output {spec.name!r}", file)
    for spec in inputs:
        key = _INPUT + spec.name
        pieces[key] = _of_type(pieces[key], spec, file)
    return pieces


def _load(file: Path) -> dict[str, Array]:
    try:
        if file.suffix.lower() == ".npy":
            return {"": np.load(file, allow_pickle=False)}
        with zipfile.ZipFile(file) as archive:
            if sum(member.file_size for member in archive.infolist()) > _MAX_BYTES:
                raise _too_large(file)
        with np.load(file, allow_pickle=False) as arrays:
            found = {key: arrays[key] for key in arrays.files}
            return {
                key: array for key, array in found.items() if isinstance(array, np.ndarray)
            }  # any zip may hold more
    except _UNREADABLE as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        fix = "save plain arrays of numbers with np.savez"
        raise ConfigError(f"not an array file that numpy reads ({reason[:200]})", where=str(file), fix=fix) from None


def _sources(
    raw: Mapping[str, Array], inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], file: Path
) -> dict[str, str]:
    """Which array of the file is which input: `input:<name>`, `<name>`, or the only one there is for the only input."""
    for key in raw:
        for prefix, specs in ((_INPUT, inputs), (_OUTPUT, outputs)):
            if key.startswith(prefix) and key.removeprefix(prefix) not in [spec.name for spec in specs]:
                names = ", ".join(spec.name for spec in specs)
                raise ConfigError(f"the model has no {prefix[:-1]} of array {key!r}; it has: {names}", where=str(file))
    bare = [key for key in raw if not key.startswith(_OUTPUT)]
    found = {}
    for spec in inputs:
        candidates = [key for key in (_INPUT + spec.name, spec.name) if key in raw]
        if not candidates and len(bare) == len(inputs) == 1:
            candidates = bare
        if not candidates:
            there = ", ".join(repr(key) if key else "one without a name" for key in raw) or "nothing"
            fix = f"name the array of that input {spec.name!r}" + (" in an .npz" if "" in raw else "")
            raise ConfigError(
                f"no array for the model's input {spec.name!r} (there is {there})", where=str(file), fix=fix
            )
        found[_INPUT + spec.name] = candidates[0]
    return found


def _fitting(array: Array, spec: TensorSpec, what: str, file: Path, alone: bool) -> Array:
    """The array with its samples first. Errors: ConfigError for another shape, or no samples."""
    wanted = spec.shape[1:]
    if not alone and array.ndim == len(wanted):
        array = array[None]
    fits = array.ndim == len(wanted) + 1 and all(
        isinstance(dim, str) or size == dim for size, dim in zip(array.shape[1:], wanted, strict=False)
    )
    if not fits:
        shape = ", ".join(map(str, ("samples", *wanted)))
        raise ConfigError(f"{what} has the shape {array.shape}, the model's is ({shape})", where=str(file))
    if not len(array):
        raise ConfigError(f"{what} has no samples", where=str(file))
    return array


def _of_type(array: Array, spec: TensorSpec, file: Path) -> Array:
    """The array in a type that the model's holds without another meaning. Errors: ConfigError."""
    wanted, what = np.dtype(spec.dtype), f"input {spec.name!r}"
    if wanted.kind == "f":
        if array.dtype.kind != "f":
            fix = "scale and normalise it as the model was trained"
            raise ConfigError(f"{what} holds {array.dtype}, the model takes {wanted}", where=str(file), fix=fix)
        with np.errstate(over="ignore"):
            cast = array.astype(np.float64 if wanted == np.float64 else np.float32)
        _finite(cast, what, file)
        limit = float(np.finfo(wanted).max)
        if np.abs(cast).max() > limit:
            raise ConfigError(f"{what} has values beyond {limit:g}, the largest {wanted}", where=str(file))
        return cast
    if array.dtype.kind not in "iub" or (wanted.kind == "b") != (array.dtype.kind == "b"):
        raise ConfigError(f"{what} holds {array.dtype}, the model takes {wanted}", where=str(file))
    cast = array.astype(wanted)
    if not np.array_equal(cast, array):
        raise ConfigError(f"{what} has values that {wanted} cannot hold", where=str(file))
    return cast


def _finite(array: Array, what: str, file: Path) -> Array:
    if not np.isfinite(array).all():
        raise ConfigError(f"{what} has values that are not finite numbers", where=str(file))
    return array


def _named(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}


def _check_counts(data: OwnData, path: Path) -> None:
    counts = {name: len(array) for name, array in [*data.inputs.items(), *data.outputs.items()]}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{count} of {name}" for name, count in counts.items())
        raise ConfigError(f"the arrays hold unlike numbers of samples ({told})", where=f"{_WHERE} {path}")


def _images(found: Sequence[Path], inputs: Sequence[TensorSpec], image: ImageInput | None, folder: Path) -> Array:
    """(count, C, H, W) float32: every image in full, resized to the model's size and normalised as its manifest says;
    (count, H, W, C) uint8 for a graph that normalises them itself."""
    where = f"{_WHERE} {folder}"
    if image is None or len(inputs) != 1 or not takes(inputs[0], image):
        fix = "give arrays that are prepared for it: an .npz file"
        raise ConfigError("no model profile says how this model wants its images", where=where, fix=fix)
    if len(found) * 4 * int(np.prod(image.shape)) > _MAX_BYTES:
        raise _too_large(folder)
    array = images.read_files(found, image).array
    return preprocess.to_pixels(array, image) if inputs[0].dtype == "uint8" else array


def takes(spec: TensorSpec, image: ImageInput) -> bool:
    """Whether an input is that image, normalised, or in whole pixels."""
    whole = (*image.shape[1:], image.shape[0])
    return spec.shape[1:] == (whole if spec.dtype == "uint8" else image.shape) and (
        spec.dtype == "uint8" or np.dtype(spec.dtype).kind == "f"
    )


def _too_large(path: Path) -> ConfigError:
    fix = f"give at most {_MAX_BYTES >> 30} GiB: a few hundred samples time a model as well as all do"
    return ConfigError("the data is too large to be sent to devices", where=f"{_WHERE} {path}", fix=fix)
