"""What a distribution of latencies looks like beside its percentiles: a mean without its tails, and whether there are
two kinds of latency in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.results.stats.percentiles import Samples

TRIMMED = 0.1  # of the samples, at either end

_LEAST = 100  # samples that show kinds
_BINS = 512
_CUT = 0.5  # percent at either end that no kind begins in
_SHARE = 0.1  # of all samples: fewer are a tail, and no kind
_VALLEY = 0.5  # of the lower peak
_FINEST = 0.005  # of a latency: what is nearer than that is one kind
_REACH = 4  # bandwidths of a kernel on either side


@dataclass(frozen=True)
class Kinds:
    """Two kinds of latency: their medians in ns, the faster one first, and the share of the slower."""

    fast_ns: float
    slow_ns: float
    slow_share: float


def trimmed_mean(samples_ns: Samples) -> float:
    """The mean of the middle 80 %: a tenth of the samples is left out of it at either end, and of nothing else."""
    cut = int(TRIMMED * len(samples_ns))
    return float(np.sort(samples_ns)[cut : len(samples_ns) - cut].mean())


def kinds(samples_ns: Samples) -> Kinds | None:
    """Two kinds of latency where a smoothed density of their logarithms has two peaks with a valley of less than half
    the lower one between them and a tenth of the samples on either side; else None. A long tail has no peak."""
    if len(samples_ns) < _LEAST:
        return None
    logs = np.log(np.maximum(samples_ns, 1))
    low, high = np.percentile(logs, (_CUT, 100 - _CUT))
    width = _bandwidth(logs)
    if high - low < 2 * width:
        return None
    margin = _REACH * width
    counts, edges = np.histogram(logs, _BINS, (low - margin, high + margin))
    place = _valley(_smoothed(counts, width / (edges[1] - edges[0])), counts)
    if place is None:
        return None
    slow = logs > edges[place + 1]
    share = float(slow.mean())
    if not _SHARE <= share <= 1 - _SHARE:
        return None
    return Kinds(float(np.median(samples_ns[~slow])), float(np.median(samples_ns[slow])), share)


def _bandwidth(logs: NDArray[np.float64]) -> float:
    """Silverman's rule of thumb, no finer than half a percent of a latency."""
    quarter, three = np.percentile(logs, (25, 75))
    spread = min(float(logs.std()), float(three - quarter) / 1.349)
    return max(_FINEST, 0.9 * spread * math.pow(len(logs), -0.2))


def _smoothed(counts: NDArray[np.int64], bins: float) -> NDArray[np.float64]:
    reach = min(int(_REACH * bins) + 1, _BINS // 2 - 1)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / bins) ** 2)
    return np.convolve(counts, kernel / kernel.sum(), mode="same")


def _valley(density: NDArray[np.float64], counts: NDArray[np.int64]) -> int | None:
    """The bin with the deepest valley that divides the samples into two parts that are large enough, if it is one."""
    left, right = np.maximum.accumulate(density), np.maximum.accumulate(density[::-1])[::-1]
    depth = density / np.maximum(np.minimum(left, right), 1e-12)
    below = np.cumsum(counts) / counts.sum()
    depth[(below < _SHARE) | (below > 1 - _SHARE)] = 1.0
    place = int(np.argmin(depth))
    return place if depth[place] < _VALLEY else None
