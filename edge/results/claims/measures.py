"""What a claim may be of: for each measure of `profiles.claim_schema` the function that has its figure, with a 95 %
interval, from one measurement, and from others beside it where those are its references. Figures are in the measure's
own unit, which its name ends in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from statistics import fmean

from edge.results import overhead
from edge.results.claims.reading import Measurements, Read
from edge.results.energy import Energy, NotKnown
from edge.results.ratios import welch
from edge.results.stats import Estimate, half_width, percentile
from profiles.claim_schema import OVERHEAD

_OVERLAP = "inferences overlap, so a latency is none"


@dataclass(frozen=True)
class Figure:
    """`low` and `high` bound the 95 % interval; None where one process says nothing of the next."""

    value: float
    low: float | None = None
    high: float | None = None
    approximate: bool = False


def around(per_process: Sequence[float]) -> Figure:
    """The mean of the processes' figures with its Student t interval."""
    value, width = fmean(per_process), half_width(per_process)
    return Figure(value) if width is None else Figure(value, value - width, value + width)


def _mean_ms(read: Read, _: Measurements) -> Figure | NotKnown:
    if read.summary.median is None:
        return NotKnown(_OVERLAP)
    return around([float(run.mean()) / 1e6 for run in read.runs])


def _median_ms(read: Read, _: Measurements) -> Figure | NotKnown:
    return _of(read.summary.median, _OVERLAP)


def _p99_ms(read: Read, _: Measurements) -> Figure | NotKnown:
    return _of(read.summary.p99, f"{read.summary.samples} samples do not support a p99, which takes 662")


def _of(estimate: Estimate | None, why: str) -> Figure | NotKnown:
    if estimate is None:
        return NotKnown(why)
    value, width = estimate.value_ns / 1e6, estimate.half_width_ns
    if width is None:
        return Figure(value)
    return Figure(value, value - width / 1e6, value + width / 1e6, estimate.approximate)


def _throughput(read: Read, _: Measurements) -> Figure:
    batch = read.measurement.cell.batch
    processes = read.measurement.result.processes
    return around([batch * one.timed.count / (one.elapsed_ns / 1e9) for one in processes])


def _energy(read: Read, _: Measurements) -> Figure | NotKnown:
    batch = read.measurement.cell.batch
    found = read.judged.energy
    return around([joules / batch for joules in found.per_process_j]) if isinstance(found, Energy) else found


def ratio(baseline: Read, variant: Read) -> Figure | NotKnown:
    """The time of the variant over that of the baseline, of the processes' medians, as `compare` has it."""
    if baseline.summary.median is None or variant.summary.median is None:
        return NotKnown(_OVERLAP)
    base, other = ([float(percentile(run, 50.0)) for run in one.runs] for one in (baseline, variant))
    found = welch(base, other)
    return Figure(found.value, found.low, found.high)


def _overhead(read: Read, among: Measurements) -> Figure | NotKnown:
    """As a share: 0.03 is 3 % more than the same sizes take alone."""
    if not overhead.draws(read.judged):
        return NotKnown("no sizes were drawn")
    candidates = [one.judged for one in among.like(read.measurement)]
    found = overhead.of(read.judged, candidates, among.samples)
    if found.overall is None:
        return NotKnown("; ".join(found.missing))
    value, low, high = (None if end is None else end - 1 for end in astuple(found.overall)[:3])
    return Figure(value or 0.0, low, high)


Of = Callable[[Read, Measurements], "Figure | NotKnown"]

MEASURED: Mapping[str, Of] = {
    "latency_mean_ms": _mean_ms,
    "latency_median_ms": _median_ms,
    "latency_p99_ms": _p99_ms,
    "throughput_images_per_s": _throughput,
    "energy_j_per_image": _energy,
    OVERHEAD: _overhead,
}
"""All measures of one measurement; `time_ratio` is of two, `compile_share` of none."""
