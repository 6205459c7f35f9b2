"""Whether a measurement can be trusted: VALID, INVALID with reasons, or UNJUDGED with the rules that had no data.

Every rule gets the measurement and its summary, and answers with findings; thresholds travel with the measurement,
fixed when it was made.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from device_agents.contract import Precision
from edge.results.layers import layers_of, precision_shares
from edge.results.stats import SUPPORT, Summary
from edge.results.store import Measurement
from edge.results.watched import Watched

RULES = 1
"""Raised when a rule changes, or a figure that is derived from samples: what was judged by others is judged anew."""

_TIMER_SHARE = 0.01
_TIMER_NS = 2_000
_DECIMALS = 6  # of a percentage, at most
_FP16_SHARE = 0.5  # of the computing: what must stay FP32 (softmax, norms, a node that overflows) is far less
_ENQUEUE_SHARE = 0.8  # trtexec warns when enqueueing takes longer than computing


class Status(str, enum.Enum):
    VALID = "VALID"
    INVALID = "INVALID"
    UNJUDGED = "UNJUDGED"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Finding:
    """A rule that was broken (`broken`) or could not be applied, and why."""

    rule: str
    broken: bool
    reason: str


@dataclass(frozen=True)
class Flag:
    """Something to know about a measurement that does not make it less true."""

    name: str
    reason: str


@dataclass(frozen=True)
class Verdict:
    status: Status
    findings: tuple[Finding, ...]
    flags: tuple[Flag, ...] = ()

    @property
    def broken(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.broken)

    @property
    def unjudged(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if not finding.broken)

    @property
    def short(self) -> str:
        """`INVALID unstable, foreign_work` for a table's cell."""
        names = ", ".join(dict.fromkeys(finding.rule for finding in self.broken))
        return f"{self.status} {names}".strip()


def judge(measurement: Measurement, summary: Summary, watched: Watched) -> Verdict:
    """Apply every rule of docs/measuring.md: one broken makes INVALID, else one without data makes UNJUDGED."""
    findings = tuple(finding for rule in _RULES for finding in rule(measurement, summary))
    findings += tuple(_not_watched(watched))
    flags = tuple(_flags(summary))
    if any(finding.broken for finding in findings):
        return Verdict(Status.INVALID, findings, flags)
    return Verdict(Status.UNJUDGED if findings else Status.VALID, findings, flags)


Rule = Callable[[Measurement, Summary], Iterable[Finding]]


def _too_few_samples(_: Measurement, summary: Summary) -> Iterable[Finding]:
    if summary.samples < SUPPORT[50.0]:
        yield Finding("too_few_samples", True, f"{summary.samples} samples do not support a median (11 would)")


def _unstable(measurement: Measurement, summary: Summary) -> Iterable[Finding]:
    limits = measurement.origin.thresholds
    if summary.spread is not None and summary.spread > limits.spread:
        spread = _beside(limits.spread, summary.spread)
        reason = f"the processes' medians vary by {spread}, over {_plain(limits.spread)}"
        yield Finding("unstable", True, reason)
    if abs(summary.drift) > limits.drift:
        change = _beside(limits.drift, summary.drift, "+")
        reason = f"{change} from the first to the last quarter of a process, over {_plain(limits.drift)}"
        yield Finding("unstable", True, reason)


def _beside(limit: float, share: float, sign: str = "", decimals: int = 1) -> str:
    """`10.04%`, where the limit is 10%: with as many decimals as it takes to tell the two apart."""
    while decimals < _DECIMALS and f"{abs(share):.{decimals}%}" == f"{limit:.{decimals}%}":
        decimals += 1
    return f"{share:{sign}.{decimals}%}"


def _plain(share: float) -> str:
    return f"{share * 100:g}%"


def _parity(measurement: Measurement, _: Summary) -> Iterable[Finding]:
    for process in measurement.result.processes:
        checks = {"before": process.parity_before, "after": process.parity_after}
        if process.warmup_stable is None:  # a tool with a loop of its own: it shows its outputs once, after it
            del checks["before"]
        if None in checks.values():
            yield Finding("parity_unknown", False, _why_unknown(measurement))
            return
        for when, check in checks.items():
            if check is not None and not check.passed:
                reason = f"{check.tensor} is off by {check.error:.2g} {when} timing, over {check.limit:.2g}"
                yield Finding("parity_failed", True, reason)
                return


