"""What it costs that a size is not known before: the time at drawn sizes over that of the same sizes compiled alone.

Of the load pattern `sizes:` each inference has a size; the ordinary serial measurements of the same request, one a
size, are the references. Figures are medians, intervals are over processes, as in a comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device_agents.contract import LoadPattern
from edge.planning import references
from edge.results.judged import Judged
from edge.results.likeness import differences
from edge.results.ratios import Ratio, welch
from edge.results.stats import OfSize, drawn, of_sizes, percentile
from edge.results.store import Measurement
from edge.results.verdict import Status
from export.request import FREE_HEIGHT, FREE_WIDTH

Samples = NDArray[np.int64]
Read = Callable[[Measurement], Samples]
"""All samples of a measurement, int64, such as `Store.samples_ns`."""

_Run = Mapping[int, Samples]
"""Of a process, its latencies by size."""

_SIDES = (FREE_HEIGHT, FREE_WIDTH)
_MEANT = {"pattern", "size", "static", "options"}  # in these a reference differs


@dataclass(frozen=True)
class Bucket(OfSize):
    """The inferences of one size with the median of the static reference in ns, whose id `static` is, and the overhead.
    `missing` says why there is none."""

    static: str | None = None
    static_ns: float | None = None
    overhead: Ratio | None = None
    missing: str = ""


@dataclass(frozen=True)
class Overhead:
    """Of the measurement `id`. `overall` is the time of all inferences over that of the static references, each size
    as often as it was drawn: 1.03 is 3 % more. It is None where something is `missing`, a sentence each."""

    id: str
    buckets: tuple[Bucket, ...]
    overall: Ratio | None
    missing: tuple[str, ...] = ()


def draws(judged: Judged) -> bool:
    """Whether it is a measurement of drawn sizes, of which `of` makes an overhead."""
    processes = judged.measurement.result.processes
    return bool(processes) and all(process.sizes is not None for process in processes)


def of(dynamic: Judged, candidates: Iterable[Judged], samples: Read, *, invalid: bool = False) -> Overhead:
    """The overhead of a measurement of drawn sizes (`draws`). `candidates` are any measurements; those that are static
    references of it are found among them, of the same run before others, the newest first. What is INVALID enters only
    where `invalid` ones are wanted, and is missing otherwise. Errors: ResultError for damaged samples."""
    runs = drawn(dynamic.measurement.result, samples(dynamic.measurement))
    sizes, known = of_sizes(runs), _references(dynamic.measurement, candidates)
    found = {one.size: _choose(known.get(one.size, ()), invalid=invalid) for one in sizes}
    statics = {size: _medians(one, samples(one)) for size, (one, _) in found.items() if one is not None}
    buckets = tuple(_bucket(one, runs, *found[one.size], statics.get(one.size)) for one in sizes)
    missing = [f"{bucket.size} px: {bucket.missing}" for bucket in buckets if bucket.missing]
    if dynamic.verdict.status is Status.INVALID and not invalid:
        missing.insert(0, f"the measurement of drawn sizes is {dynamic.verdict.short}")
    return Overhead(dynamic.measurement.id, buckets, None if missing else _overall(runs, statics), tuple(missing))


def size_of(measurement: Measurement) -> int | None:
    """One side of the images, in pixels, of a measurement of one size; None where they are no squares, or not known."""
    size = measurement.cell.size or measurement.origin.size
    return size[0] if size is not None and size[0] == size[1] else None


def _references(dynamic: Measurement, candidates: Iterable[Judged]) -> dict[int, list[Judged]]:
    """By size, the best last."""
    found: dict[int, list[Judged]] = {}
    for one in candidates:
        size = size_of(one.measurement)
        if size is not None and _is_reference(one.measurement, dynamic):
            found.setdefault(size, []).append(one)
    for its in found.values():
        its.sort(key=lambda one: (_nearness(one.measurement, dynamic), one.measurement.result.started_at))
    return found


def _nearness(one: Measurement, dynamic: Measurement) -> tuple[bool, bool]:
    return one.run == dynamic.run, one.cell.repeat == dynamic.cell.repeat


def _is_reference(one: Measurement, dynamic: Measurement) -> bool:
    cell, other = one.cell, dynamic.cell
    return (
        (cell.device, cell.model, cell.framework, cell.backend)
        == (other.device, other.model, other.framework, other.backend)
        and cell.pattern == LoadPattern()
        and references.is_static(cell)
        and references.static_options(cell) == references.static_options(other)
        and cell.build == other.build
        and bool(one.result.processes)
        and not _is_free(one)
        and all(difference.name in _MEANT for difference in differences(one, dynamic))
    )


def _is_free(one: Measurement) -> bool:
    """Whether its engine takes more than the one size."""
    profiles = one.result.engine.report.profiles if one.result.engine is not None else ()
    return any(side in profile and profile[side].min < profile[side].max for profile in profiles for side in _SIDES)


def _choose(known: Sequence[Judged], *, invalid: bool) -> tuple[Measurement | None, str]:
    """The best that may be compared, or why there is none."""
    sound = [one for one in known if invalid or one.verdict.status is not Status.INVALID]
    if sound:
        return sound[-1].measurement, ""
    if known:
        return None, f"its static reference {known[-1].measurement.id} is {known[-1].verdict.short}"
    return None, "no static reference of it was measured"


def _medians(measurement: Measurement, samples: Samples) -> list[float]:
    places = [process.timed for process in measurement.result.processes]
    return [float(percentile(samples[place.offset : place.offset + place.count], 50.0)) for place in places]


def _bucket(
    of_size: OfSize, runs: Sequence[_Run], one: Measurement | None, why: str, statics: Sequence[float] | None
) -> Bucket:
    size, count, median_ns = of_size.size, of_size.samples, of_size.median_ns
    if one is None or statics is None:
        return Bucket(size, count, median_ns, missing=why)
    medians = [float(percentile(run[size], 50.0)) for run in runs if size in run]
    return Bucket(size, count, median_ns, one.id, float(np.mean(statics)), welch(statics, medians))


def _overall(runs: Sequence[_Run], statics: Mapping[int, Sequence[float]]) -> Ratio:
    """Each process' time at the sizes that it drew over what they would have taken by the references; those vary, too:
    their processes, one of each size together, over the same. Where they are unlike many, none are together: there is
    no interval then."""
    means = {size: float(np.mean(its)) for size, its in statics.items()}
    ours = [
        sum(len(run) * percentile(run, 50.0) for run in its.values())
        / sum(len(run) * means[size] for size, run in its.items())
        for its in runs
    ]
    return welch(_varied(runs, statics, means), ours)


def _varied(
    runs: Sequence[_Run], statics: Mapping[int, Sequence[float]], means: Mapping[int, float]
) -> Sequence[float]:
    """What the references' processes take of what they take in the mean, each size as often as it was drawn."""
    processes = {len(its) for its in statics.values()}
    if len(processes) > 1:
        return [1.0]
    counts = {size: sum(len(its[size]) for its in runs if size in its) for size in statics}
    whole = sum(count * means[size] for size, count in counts.items())
    return [sum(counts[size] * its[index] for size, its in statics.items()) / whole for index in range(max(processes))]
