"""Which INVALID measurements are worth another try, and which of several counts."""

from __future__ import annotations

import pytest

from edge.results.verdict import Finding, Status, Verdict
from edge.running.repeating import counting, is_worth_repeating


def verdict(*rules: str) -> Verdict:
    return Verdict(Status.INVALID, tuple(Finding(rule, True, "why") for rule in rules))


@pytest.mark.parametrize("rule", ["unstable", "foreign_work", "throttled", "clocks_floating", "too_hot"])
def test_what_may_pass_is_repeated_as_often_as_is_said(rule: str) -> None:
    assert is_worth_repeating(verdict(rule), 0, 1)
    assert not is_worth_repeating(verdict(rule), 1, 1)
    assert not is_worth_repeating(verdict(rule), 0, 0)


@pytest.mark.parametrize("rule", ["parity_failed", "not_fp16", "wrong_power_mode", "timer_overhead", "too_few_samples"])
def test_what_will_be_so_again_is_not(rule: str) -> None:
    assert not is_worth_repeating(verdict(rule), 0, 5)
    assert not is_worth_repeating(verdict("unstable", rule), 0, 5)


@pytest.mark.parametrize("status", [Status.VALID, Status.UNJUDGED])
def test_what_is_not_invalid_is_not(status: Status) -> None:
    assert not is_worth_repeating(Verdict(status, (Finding("throttled", False, "why"),)), 0, 5)


def test_of_invalid_ones_the_least_broken_counts_and_of_equals_the_latest() -> None:
    assert counting({"a": ("unstable", "too_hot"), "b": ("too_hot",), "c": ("unstable", "throttled")}) == "b"
    assert counting({"a": ("unstable",), "b": ("too_hot",)}) == "b"
