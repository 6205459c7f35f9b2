"""B against A: ratios with intervals, and what they say of a threshold.

A comparison is of two sides whose requests are alike but for what is compared across; the answer is a ratio with its
95 % interval, never two numbers.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

from device_agents.contract import Word
from edge.results.energy import COUNTER, Energy
from edge.results.judged import Judged
from edge.results.likeness import DEVICE, check_alike, label, one_sided, request_key, value_of
from edge.results.ratios import Ratio, around, welch
from edge.results.sides import Side
from profiles.errors import ConfigError

T = TypeVar("T", bound=Judged)

MEDIAN, THROUGHPUT = "median", "throughput"  # what the time is taken from

_APPROXIMATE_BELOW = 10  # processes: under that the interval of a percentile in the tail is called approximate


class Finding(Word):
    """Of the time that B takes: `slower` and `faster` where the whole interval lies on that side of 1, `no_difference`
    where it holds 1, `within_run` where one process a side says nothing of the next."""

    SLOWER = "slower"
    FASTER = "faster"
    NO_DIFFERENCE = "no difference shown"
    WITHIN_RUN = "within run"


class Standing(Word):
    """Of the threshold: `regression` where the whole interval lies beyond it, `kept` where none of it does, `undecided`
    where it lies on both sides, `not_judged` where there is no interval."""

    REGRESSION = "regression"
    KEPT = "kept"
    UNDECIDED = "undecided"
    NOT_JUDGED = "not judged"


@dataclass(frozen=True)
class Comparison:
    """B over A of one request: by the median time (`time`; the inverse of the throughput where inferences overlap), the
    99th percentile, the throughput and the joules an inference, None for what is not known of both. `how` says where
    the interval of `time` comes from; `notes` are what else is unlike."""

    label: str
    name_a: str
    name_b: str
    ids_a: tuple[str, ...]
    ids_b: tuple[str, ...]
    time: Ratio
    by: str
    p99: Ratio | None
    throughput: Ratio | None
    energy: Ratio | None
    threshold: float
    how: str
    notes: tuple[str, ...] = ()

    @property
    def finding(self) -> Finding:
        if self.time.low is None or self.time.high is None:
            return Finding.WITHIN_RUN
        if self.time.low > 1:
            return Finding.SLOWER
        return Finding.FASTER if self.time.high < 1 else Finding.NO_DIFFERENCE

    @property
    def standing(self) -> Standing:
        if self.time.low is None or self.time.high is None:
            return Standing.NOT_JUDGED
        beyond = 1 + self.threshold
        if self.time.low > beyond:
            return Standing.REGRESSION
        return Standing.KEPT if self.time.high <= beyond else Standing.UNDECIDED


def compare(a: Side, b: Side, *, threshold: float, across: Collection[str], invalid: bool) -> Comparison:
    """Errors: ConfigError for sides that are unlike in what is not compared across, and for INVALID measurements unless
    `invalid` ones are to be compared, too."""
    pairs = [(a.measurements[0], other) for other in (*a.measurements[1:], *b.measurements)]
    check_alike(pairs, across)
    if not invalid:
        _check_valid(a, b)
    time, by = (
        (welch(a.medians_ns, b.medians_ns), MEDIAN)
        if a.medians_ns and b.medians_ns
        else (welch(a.throughputs, b.throughputs).inverse, THROUGHPUT)
    )
    names = _names(a, b, across)
    counts = f"{len(a.throughputs)} and {len(b.throughputs)} processes"
    return Comparison(
        label=label(a.cell, across),
        name_a=names[0],
        name_b=names[1],
        ids_a=a.ids,
        ids_b=b.ids,
        time=time,
        by=by,
        p99=tail(a, b),
        throughput=welch(a.throughputs, b.throughputs),
        energy=welch(a.joules, b.joules) if a.joules and b.joules else None,
        threshold=threshold,
        how=counts,
        notes=tuple(notes(a, b, across)),
    )


def tail(a: Side, b: Side) -> Ratio | None:
    """Of the 99th percentiles of all samples, with Welch's interval of the processes' own around it."""
    if a.p99_ns is None or b.p99_ns is None:
        return None
    centre, own = math.log(b.p99_ns / a.p99_ns), welch(a.p99s_ns, b.p99s_ns)
    if own.low is None or own.high is None:
        return Ratio(math.exp(centre))
    approximate = min(len(a.p99s_ns), len(b.p99s_ns)) < _APPROXIMATE_BELOW
    return around(centre, math.log(own.high / own.low) / 2, approximate=approximate)


def match(
    a: Sequence[T], b: Sequence[T], across: Collection[str], names: tuple[str, str] = ("A", "B")
) -> tuple[list[tuple[list[T], list[T]]], list[str]]:
    """Measurements of A and of B whose requests are alike, and sentences about what has no partner, in which the sides
    have these names. One request on either side is a pair, whatever differs: `compare` says what. Errors: ConfigError
    where nothing has a partner, or where it is not clear which one."""
    ours, theirs = _by_request(a, across, names[0]), _by_request(b, across, names[1])
    if len(ours) == len(theirs) == 1:
        return [(list(a), list(b))], []
    both = [key for key in ours if key in theirs]
    if not both:
        fix = "name what differs: --across framework, precision, batch, ..., or measurements by their ids"
        where = f"{names[0]} and {names[1]}"
        raise ConfigError(f"no request of {names[0]} was measured in {names[1]}", where=where, fix=fix)
    left = [(names[0], ours[key]) for key in ours if key not in theirs]
    left += [(names[1], theirs[key]) for key in theirs if key not in ours]
    alone = [f"in {side} alone, and not compared: {label(its[0].measurement.cell)}" for side, its in left]
    return [(ours[key], theirs[key]) for key in both], alone


def notes(a: Side, b: Side, across: Collection[str]) -> list[str]:
    """What else is unlike, and does not keep anybody from comparing."""
    one, other = a.measurements[0].measurement, b.measurements[0].measurement
    found = []
    if one.origin.artifact != other.origin.artifact and not {"model", "framework", "precision"} & set(across):
        found.append("A and B ran different artifacts of the model")
    engines = [m.result.engine.report.file.sha256 if m.result.engine else "" for m in (one, other)]
    if DEVICE in across and all(engines) and engines[0] != engines[1]:
        found.append("each device ran an engine of its own: the ratio is of boards and engines")
    if one.cell.timing != other.cell.timing:
        found.append("A and B were timed for other lengths")
    meters = [_meters(side) for side in (a, b)]
    if a.joules and b.joules and meters[0] != meters[1]:
        found.append(f"joules are of {meters[0]} (A) and of {meters[1]} (B)")
    unknown = [] if DEVICE in across else one_sided(one, other)
    if unknown:
        found.append(f"known of one side alone: {', '.join(unknown)}")
    return found


def _meters(side: Side) -> str:
    """What told a side's joules: each sensor once, with what was read of it."""
    known = [one.energy for one in side.measurements if isinstance(one.energy, Energy)]
    told = (f"{one.source}, its {'counter' if one.of == COUNTER else 'power'}" for one in known)
    return " and ".join(sorted(set(told)))


