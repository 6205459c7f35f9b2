"""Golden data: seeded inputs that are the same for every framework and precision, and how they are stored.

`golden.npz` holds `input:<name>` (8, C, H, W) and `output:<name>` (8, ...), float32, from the framework's own FP32
model. The images lie on the float16 grid, so casting them to FP16 loses nothing and every precision sees the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from profiles.schema import ImageInput

Array = NDArray[np.float32]
Arrays = Mapping[str, Array]

COUNT = 8
SEED = 20_240

_GRID = 9
_NOISE = 0.08


def images(spec: ImageInput, *, count: int = COUNT, seed: int = SEED) -> Array:
    """(count, C, H, W) float32 in [spec.low, spec.high]: low-frequency blobs, a slant and noise.

    Every channel is independent and none is symmetric, so a swap of channels, or of height and width, or a mirrored
    image is another input.
    """
    channels, height, width = spec.shape
    random = np.random.default_rng(seed)
    blobs = _enlarge(random.uniform(0.0, 1.0, (count, channels, _GRID, _GRID)), height, width)
    slant = random.uniform(-0.5, 0.5, (count, channels, 1, 1)) * np.linspace(-1.0, 1.0, width)
    lean = random.uniform(-0.5, 0.5, (count, channels, 1, 1)) * np.linspace(-1.0, 1.0, height)[:, None]
    noise = random.normal(0.0, _NOISE, (count, channels, height, width))
    pixels = np.clip(blobs + slant + lean + noise, 0.001, 0.999)  # off the ends: rounding must not leave the range
    mean = np.asarray(spec.mean)[:, None, None]
    std = np.asarray(spec.std)[:, None, None]
    return on_float16_grid((pixels - mean) / std)


def on_float16_grid(values: NDArray[np.floating]) -> Array:
    """The nearest values that float16 holds exactly, as float32."""
    return values.astype(np.float16).astype(np.float32)


def in_batches(call: Callable[[Arrays], Arrays], inputs: Arrays, batch: int | None) -> dict[str, Array]:
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
    arrays = {f"input:{name}": np.ascontiguousarray(value, np.float32) for name, value in inputs.items()}
    arrays |= {f"output:{name}": np.ascontiguousarray(value, np.float32) for name, value in outputs.items()}
    with path.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


def load(path: Path) -> tuple[dict[str, Array], dict[str, Array]]:
    """(inputs, outputs) of a golden.npz, by tensor name."""
    with np.load(path, allow_pickle=False) as data:
        inputs = {key.removeprefix("input:"): data[key] for key in data.files if key.startswith("input:")}
        outputs = {key.removeprefix("output:"): data[key] for key in data.files if key.startswith("output:")}
    return inputs, outputs


def _enlarge(grid: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """Bilinear enlargement of the last two axes."""
    for axis, size in ((-2, height), (-1, width)):
        at = np.linspace(0.0, grid.shape[axis] - 1.0, size)
        below = np.minimum(at.astype(int), grid.shape[axis] - 2)
        share = (at - below).reshape((-1, 1) if axis == -2 else (-1,))
        grid = np.take(grid, below, axis) * (1.0 - share) + np.take(grid, below + 1, axis) * share
    return grid
