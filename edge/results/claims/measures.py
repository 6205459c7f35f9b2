"""What a claim may be of: for each measure of `profiles.claim_schema` the function that has its figure, with a 95 %
interval, from one measurement, and from others beside it where those are its references. Figures are in the measure's
own unit, which its name ends in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from statistics import fmean

from device_agents.contract import Accuracy
from edge.report import rows
from edge.results import cost as costs
from edge.results import loading, memory, overhead
from edge.results.claims.reading import Measurements, Read
from edge.results.energy import Energy, NotKnown
from edge.results.ratios import welch
from edge.results.stats import Estimate, Share, half_width, percentile
from edge.results.store import Measurement
from profiles.claim_schema import OVERHEAD

_UNLABELLED = "no labelled images went through it: deploy --dataset DIR sends them"
_OVERLAP = "inferences overlap, so a latency is none"


@dataclass(frozen=True)
class Figure:
    """`low` and `high` bound the 95 % interval; None where one process says nothing of the next. `note` says what the
    figure is of where a measurement has several."""

    value: float
    low: float | None = None
    high: float | None = None
    approximate: bool = False
    note: str = ""


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


def cold_s(read: Read, _: Measurements) -> Figure | NotKnown:
    """From the start of a process to its first answer, nothing cached."""
    found = loading.of(read.measurement)
    return found if isinstance(found, NotKnown) else _start(found.cold, "cold", "no process started cold")


def warm_s(read: Read, _: Measurements) -> Figure | NotKnown:
    """The same with the files of model and runtime in the page cache, and what is compiled kept."""
    found = loading.of(read.measurement)
    return found if isinstance(found, NotKnown) else _start(found.warm, "warm", "no process started warm")


def _load_s(read: Read, among: Measurements) -> Figure | NotKnown:
    """Cold where a process started so, else warm."""
    cold = cold_s(read, among)
    return cold if isinstance(cold, Figure) else warm_s(read, among)


def _start(found: loading.Start | None, note: str, why: str) -> Figure | NotKnown:
    if found is None:
        return NotKnown(why)
    value, width = found.total_s, found.half_width_s
    if width is None:
        return Figure(value, note=note)
    return Figure(value, value - width, value + width, note=note)


def _memory(read: Read, _: Measurements) -> Figure | NotKnown:
    """What the device held at its most, where it tells; else the process."""
    found = memory.of(read.measurement)
    if isinstance(found, NotKnown):
        return found
    if found.device is None:
        return Figure(float(found.process), note="of the process")
    return Figure(float(found.device), note="of the device")


def top1(read: Read, _: Measurements) -> Figure | NotKnown:
    """Of the operator's labelled images, as a share; the interval is Wilson's."""
    found = accuracy_of(read.measurement)
    return NotKnown(_UNLABELLED) if found is None else _share(rows.top1(found), "")


def _top5(read: Read, _: Measurements) -> Figure | NotKnown:
    found = accuracy_of(read.measurement)
    return NotKnown(_UNLABELLED) if found is None else _share(rows.top5(found), "its classes are five or fewer")


def _late(read: Read, _: Measurements) -> Figure | NotKnown:
    """Of the answers of a rate, those later than its time-out."""
    return _share(read.summary.late, "the load had no time-out")


def _share(found: Share | None, why: str) -> Figure | NotKnown:
    return NotKnown(why) if found is None else Figure(found.value, *found.interval)


def accuracy_of(measurement: Measurement) -> Accuracy | None:
    return next((one.accuracy for one in measurement.result.processes if one.accuracy is not None), None)


def cost(read: Read, _: Measurements) -> Figure | NotKnown:
    """Of a million images; the note is the currency."""
    found = costs.of(read.measurement, read.summary)
    return found if isinstance(found, NotKnown) else Figure(found.per_million_images, note=found.price.currency)


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
    "top1_share": top1,
    "top5_share": _top5,
    "late_share": _late,
    "load_s": _load_s,
    "memory_bytes": _memory,
    OVERHEAD: _overhead,
}
"""All measures of one measurement; `time_ratio` is of two, `compile_share` of none."""