def _by_request(judged: Sequence[T], across: Collection[str], side: str) -> dict[str, list[T]]:
    found: dict[str, list[T]] = {}
    for one in judged:
        found.setdefault(request_key(one.measurement.cell, across), []).append(one)
    for its in found.values():
        for axis in across:
            values = dict.fromkeys(value_of(one.measurement, axis) for one in its)
            if len(values) > 1:
                fix = "name one of them by its id"
                raise ConfigError(f"{side} has measurements of {axis} {' and '.join(values)}", where=side, fix=fix)
    return found


def _check_valid(a: Side, b: Side) -> None:
    broken = [one for side in (a, b) for one in side.invalid]
    if broken:
        why = "; ".join(f"{one.measurement.id} is {one.verdict.short}" for one in broken)
        fix = "measure again, or compare all the same with --include-invalid"
        raise ConfigError(why, where=label(a.cell), fix=fix)


def _names(a: Side, b: Side, across: Collection[str]) -> tuple[str, str]:
    """What tells the sides apart: the values of what is compared across, else when they were measured."""
    one, other = a.measurements[0].measurement, b.measurements[0].measurement
    words = [(value_of(one, axis), value_of(other, axis)) for axis in across]
    unlike = [pair for pair in words if pair[0] != pair[1]]
    if unlike:
        return " ".join(pair[0] for pair in unlike), " ".join(pair[1] for pair in unlike)
    return one.result.started_at[:19], other.result.started_at[:19]
