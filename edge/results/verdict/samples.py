"""Rules about the samples themselves."""

from __future__ import annotations

from collections.abc import Iterable

from edge.results.stats import SUPPORT, milliseconds
from edge.results.verdict.finding import Answer, Evidence, Finding, Flag, Held, beside, compared, plain

_TIMER_SHARE = 0.01
_TIMER_NS = 2_000
_ENQUEUE_SHARE = 0.8  # trtexec warns when enqueueing takes longer than computing
_SAMPLES = "the samples"


def too_few_samples(given: Evidence) -> Iterable[Answer]:
    count, needed = given.summary.samples, SUPPORT[50.0]
    if count < needed:
        yield Finding("too_few_samples", True, f"{count} samples do not support a median ({needed} would)", _SAMPLES)
    else:
        yield Held("too_few_samples", f"{count} samples, {needed} support a median", _SAMPLES)


def unstable(given: Evidence) -> Iterable[Answer]:
    summary, limits = given.summary, given.limits
    if given.soaks:
        yield Held("unstable", "not asked of a soak, which is there to see it", _SAMPLES)
        return
    if summary.spread is not None:
        yield compared("unstable", summary.spread, limits.spread, "the processes' medians vary by {}", _SAMPLES)
    change = beside(limits.drift, summary.drift)
    what = f"{'' if summary.drift < 0 else '+'}{change} from the first to the last quarter of a process"
    if abs(summary.drift) > limits.drift:
        yield Finding("unstable", True, f"{what}, over {plain(limits.drift)}", _SAMPLES)
    else:
        yield Held("unstable", f"{what}, at most {plain(limits.drift)}", _SAMPLES)


def timer_overhead(given: Evidence) -> Iterable[Answer]:
    """At a rate the interval begins with the arrival, so how late we woke to it is inside."""
    processes, median = given.measurement.result.processes, given.summary.median
    overhead_ns = max(process.timer_overhead_ns + process.counts.get("wake_lag_ns", 0) for process in processes)
    if median is None:
        return
    share, source = overhead_ns / median.value_ns, "a backend that does nothing"
    told = f"the clock costs {overhead_ns} ns a sample, {share:.1%} of the median"
    if overhead_ns > _TIMER_NS and share > _TIMER_SHARE:
        yield Finding("timer_overhead", True, told, source)
    else:
        yield Held("timer_overhead", f"{told}; up to {_TIMER_NS} ns or {plain(_TIMER_SHARE)} are no matter", source)


def enqueue_bound(given: Evidence) -> Iterable[Answer]:
    enqueue_ns, compute_ns = (given.summary.parts.get(name, 0.0) for name in ("enqueue", "compute"))
    if enqueue_ns > _ENQUEUE_SHARE * compute_ns > 0:
        reason = (
            f"enqueueing takes {enqueue_ns / compute_ns:.2f} times as long as computing, so the host may set the pace"
        )
        yield Flag("enqueue_bound", f"{reason}; a CUDA graph or a larger batch helps")


def two_speeds(given: Evidence) -> Iterable[Answer]:
    kinds = given.summary.kinds
    if kinds is not None and not given.soaks and given.measurement.cell.pattern.kind != "rate":
        reason = (
            f"{1 - kinds.slow_share:.0%} of the inferences take {milliseconds(kinds.fast_ns)} ms and "
            f"{kinds.slow_share:.0%} take {milliseconds(kinds.slow_ns)} ms, with few in between"
        )
        yield Flag("two_speeds", f"{reason}; no mean says that, and clocks that are locked may end it")