def _why_unknown(measurement: Measurement) -> str:
    """Why no outputs were compared, as well as it is known."""
    told = measurement.result.context.get("parity")
    if told is not None and told.unknown:
        return told.unknown
    own = measurement.origin.inputs
    if own is not None and not own.checked:
        return f"no outputs were compared; the reference for the operator's data: {own.reference}"
    size = measurement.cell.size
    which = f" for {size[0]}x{size[1]}" if size else ""
    shows = f"{measurement.cell.backend} shows no outputs"
    return f"no outputs were compared: the artifact has no reference{which}, or {shows}"


def _timer_overhead(measurement: Measurement, summary: Summary) -> Iterable[Finding]:
    """At a rate the interval begins with the arrival, so how late we woke to it is inside."""
    overhead_ns = max(
        process.timer_overhead_ns + process.counts.get("wake_lag_ns", 0) for process in measurement.result.processes
    )
    if summary.median is None:
        return
    if overhead_ns > _TIMER_NS and overhead_ns > _TIMER_SHARE * summary.median.value_ns:
        share = overhead_ns / summary.median.value_ns
        yield Finding("timer_overhead", True, f"the clock costs {overhead_ns} ns a sample, {share:.1%} of the median")


def _foreign_work(measurement: Measurement, _: Summary) -> Iterable[Finding]:
    limit = measurement.origin.thresholds.foreign_work
    readings = [process.state.get("busy_share_idle_window_before") for process in measurement.result.processes]
    shares = [reading.value for reading in readings if reading is not None and isinstance(reading.value, float)]
    if len(shares) < len(readings):
        yield Finding("foreign_work", False, "the idle window before the measurement could not be read")
    elif max(shares) > limit:
        busy = _beside(limit, max(shares), decimals=0)
        yield Finding("foreign_work", True, f"the device was {busy} busy before timing, over {_plain(limit)}")


def _wrong_power_mode(measurement: Measurement, _: Summary) -> Iterable[Finding]:
    if measurement.origin.power_mode is None:
        return
    reading = measurement.result.identity.get("power_mode")
    if reading is None or reading.value is None:
        yield Finding("wrong_power_mode", False, (reading and reading.unknown) or "no reading of the power mode")
    elif reading.value != measurement.origin.power_mode:
        reason = f"{reading.value}, the profile expects {measurement.origin.power_mode}"
        yield Finding("wrong_power_mode", True, reason)


def _not_fp16(measurement: Measurement, _: Summary) -> Iterable[Finding]:
    """Asked for FP16, at least half of the computing must be in it; layers of unclear precision count for neither."""
    if measurement.cell.precision is not Precision.FP16:
        return
    shares = precision_shares(layers_of(measurement.result))
    if shares is None or shares.unclear > 1 - 1e-9:
        yield Finding("not_fp16", False, f"{measurement.cell.backend} does not tell the precision of its layers")
    elif shares.of("fp16") + shares.unclear < _FP16_SHARE:
        yield Finding("not_fp16", True, f"asked for FP16, the engine computes in {shares}")
    elif shares.of("fp16") < _FP16_SHARE:
        yield Finding("not_fp16", False, f"too much of the engine is unclear: {shares}")


def _flags(summary: Summary) -> Iterable[Flag]:
    enqueue_ns, compute_ns = (summary.parts.get(name, 0.0) for name in ("enqueue", "compute"))
    if enqueue_ns > _ENQUEUE_SHARE * compute_ns > 0:
        reason = (
            f"enqueueing takes {enqueue_ns / compute_ns:.2f} times as long as computing, so the host may set the pace"
        )
        yield Flag("enqueue_bound", f"{reason}; a CUDA graph or a larger batch helps")


def _not_watched(watched: Watched) -> Iterable[Finding]:
    """Rules of the design that are not applied yet."""
    for rule in ("throttled", "clocks_floating", "too_hot", "incomplete_state"):
        yield Finding(rule, False, watched.why_unknown(rule))


_RULES: tuple[Rule, ...] = (
    _too_few_samples, _unstable, _parity, _timer_overhead, _foreign_work, _wrong_power_mode, _not_fp16,
)  # fmt: skip
