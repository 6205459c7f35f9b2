"""What values the tensors of a graph take, from samples of real inputs: the ranges of an INT8 graph, and their cache.

No tensor is kept: a first run gives the greatest values, a second one histograms, one batch after the other.
onnxruntime's calibrators hold every tensor of every sample in memory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export import graph as graphs
from export.precision.int8 import LEVELS
from export.precision.nodes import lift_constants
from export.precision.running import Arrays, add_peaks, batches, running
from profiles.progress import Progress

METHOD = "mse"
"""The range whose squared error is least: what is clipped and what is rounded, together. Tried on eight networks with
random weights (error of INT8, mean over them): largest value 0.27, quantile 0.99999 0.24, 0.9999 0.25, this 0.24;
KL divergence, as TensorRT 8 calibrates, failed on EfficientNet-B0 (0.58 for 0.24). Two of these have no number to
choose, and only this one weighs an outlier by its size: in a transformer the few large values carry much."""

RECIPE = 2
"""Raised when the same samples would give other ranges."""

_BINS = 16_384
_PIECE = 1 << 17
_OCTAVES, _STEPS = 6, 16
"""Ranges that are tried: from the peak down to 1/64 of it, 16 an octave. A step of INT8 is then two bins or more."""

Ranges = Mapping[str, float]
Histograms = dict[str, NDArray[np.int64]]


def calibrate(model: Path, tensors: Sequence[str], samples: Arrays, progress: Progress) -> dict[str, float]:
    """The greatest absolute value that INT8 is to hold, of each of the float tensors.

    Errors: ExportError when onnxruntime does not run the graph.
    """
    peaks = _peaks(model, tensors, samples, progress)
    histograms = _histograms(model, peaks, samples, progress)
    return {name: best_range(histograms[name], peak) if name in histograms else 0.0 for name, peak in peaks.items()}


def best_range(histogram: NDArray[np.int64], peak: float) -> float:
    """Of absolute values that were counted in bins from 0 to the peak."""
    filled = histogram > 0
    values = (np.flatnonzero(filled) + 0.5) * (peak / _BINS)
    counts = histogram[filled]

    def error(range_: float) -> float:
        step = range_ / LEVELS
        return float((counts * (values - np.minimum(np.rint(values / step), LEVELS) * step) ** 2).sum())

    tried: list[float] = [peak * 2.0 ** (-at / _STEPS) for at in range(_OCTAVES * _STEPS + 1)]
    return min(tried, key=error)


def load(path: Path, tensors: Sequence[str]) -> dict[str, float] | None:
    """Cached ranges; None where there are none, or not of these tensors by this method. The name of the file says of
    which artifact and data they are."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        ranges = {str(name): float(value) for name, value in told["ranges"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    same = told.get("method") == METHOD and told.get("recipe") == RECIPE and set(ranges) == set(tensors)
    return ranges if same and all(0 <= value < float("inf") for value in ranges.values()) else None


def save(path: Path, ranges: Ranges) -> None:
    told = {"method": METHOD, "recipe": RECIPE, "ranges": dict(ranges)}
    part = path.with_name(f"{path.name}.{os.getpid()}.part")  # two exports may have the same data
    part.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def _peaks(model: Path, tensors: Sequence[str], samples: Arrays, progress: Progress) -> dict[str, float]:
    proto = _read(model)
    feeds = _counted(proto, samples, "greatest values", progress)
    found = dict.fromkeys(tensors, 0.0)
    with running(proto, add_peaks(proto, tensors)) as run:
        for feed in feeds:
            for name, value in zip(tensors, run(feed), strict=True):
                found[name] = max(found[name], float(value))
    return found


def _histograms(model: Path, peaks: Ranges, samples: Arrays, progress: Progress) -> Histograms:
    """Counts of finite absolute values in _BINS bins from 0 to the peak, of each tensor that is not 0 everywhere."""
    proto = _read(model)
    feeds = _counted(proto, samples, "distributions", progress)
    names = [name for name, peak in peaks.items() if peak > 0]
    if not names:  # onnxruntime takes no names for all
        return {}
    counts = {name: np.zeros(_BINS, np.int64) for name in names}
    with running(proto, names) as run:
        for feed in feeds:
            for name, value in zip(names, run(feed), strict=True):
                _count(value, peaks[name], counts[name])
    return counts


def _count(value: NDArray[np.float32], peak: float, counts: NDArray[np.int64]) -> None:
    """Adds to `counts`, in place. In pieces that stay in the processor's cache."""
    flat = value.reshape(-1)
    scale = np.float32(min(_BINS / peak, float(np.finfo(np.float32).max)))
    for start in range(0, flat.size, _PIECE):
        at = np.abs(flat[start : start + _PIECE])
        finite = np.isfinite(at)
        if not finite.all():
            at = at[finite]
        at *= scale
        np.minimum(at, _BINS - 1, out=at)
        counts += np.bincount(at.astype(np.intp), minlength=_BINS)


def _read(model: Path) -> Any:
    proto = graphs.load(model)
    lift_constants(proto.graph)
    return proto


def _counted(proto: Any, samples: Arrays, what: str, progress: Progress) -> Iterator[Arrays]:
    done, total = 0, len(next(iter(samples.values())))
    for feed in batches(proto, samples):
        progress(f"calibrate: {what}", min(done, total), total)
        yield feed
        done += len(next(iter(feed.values())))
