"""All rules, applied."""

from __future__ import annotations

from edge.results.stats import Summary
from edge.results.store import Measurement
from edge.results.verdict.completeness import incomplete_state
from edge.results.verdict.conditions import clocks_floating, foreign_work, throttled, too_hot, wrong_power_mode
from edge.results.verdict.finding import Evidence, Finding, Flag, Held, Rule, Status, Verdict
from edge.results.verdict.outputs import not_fp16, parity
from edge.results.verdict.runtimes import compiled_again, not_waited
from edge.results.verdict.samples import enqueue_bound, timer_overhead, too_few_samples, two_speeds, unstable
from edge.results.watched import Watched

_RULES: tuple[Rule, ...] = (
    too_few_samples, unstable, parity, timer_overhead, foreign_work, wrong_power_mode, not_fp16, throttled,
    clocks_floating, too_hot, incomplete_state, enqueue_bound, two_speeds, not_waited, compiled_again,
)  # fmt: skip


RULES = 3
"""Raised when a rule changes, or a figure that is derived from samples: what was judged by others is judged anew."""


def judge(measurement: Measurement, summary: Summary, watched: Watched) -> Verdict:
    """Apply every rule of docs/measuring.md: one broken makes INVALID, else one without data makes UNJUDGED."""
    if measurement.origin.foreign is not None:
        return Verdict(Status.UNJUDGED, (Finding("foreign", False, measurement.origin.foreign.reason),))
    given = Evidence(measurement, summary, watched)
    answers = [answer for rule in _RULES for answer in rule(given)]
    findings = tuple(answer for answer in answers if isinstance(answer, Finding))
    flags = tuple(answer for answer in answers if isinstance(answer, Flag))
    held = tuple(answer for answer in answers if isinstance(answer, Held))
    if any(finding.broken for finding in findings):
        return Verdict(Status.INVALID, findings, flags, held)
    return Verdict(Status.UNJUDGED if findings else Status.VALID, findings, flags, held)
