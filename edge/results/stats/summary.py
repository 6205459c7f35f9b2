"""One measurement in figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from device_agents.contract import JobResult, ProcessResult
from edge.results.stats.intervals import bootstrap95, half_width
from edge.results.stats.percentiles import SUPPORT, bound, percentile, supported
from edge.results.stats.shape import Kinds, kinds, trimmed_mean
from edge.results.stats.shares import Share
from edge.results.stats.sizes import OfSize, drawn, levelled, of_sizes
from edge.results.stats.soak import Soak, soaked

if TYPE_CHECKING:
    from edge.results.stats.percentiles import Samples

_STRETCHES = 10  # of a run, for the spread within it
_ADDED = ("arrivals", "late", "dropped", "waiting")
_APPROXIMATE_BELOW = 10  # processes: under that the interval of a percentile in the tail is called approximate


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
    `trimmed_ns` is the mean of the middle 80 %, `bounds_ns` what a percentile does not exceed at 99 % confidence by
    LoadGen's early stopping, `p99_own` the p99 of a process, `p99_bootstrap_ns` the pooled one's interval by drawing
    processes, `kinds` what shows two speeds, `soak` what a load of that pattern has shown, `sizes` the figures of each
    size where they were drawn: spread, drift and kinds are then of latencies over the median of their size.
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
    p999_ns: int | None = None
    trimmed_ns: float | None = None
    bounds_ns: dict[float, int] = field(default_factory=dict)
    p99_own: Estimate | None = None
    p99_bootstrap_ns: tuple[float, float] | None = None
    kinds: Kinds | None = None
    soak: Soak | None = None
    sizes: tuple[OfSize, ...] = ()

    @property
    def within_run(self) -> bool:
        return self.processes == 1

    @property
    def late(self) -> Share | None:
        """The answers later than the time-out of a rate; None without one."""
        return Share(self.counts["late"], self.samples) if "timeout_ns" in self.counts and self.samples else None


def summarise(result: JobResult, samples_ns: Samples, batch: int, soak_bound: float | None = None) -> Summary:
    """Derive the figures of a measurement from its raw samples, int64 ns; warm-up never enters. `soak_bound` is what
    the medians of a soak may change by and be called steady, None for another load."""
    runs = [samples_ns[p.timed.offset : p.timed.offset + p.timed.count] for p in result.processes]
    pooled = np.concatenate(runs)
    medians = [float(percentile(run, 50.0)) for run in runs]
    level = levelled(result, samples_ns)
    levels = [float(np.median(run)) for run in level]
    elapsed_s = sum(process.elapsed_ns for process in result.processes) / 1e9
    streams = result.switches.get("streams", 1)
    alone = not isinstance(streams, int) or streams <= 1
    p99, p99_own = _p99(runs, pooled) if alone else (None, None)
    return Summary(
        samples=len(pooled),
        processes=len(runs),
        median=Estimate(float(np.mean(medians)), half_width(medians)) if alone else None,
        mean_ns=float(pooled.mean()) if alone else None,
        p90_ns=supported(pooled, 90.0) if alone else None,
        p95_ns=supported(pooled, 95.0) if alone else None,
        p99=p99,
        throughput_per_s=batch * len(pooled) / elapsed_s,
        spread=float(np.std(levels, ddof=1) / np.mean(levels)) if len(levels) > 1 else None,
        drift=max((drift(run) for run in level), key=abs),
        load_ns=float(np.median([process.load_ns for process in result.processes])),
        first_inference_ns=float(np.median([process.first_inference_ns for process in result.processes])),
        within=_within(level),
        parts=_parts(result.processes, samples_ns),
        counts=_counts(result.processes),
        streams=int(streams) if isinstance(streams, int) else 1,
        p999_ns=supported(pooled, 99.9) if alone else None,
        trimmed_ns=trimmed_mean(pooled) if alone else None,
        bounds_ns=_bounds(pooled) if alone else {},
        p99_own=p99_own,
        p99_bootstrap_ns=bootstrap95(runs, 99.0) if alone and len(pooled) >= SUPPORT[99.0] else None,
        kinds=kinds(np.concatenate(level)) if alone else None,
        soak=None if soak_bound is None else soaked(runs, elapsed_s / len(runs), soak_bound),
        sizes=of_sizes(drawn(result, samples_ns)),
    )


def _bounds(samples_ns: Samples) -> dict[float, int]:
    """By the percentiles that are given, what each does not exceed; as far as the samples support that."""
    found = {p: bound(samples_ns, p) for p in SUPPORT if p > 50.0}
    return {p: value for p, value in found.items() if value is not None}


def milliseconds(ns: float) -> str:
    """Three significant digits or two decimals, whichever says more."""
    ms = ns / 1e6
    return f"{ms:.3g}" if ms < 1 else f"{ms:.2f}"


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


def _p99(runs: Sequence[Samples], pooled: Samples) -> tuple[Estimate | None, Estimate | None]:
    """p99 of all samples, with the t half-width of the processes' own p99 around it; and the mean of those with the
    same half-width, which holds a process' p99 in 95 % of trials. Where processes differ more than their samples do,
    the two lie apart, and the first is approximate however many there are."""
    value = supported(pooled, 99.0)
    if value is None:
        return None, None
    own = [float(percentile(run, 99.0)) for run in runs]
    width, mean = half_width(own), float(np.mean(own))
    apart = width is not None and abs(value - mean) > width / 2
    pooled_one = Estimate(float(value), width, approximate=apart or len(runs) < _APPROXIMATE_BELOW)
    return pooled_one, Estimate(mean, width) if width is not None else None
