"""VALID, INVALID with reasons, UNJUDGED: every rule that has data is shown to bite."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from device_agents.contract import SCHEMA, JobResult, ParityCheck, Precision, ProcessResult, Reading, SampleRange
from edge.plan import Cell
from edge.results.stats import summarise
from edge.results.store import Measurement, Origin
from edge.results.verdict import Status, Verdict, judge
from profiles.schema import Thresholds

PASSED = ParityCheck(1e-6, 1e-3, "logits")
IDLE = {"busy_share_idle_window_before": Reading(0.01, "/proc/stat")}


def measurement(
    *, precision: Precision = Precision.FP32, power_mode: str | None = None, **changes: object
) -> Measurement:
    part = ProcessResult(
        0, 1, 1, 1, SampleRange(0, 0), SampleRange(0, 100), 10**9, True, 150, 1, {}, PASSED, PASSED, IDLE
    )
    identity = {"power_mode": Reading("MAXN", "nvpmodel -q")} if power_mode else {}
    result = JobResult(
        SCHEMA, "job-1", "a" * 64, "onnxruntime", "2026-01-01T00:00:00Z", {}, identity, {},
        (replace(part, **changes),), 100, "0" * 64, {},
    )  # fmt: skip
    cell = Cell("local", "resnet18", "pytorch", "onnxruntime", precision, 1)
    origin = Origin("local", power_mode, Thresholds(), "a" * 64, "random", "b" * 64, "0")
    return Measurement("job-1", "run-1", cell, origin, "now", result)


def verdict(found: Measurement, samples: object = None) -> Verdict:
    values = np.full(100, 10_000_000) if samples is None else np.asarray(samples)
    return judge(found, summarise(found.result, values, 1))


def broken(found: Verdict) -> list[str]:
    return [finding.rule for finding in found.broken]


def unjudged(found: Verdict) -> list[str]:
    return [finding.rule for finding in found.unjudged]


def test_a_quiet_measurement_breaks_nothing_and_names_what_was_not_watched() -> None:
    found = verdict(measurement())
    assert found.status is Status.UNJUDGED
    assert unjudged(found) == ["throttled", "clocks_floating", "too_hot", "incomplete_state"]


def test_ten_samples_do_not_support_a_median() -> None:
    found = verdict(measurement(timed=SampleRange(0, 10)))
    assert broken(found) == ["too_few_samples"]
    assert "10 samples" in found.broken[0].reason


def test_a_drift_over_the_threshold_is_unstable() -> None:
    found = verdict(measurement(), np.linspace(10_000_000, 12_000_000, 100))
    assert (found.status, broken(found)) == (Status.INVALID, ["unstable"])


@pytest.mark.parametrize("when", ["parity_before", "parity_after"])
def test_outputs_that_are_off_before_or_after_timing_fail_parity(when: str) -> None:
    found = verdict(measurement(**{when: ParityCheck(0.5, 1e-3, "logits")}))
    assert broken(found) == ["parity_failed"]
    assert when.removeprefix("parity_") in found.broken[0].reason


def test_no_reference_outputs_leave_parity_unjudged() -> None:
    assert "parity_failed" in unjudged(verdict(measurement(parity_before=None, parity_after=None)))


def test_a_slow_clock_counts_only_when_it_is_both_long_and_a_large_share() -> None:
    assert broken(verdict(measurement(timer_overhead_ns=5_000))) == []  # 0.05 % of 10 ms
    fast = np.full(100, 20_000)
    assert broken(verdict(measurement(timer_overhead_ns=1_900), fast)) == []
    assert broken(verdict(measurement(timer_overhead_ns=2_100), fast)) == ["timer_overhead"]


def test_a_busy_device_is_foreign_work_and_an_unread_one_is_unjudged() -> None:
    busy = {"busy_share_idle_window_before": Reading(0.4, "/proc/stat")}
    unread = {"busy_share_idle_window_before": Reading(unknown="/proc/stat: Permission denied")}
    assert broken(verdict(measurement(state=busy))) == ["foreign_work"]
    assert "foreign_work" in unjudged(verdict(measurement(state=unread)))


def test_another_power_mode_than_the_profile_s_is_wrong() -> None:
    assert broken(verdict(measurement(power_mode="MAXN"))) == []
    assert broken(verdict(measurement(power_mode="15W"))) == ["wrong_power_mode"]


def test_fp16_is_not_proved_by_a_runtime_that_does_not_tell() -> None:
    assert "not_fp16" in unjudged(verdict(measurement(precision=Precision.FP16)))
