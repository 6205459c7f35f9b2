"""What the samples say, and what they cannot say. Latencies in nanoseconds.

Percentiles are samples, never interpolated, picked as trtexec does. Intervals are Student t over per-process figures:
run-to-run spread is larger than the spread within a run, so the samples of one run say little about the next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from device_agents.contract import JobResult, ProcessResult

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.int64]

# Samples that support a percentile at 99 % confidence with at most one sample beyond it: the least n with
# q^n + n (1 - q) q^(n-1) <= 0.01. MLPerf LoadGen's early stopping (https://arxiv.org/abs/1911.02549).
SUPPORT = {50.0: 11, 90.0: 64, 95.0: 130, 99.0: 662, 99.9: 6636}

_STRETCHES = 10  # of a run, for the spread within it
_ADDED = ("arrivals", "late", "dropped", "waiting")
_APPROXIMATE_BELOW = 10  # processes: under that the interval of a percentile in the tail is called approximate

# Two-sided 95 % points of Student's t for 1 to 30 degrees of freedom (NIST/SEMATECH e-Handbook, 1.3.6.7.2).
_T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


@dataclass(frozen=True)
class Estimate:
    """A latency in ns with the half-width of its 95 % interval, None where one process says nothing of the next."""

    value_ns: float
    half_width_ns: float | None
    approximate: bool = False


@dataclass(frozen=True)
class Summary:
    """One measurement in figures. A percentile that the samples do not support is None.

    With several streams inferences overlap, and a latency is none: median, mean and percentiles are None.
    `spread` is the coefficient of variation of the per-process medians (None for one process: "within run"), `within`
    that of the medians of ten stretches of a run (root mean square over processes; None for short runs), `drift` the
    largest relative change from the first to the last quarter of a process. `parts` are medians in ns of an inference
    taken apart, `counts` those of a rate: summed over processes, but the largest `wake_lag_ns` and the first `seed`.
    """

    samples: int
    processes: int
    median: Estimate | None
    mean_ns: float | None
    p90_ns: int | None
    p95_ns: int | None
    p99: Estimate | None
    throughput_per_s: float
    spread: float | None
    drift: float
    load_ns: float
    first_inference_ns: float
    within: float | None = None
    parts: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    streams: int = 1

    @property
    def within_run(self) -> bool:
        return self.processes == 1


def summarise(result: JobResult, samples_ns: Samples, batch: int) -> Summary:
    """Derive the figures of a measurement from its raw samples, int64 ns; warm-up never enters."""
    runs = [samples_ns[p.timed.offset : p.timed.offset + p.timed.count] for p in result.processes]
    pooled = np.concatenate(runs)
    medians = [float(percentile(run, 50.0)) for run in runs]
    elapsed_s = sum(process.elapsed_ns for process in result.processes) / 1e9
    streams = result.switches.get("streams", 1)
    alone = not isinstance(streams, int) or streams <= 1
    return Summary(
        samples=len(pooled),
        processes=len(runs),
        median=Estimate(float(np.mean(medians)), half_width(medians)) if alone else None,
        mean_ns=float(pooled.mean()) if alone else None,
        p90_ns=supported(pooled, 90.0) if alone else None,
        p95_ns=supported(pooled, 95.0) if alone else None,
        p99=_p99(runs, pooled) if alone else None,
        throughput_per_s=batch * len(pooled) / elapsed_s,
        spread=float(np.std(medians, ddof=1) / np.mean(medians)) if len(medians) > 1 else None,
        drift=max((drift(run) for run in runs), key=abs),
        load_ns=float(np.median([process.load_ns for process in result.processes])),
        first_inference_ns=float(np.median([process.first_inference_ns for process in result.processes])),
        within=_within(runs),
        parts=_parts(result.processes, samples_ns),
        counts=_counts(result.processes),
        streams=int(streams) if isinstance(streams, int) else 1,
    )


def milliseconds(ns: float) -> str:
    """Three significant digits or two decimals, whichever says more."""
    ms = ns / 1e6
    return f"{ms:.3g}" if ms < 1 else f"{ms:.2f}"


def percentile(samples_ns: Samples, p: float) -> int:
    """The p-th percentile as trtexec picks it: sorted, no interpolation, the index computed in float32.

    In doubles p99 of 5,000 would be another sample. Source: TensorRT samples/common/sampleReporting.cpp.
    """
    count = len(samples_ns)
    excluded = int((np.float32(1) - np.float32(p) / np.float32(100)) * np.float32(count))
    return int(np.sort(samples_ns)[max(count - 1 - excluded, 0)])


def supported(samples_ns: Samples, p: float) -> int | None:
    """The percentile in ns, or None where there are too few samples for it at 99 % confidence."""
    return percentile(samples_ns, p) if len(samples_ns) >= SUPPORT[p] else None


def half_width(per_process: Sequence[float]) -> float | None:
    """Half-width of the 95 % Student t interval of the mean of per-process figures; None for fewer than two."""
    count = len(per_process)
    if count < 2:
        return None
    return t95(count - 1) * float(np.std(per_process, ddof=1)) / math.sqrt(count)


def t95(degrees: int) -> float:
    """Two-sided 95 % point of Student's t. Beyond 30 degrees by Cornish-Fisher, within 1e-4 of the exact value."""
    if degrees <= len(_T95):
        return _T95[degrees - 1]
    z = 1.959964
    return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)


def drift(samples_ns: Samples) -> float:
    """Relative change of the median from the first to the last quarter of a run; 0 under 8 samples."""
    quarter = len(samples_ns) // 4
    if quarter < 2:
        return 0.0
    first, last = np.median(samples_ns[:quarter]), np.median(samples_ns[-quarter:])
    return float(last / first - 1.0)


def _within(runs: Sequence[Samples]) -> float | None:
    """How much the median wanders within a run; None where a stretch would hold too few samples for a median."""
    if min(len(run) for run in runs) < _STRETCHES * SUPPORT[50.0]:
        return None
    medians = [[float(np.median(part)) for part in np.array_split(run, _STRETCHES)] for run in runs]
    spreads = [float(np.std(values, ddof=1) / np.mean(values)) for values in medians]
    return math.sqrt(sum(spread * spread for spread in spreads) / len(spreads))


def _parts(processes: Sequence[ProcessResult], samples_ns: Samples) -> dict[str, float]:
    """The mean over processes of the median of each part, where every process tells it."""
    parts = {}
    for name in ProcessResult.PARTS:
        places = [process.parts[name] for process in processes if name in process.parts]
        if len(places) == len(processes):
            medians = [percentile(samples_ns[place.offset : place.offset + place.count], 50.0) for place in places]
            parts[name] = float(np.mean(medians))
    return parts


def _counts(processes: Sequence[ProcessResult]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for process in processes:
        for name, value in process.counts.items():
            before = counts.get(name)
            if before is None:
                counts[name] = value
            elif name in _ADDED:
                counts[name] = before + value
            elif name == "wake_lag_ns":
                counts[name] = max(before, value)
    return counts


def _p99(runs: Sequence[Samples], pooled: Samples) -> Estimate | None:
    """p99 of all samples, with the t half-width of the processes' own p99 around it."""
    value = supported(pooled, 99.0)
    if value is None:
        return None
    width = half_width([float(percentile(run, 99.0)) for run in runs])
    return Estimate(float(value), width, approximate=len(runs) < _APPROXIMATE_BELOW)
