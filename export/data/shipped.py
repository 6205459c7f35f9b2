"""Golden files that are small enough to ship: of a network whose outputs are maps, fewer samples and a part of each.

Within the room they are golden.npz as export.data.golden writes it. Else the file holds `input:<name>` of fewer
samples, as float16 where that loses nothing, and for each output

    output:<name>    (samples, m): every n-th value of a sample, flattened
    part:<name>      n, and the shape of a whole sample
    spread:<name>    of those values, over all samples that the export was judged by: what an error is relative to

Boxes of a detector are matched whole: only their samples are fewer.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device_agents.formats import differences
from export.data import golden
from export.data.golden import Arrays

ROOM = 16 << 20
"""Bytes of all golden files of an artifact, as far as two samples fit."""

_LEAST = 2  # samples: an error has no scale with one
_FOR_INPUTS = 0.75  # of the room at most
_LEAST_OF_OUTPUTS = 256 << 10  # bytes a sample
_WHOLE = 4096  # values of an output that is never taken apart: the scores of a classifier


def save(path: Path, inputs: Arrays, outputs: Arrays, *, room: int = ROOM, whole: bool = False) -> bool:
    """Write a golden file of `room` bytes or little more, with samples as a `whole`, or with a part of each. Whether it
    holds a part only."""
    if _bytes(inputs) + _bytes(outputs) <= room:
        golden.save(path, inputs, outputs)
        return False
    small = {name: _narrow(array) for name, array in inputs.items()}
    count = len(next(iter(inputs.values())))
    if whole:
        kept = _most_found(outputs, _fitting(room, (_bytes(small) + _bytes(outputs)) / count, count))
        arrays = {f"output:{name}": array[kept] for name, array in outputs.items()}
    else:
        one = _bytes(small) / count
        kept = np.arange(_fitting(_FOR_INPUTS * room, one, count))
        arrays = _parts(outputs, kept, max(room / len(kept) - one, _LEAST_OF_OUTPUTS))
    arrays |= {f"input:{name}": array[kept] for name, array in small.items()}
    with path.open("wb") as stream:
        np.savez(stream, **arrays)
    return True


def _fitting(room: float, one: float, count: int) -> int:
    return min(count, max(_LEAST, int(room / one)))


def _narrow(array: NDArray[Any]) -> NDArray[Any]:
    """As float16 where that loses nothing, as of seeded images."""
    if array.dtype.kind != "f":
        return array
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    return half if np.array_equal(half, array) else array.astype(np.float32)


def _most_found(outputs: Arrays, count: int) -> NDArray[Any]:
    """The samples with the most boxes, in order: where nothing was found, there is nothing to compare."""
    if "scores" not in outputs:
        return np.arange(count)
    found = (outputs["scores"] > 0).sum(axis=1)
    return np.sort(np.argsort(-found, kind="stable")[:count])


def _parts(outputs: Arrays, kept: NDArray[Any], room: float) -> dict[str, NDArray[Any]]:
    """Of each sample about `room` bytes."""
    large = {name: array for name, array in outputs.items() if array[0].size > _WHOLE}
    small = sum(array[0].nbytes for name, array in outputs.items() if name not in large)
    least = math.ceil(sum(array[0].nbytes for array in large.values()) / max(room - small, _LEAST_OF_OUTPUTS))
    arrays: dict[str, NDArray[Any]] = {}
    for name, array in outputs.items():
        every = _coprime(least, array[0].size) if name in large else 1
        part = array.reshape(len(array), -1)[:, ::every]
        arrays[f"output:{name}"] = np.ascontiguousarray(part[kept])
        arrays[f"part:{name}"] = np.array([every, *array.shape[1:]], np.int64)
        arrays[f"spread:{name}"] = np.float64(differences.spread(part))
    return arrays


def _coprime(least: int, size: int) -> int:
    """So that the values are of every channel, row and column."""
    return next(step for step in range(max(least, 1), size + 2) if math.gcd(step, size) == 1)


def _bytes(arrays: Arrays) -> int:
    return sum(array.nbytes for array in arrays.values())
