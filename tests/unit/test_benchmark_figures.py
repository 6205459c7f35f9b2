"""What the benchmarks make of their trials: rates with what they leave out, and a ratio with its interval."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.peers_timing import agreement, order
from benchmarks.verdict import IDLE_BELOW, row, table


def outcome(verdict: str, *rules: str, elsewhere: float = 0.0) -> dict[str, object]:
    return {"verdict": verdict, "rules": list(rules), "elsewhere": elsewhere}


def test_a_false_alarm_counts_only_where_the_machine_was_idle() -> None:
    busy = outcome("INVALID", "foreign_work", elsewhere=2 * IDLE_BELOW)
    made = row("idle", [outcome("VALID")] * 20 + [busy] * 5, "")
    assert (made["trials"], made["left_out"], made["rate"], made["holds"]) == (20, 5, 0.0, True)
    assert row("idle", [outcome("VALID")] * 9 + [outcome("INVALID", "unstable")], "")["holds"] is False
    assert row("idle", [busy], "")["rate"] is None
    assert "5 left out, as others worked here" in table([made])


def test_a_disturbance_is_seen_only_by_one_of_its_rules() -> None:
    wrong = outcome("INVALID", "unstable")
    assert row("capped", [outcome("INVALID", "throttled", "unstable")] * 19 + [wrong], "")["rate"] == 0.95
    assert row("capped", [wrong], "")["holds"] is False
    assert row("busy", [outcome("UNJUDGED", "foreign_work")], "")["rate"] == 0.0
    assert "not possible here: Permission denied" in table([row("capped", [], "Permission denied")])


@pytest.mark.parametrize(("factor", "holds"), [(1.0, True), (1.02, True), (1.05, False), (0.96, False)])
def test_two_ways_agree_where_the_interval_of_their_ratio_lies_within_the_goal(factor: float, holds: bool) -> None:
    rng = np.random.default_rng(2)
    theirs = rng.normal(1e7, 1e6, size=12)
    found = agreement(list(factor * theirs * rng.normal(1, 0.004, size=12)), list(theirs))
    assert found["low"] < factor < found["high"]
    assert found["holds"] is holds


def test_one_round_proves_nothing() -> None:
    found = agreement([1e7], [1e7])
    assert (found["low"], found["high"], found["holds"]) == (0.0, math.inf, False)


def test_who_goes_first_has_no_drift_of_its_own() -> None:
    firsts = [number for number in range(8) if order(number)[0]]
    others = [number for number in range(8) if number not in firsts]
    assert sum(firsts) == sum(others)
    assert sum(n * n for n in firsts) == sum(n * n for n in others)
