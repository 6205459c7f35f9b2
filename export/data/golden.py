"""Golden data: seeded inputs that are the same for every framework and precision, and how they are stored.

`golden.npz` holds `input:<name>` (8, C, H, W) and `output:<name>` (8, ...) from the framework's own FP32 model: floats
as float32, integers in their own type. The images lie on the float16 grid, so casting them to FP16 loses nothing and
every precision sees the same. What is shipped of a large one, export.data.shipped says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device_agents.contract import TensorSpec
from export.artifact import GOLDEN
from profiles.errors import ExportError
from profiles.schema import ImageInput

Array = NDArray[np.float32]
Arrays = Mapping[str, NDArray[Any]]
"""By tensor name, samples first."""

COUNT = 8
SEED = 20_240

_GRID = 9
_NOISE = 0.08


def images(spec: ImageInput, *, count: int = COUNT, seed: int = SEED, pixels: bool = False) -> Array:
    """(count, C, H, W) float32 in [spec.low, spec.high], of a video (count, C, T, H, W): low-frequency blobs, a slant
    and noise. With `pixels` they come of whole pixels, 0 to 255, instead of lying on the float16 grid.

    Every channel is independent and none is symmetric, so a swap of channels, or of height and width, or a mirrored
    image is another input.
    """
    channels, *_, height, width = spec.shape
    frames = spec.shape[1] if len(spec.shape) == 4 else 1
    random = np.random.default_rng(seed)
    planes = channels * frames
    blobs = _enlarge(random.uniform(0.0, 1.0, (count, planes, _GRID, _GRID)), height, width)
    slant = random.uniform(-0.5, 0.5, (count, planes, 1, 1)) * np.linspace(-1.0, 1.0, width)
    lean = random.uniform(-0.5, 0.5, (count, planes, 1, 1)) * np.linspace(-1.0, 1.0, height)[:, None]
    noise = random.normal(0.0, _NOISE, (count, planes, height, width))
    shades = np.clip(blobs + slant + lean + noise, 0.001, 0.999)  # off the ends: rounding must not leave the range
    shades = shades.reshape(count, *spec.shape)
    mean, std = (np.reshape(values, (channels, *(1,) * (len(spec.shape) - 1))) for values in (spec.mean, spec.std))
    if pixels:
        whole: Array = ((np.rint(shades * 255) / 255 - mean) / std).astype(np.float32)
        return whole
    return on_float16_grid((shades - mean) / std)


def values(spec: TensorSpec, seed: int = SEED) -> NDArray[Any]:
    """Golden samples of an input of unknown meaning, its first dimension the batch: images where it looks like them,
    else seeded noise in [spec.low, spec.high]; whole numbers for integers. Errors: ValueError for a free dimension."""
    shape = tuple(int(dim) for dim in spec.shape[1:])
    if spec.dtype.startswith("float") and len(shape) == 3 and min(shape[1:]) > 1:
        unit = ImageInput(spec.name, shape, (0.0,) * shape[0], (1.0,) * shape[0])
        return on_float16_grid(spec.low + images(unit, seed=seed) * (spec.high - spec.low))
    random = np.random.default_rng(seed)
    if spec.dtype.startswith("float"):
        return on_float16_grid(random.uniform(spec.low, spec.high, (COUNT, *shape)))
    return random.integers(int(spec.low), int(spec.high) + 1, (COUNT, *shape)).astype(spec.dtype)


def on_float16_grid(values: NDArray[np.floating]) -> Array:
    """The nearest values that float16 holds exactly, as float32."""
    return values.astype(np.float16).astype(np.float32)


def in_batches(call: Callable[[Arrays], Arrays], inputs: Arrays, batch: int | None) -> dict[str, NDArray[Any]]:
    """Outputs for all samples from a model that takes `batch` at a time (None: any number), in order.

    The last batch is filled up with samples from the start, and what they give is dropped.
    """
    count = len(next(iter(inputs.values())))
    step = batch or count
    parts = [
        call({name: np.take(value, range(start, start + step), axis=0, mode="wrap") for name, value in inputs.items()})
        for start in range(0, count, step)
    ]
    return {name: np.concatenate([part[name] for part in parts])[:count] for name in parts[0]}


def save(path: Path, inputs: Arrays, outputs: Arrays) -> None:
    """Write golden.npz. numpy stamps no time into it, so equal arrays give equal bytes."""
    arrays = {f"input:{name}": _plain(value) for name, value in inputs.items()}
    arrays |= {f"output:{name}": _plain(value) for name, value in outputs.items()}
    with path.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


def load(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """(inputs, outputs) of a golden.npz, by tensor name. Errors: ExportError for one that holds a part of the outputs,
    as it was shipped."""
    with np.load(path, allow_pickle=False) as data:
        if any(key.startswith("part:") for key in data.files):
            message = "it holds a part of the outputs, and the whole ones beside it are gone"
            raise ExportError(message, where=str(path), fix="export the FP32 model with --fresh")
        inputs = {key.removeprefix("input:"): data[key] for key in data.files if key.startswith("input:")}
        outputs = {key.removeprefix("output:"): data[key] for key in data.files if key.startswith("output:")}
    return inputs, outputs


def of_every_size(folder: Path) -> list[Path]:
    """The golden files of a folder: the one of the artifact's own size, and those of the others."""
    return sorted(folder.glob(f"{Path(GOLDEN).stem}*.npz"))


def _plain(value: NDArray[Any]) -> NDArray[Any]:
    """Floats as float32; integers, such as whole pixels, in the type that they have."""
    return np.ascontiguousarray(value, None if value.dtype.kind in "iub" else np.float32)


def _enlarge(grid: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """Bilinear enlargement of the last two axes."""
    for axis, size in ((-2, height), (-1, width)):
        at = np.linspace(0.0, grid.shape[axis] - 1.0, size)
        below = np.minimum(at.astype(int), grid.shape[axis] - 2)
        share = (at - below).reshape((-1, 1) if axis == -2 else (-1,))
        grid = np.take(grid, below, axis) * (1.0 - share) + np.take(grid, below + 1, axis) * share
    return grid
