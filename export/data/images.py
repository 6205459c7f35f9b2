"""Reading images from files as a model wants them: the one reader of --inputs, --images and --calibrate.

An image is turned upright, resized in full by bilinear interpolation, and normalised as the model's ImageInput says.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device_agents.formats import pixels as formats
from profiles.errors import ConfigError
from profiles.schema import ImageInput

SUFFIXES = (".jpg", ".jpeg", ".png")

_ARRAYS_INSTEAD = "give arrays that are prepared for it: an .npz file"
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True)
class Images:
    """`array` is (files, C, H, W) float32, normalised; `skipped` are the files that could not be read."""

    array: NDArray[np.float32]
    files: tuple[Path, ...]
    skipped: tuple[Path, ...] = ()


def find(folder: Path) -> tuple[Path, ...]:
    """The images in a folder in the order of their names, hidden ones passed over. Errors: ConfigError when there is
    none."""
    if not folder.is_dir():
        raise ConfigError("there is no such folder", where=str(folder))
    plain = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    found = tuple(file for file in plain if file.suffix.lower() in SUFFIXES)
    if not found:
        fix = "name the folder that holds them: folders within are not looked at"
        raise ConfigError(f"it holds no {', '.join(SUFFIXES)} files", where=str(folder), fix=fix)
    return found


def read(
    folder: Path,
    image: ImageInput,
    *,
    size: tuple[int, int] | None = None,
    most: int | None = None,
    skip: bool = False,
) -> Images:
    """The images of a folder, at most `most` of them: see `find` and `read_files`."""
    return read_files(find(folder), image, size=size, most=most, skip=skip)


def read_files(
    files: Sequence[Path],
    image: ImageInput,
    *,
    size: tuple[int, int] | None = None,
    most: int | None = None,
    skip: bool = False,
) -> Images:
    """The first `most` images that can be read. `size` is (height, width) where it is not the model's own; `skip`
    passes over what is no image.

    Errors: ConfigError naming the file that is no image; for a model that takes no images; without Pillow.
    """
    check_kind(image)
    kept: list[Path] = []
    skipped: list[Path] = []
    height, width = size or image.shape[1:]
    most = len(files) if most is None else min(most, len(files))
    array = np.empty(
        (most, image.shape[0], height, width), np.float32
    )  # filled, as a list and its stack are twice that
    for file in files:
        if len(kept) == most:
            break
        try:
            array[len(kept)] = normalise(_pixels(file, image, (height, width)), image)
        except ConfigError:
            if not skip:
                raise
            skipped.append(file)
        else:
            kept.append(file)
    if not kept:
        raise ConfigError(f"none of its {len(skipped)} images can be read", where=str(files[0].parent))
    return Images(array[: len(kept)], tuple(kept), tuple(skipped))


def normalise(pixels: NDArray[Any], image: ImageInput) -> NDArray[np.float32]:
    """What the model takes of (..., H, W, C) pixels in [0, 255] whose colours are RGB: (..., C, H, W)."""
    return formats.normalise(pixels, image.mean, image.std, image.order)


def centre(file: Path, image: ImageInput) -> NDArray[np.uint8]:
    """(H, W, C) pixels in RGB of the middle of an image, as torchvision's preset for classifiers cuts them: the image
    is shrunk or enlarged until its shorter side is 256/224 of the model's, by bilinear interpolation with antialiasing,
    and cut. As torchvision's ImageFolder reads it, it is not turned upright. Errors: as `read_files`."""
    height, width = image.shape[1:]
    with _opened(file) as opened:
        converted = opened.convert(_MODES[image.shape[0]])
        size = enlarged(converted.size, (width, height))
        resized = converted if converted.size == size else converted.resize(size, _bilinear())
        left, top = (round((have - want) / 2.0) for have, want in zip(size, (width, height), strict=True))
        cut = resized.crop((left, top, left + width, top + height))
    return np.asarray(cut, np.uint8).reshape(height, width, image.shape[0])


def enlarged(have: tuple[int, int], want: tuple[int, int]) -> tuple[int, int]:
    """The (width, height) to which an image is resized before its middle is cut: both sides of at least 256/224 of what
    is wanted, one of them exactly, and the other as torchvision's Resize rounds it."""
    width, height = (round(side * 256 / 224) for side in want)
    if width * have[1] >= height * have[0]:
        return width, max(height, int(width * have[1] / have[0]))
    return max(width, int(height * have[0] / have[1])), height


def check_kind(image: ImageInput) -> None:
    """Errors: ConfigError for a model that takes no images, and without Pillow."""
    where = f"input {image.name!r}"
    if len(image.shape) != 3:
        raise ConfigError("it takes video, and frames are not read from files", where=where, fix=_ARRAYS_INSTEAD)
    if image.shape[0] not in _MODES:
        raise ConfigError(f"no image has {image.shape[0]} channels", where=where, fix=_ARRAYS_INSTEAD)
    if importlib.util.find_spec("PIL") is None:
        raise ConfigError("reading images needs Pillow", where=where, fix="pip install pillow")


def _pixels(file: Path, image: ImageInput, size: Sequence[int]) -> NDArray[np.uint8]:
    """(H, W, C) of the whole image. Errors: ConfigError for what is no image."""
    from PIL import ImageOps

    height, width = size
    with _opened(file) as opened:
        upright = ImageOps.exif_transpose(opened).convert(_MODES[image.shape[0]])
        resized = upright.resize((width, height), _bilinear())
    return np.asarray(resized, np.uint8).reshape(height, width, image.shape[0])


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """An image as Pillow has it; what goes wrong while it is read is an error of that file. Errors: ConfigError."""
    from PIL import Image

    try:
        with Image.open(file) as opened:
            if opened.mode[0] in "IF":  # Pillow would clip all above 255 to white
                raise ConfigError("its pixels have more than 8 bits a channel", where=str(file), fix=_ARRAYS_INSTEAD)
            yield opened
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        message = f"not an image that Pillow reads ({str(error)[:200]})"
        raise ConfigError(message, where=str(file), fix="remove it, or pass over such files") from None


def _bilinear() -> Any:
    from PIL import Image

    return Image.Resampling.BILINEAR
