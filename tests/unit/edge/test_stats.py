"""What the samples say: percentiles as trtexec picks them, intervals over processes, and refusals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from device_agents.contract import SCHEMA, JobResult, ProcessResult, SampleRange
from edge.results import stats


def process(index: int, offset: int, warmup: int, timed: int, elapsed_ns: int) -> ProcessResult:
    return ProcessResult(
        index=index,
        import_ns=1,
        load_ns=1_000_000 * (index + 1),
        first_inference_ns=2_000_000,
        warmup=SampleRange(offset, warmup),
        timed=SampleRange(offset + warmup, timed),
        elapsed_ns=elapsed_ns,
        warmup_stable=True,
        timer_overhead_ns=100,
        peak_rss_bytes=1,
        seconds={},
    )


def job(processes: Sequence[ProcessResult], samples: int) -> JobResult:
    return JobResult(
        SCHEMA, "job-1", "a" * 64, "onnxruntime", "now", {}, {}, {}, tuple(processes), samples, "0" * 64, {}
    )  # fmt: skip


def test_p99_of_5000_is_the_sample_trtexec_picks() -> None:
    """(1 - 99/100) * 5000 is 50.0000... in float32 and 49.999... in doubles: another sample."""
    samples = np.arange(5000, dtype=np.int64)
    excluded = int((np.float32(1) - np.float32(99) / np.float32(100)) * np.float32(5000))
    assert stats.percentile(samples, 99.0) == 5000 - 1 - excluded
    assert excluded != int((1 - 99 / 100) * 5000)


@pytest.mark.parametrize(("values", "p", "expected"), [([5], 99.0, 5), ([3, 1, 2], 50.0, 2), ([4, 1, 3, 2], 50.0, 2)])
def test_a_percentile_is_always_a_sample(values: list[int], p: float, expected: int) -> None:
    assert stats.percentile(np.array(values), p) == expected


@pytest.mark.parametrize(("p", "least"), stats.SUPPORT.items())
def test_the_support_is_the_least_n_that_loadgen_s_bound_allows(p: float, least: int) -> None:
    """At most one sample beyond the percentile, with 99 % confidence: P(Binomial(n, 1 - q) <= 1) <= 0.01."""
    q = p / 100

    def chance(n: int) -> float:
        return q**n + n * (1 - q) * q ** (n - 1)

    assert chance(least) <= 0.01 < chance(least - 1)


def test_fewer_samples_than_that_give_no_percentile() -> None:
    samples = np.arange(661)
    assert stats.supported(samples, 99.0) is None
    assert stats.supported(np.arange(662), 99.0) is not None


@pytest.mark.parametrize(("degrees", "published"), [(1, 12.706), (4, 2.776), (30, 2.042), (40, 2.021), (100, 1.984)])
def test_student_t_is_the_published_one(degrees: int, published: float) -> None:
    assert stats.t95(degrees) == pytest.approx(published, abs=6e-4)


def test_warm_up_never_enters_and_the_interval_is_over_processes() -> None:
    medians = [10_000, 12_000, 11_000]
    runs, parts, offset = [], [], 0
    for index, median in enumerate(medians):
        runs += [np.full(50, 999_999), np.full(100, median)]
        parts.append(process(index, offset, 50, 100, 100 * median))
        offset += 150
    samples = np.concatenate(runs).astype(np.int64)
    summary = stats.summarise(job(parts, len(samples)), samples, batch=4)
    assert summary.samples == 300
    assert summary.median.value_ns == pytest.approx(11_000)
    assert summary.median.half_width_ns == pytest.approx(4.303 * 1000 / math.sqrt(3))
    assert summary.mean_ns == pytest.approx(11_000)
    assert summary.throughput_per_s == pytest.approx(4 * 300 / (100 * 33_000 / 1e9))
    assert summary.spread == pytest.approx(1000 / 11_000)
    assert summary.load_ns == 2_000_000
    assert summary.p99 is None
    assert summary.p90_ns == 12_000


def test_one_process_has_no_interval_and_says_so() -> None:
    samples = np.full(100, 7, dtype=np.int64)
    summary = stats.summarise(job([process(0, 0, 0, 100, 700)], 100), samples, batch=1)
    assert summary.within_run
    assert summary.median.half_width_ns is None
    assert summary.spread is None


def test_p99_is_the_pooled_one_with_the_processes_half_width() -> None:
    rng = np.random.default_rng(3)
    runs = [rng.integers(1000, 2000, size=700) for _ in range(3)]
    parts = [process(index, 700 * index, 0, 700, 1) for index in range(3)]
    pooled = np.concatenate(runs)
    summary = stats.summarise(job(parts, len(pooled)), pooled, batch=1)
    p99 = summary.p99
    assert p99 is not None
    assert p99.value_ns == stats.percentile(pooled, 99.0)
    assert p99.half_width_ns == stats.half_width([float(stats.percentile(run, 99.0)) for run in runs])
    assert p99.approximate
    assert summary.p99_own is not None
    assert summary.p99_own.value_ns == pytest.approx(np.mean([stats.percentile(run, 99.0) for run in runs]))
    assert (summary.p99_own.half_width_ns, summary.p99_own.approximate) == (p99.half_width_ns, False)
    assert summary.p99_bootstrap_ns is not None
    assert summary.bounds_ns[99.0] >= p99.value_ns
    assert list(summary.bounds_ns) == [90.0, 95.0, 99.0]


@pytest.mark.parametrize(("spread", "approximate"), [(0.0, False), (0.05, True)])
def test_p99_of_many_processes_is_approximate_where_they_differ_more_than_samples_do(
    spread: float, approximate: bool
) -> None:
    rng = np.random.default_rng(4)
    runs = [rng.normal(level, 1e4, 700) for level in rng.normal(1e6, spread * 1e6, size=12)]
    parts = [process(index, 700 * index, 0, 700, 1) for index in range(12)]
    p99 = stats.summarise(job(parts, 8_400), np.concatenate(runs).astype(np.int64), batch=1).p99
    assert p99 is not None
    assert p99.approximate is approximate


def test_drift_is_the_last_quarter_over_the_first() -> None:
    rising = np.concatenate([np.full(25, 100), np.full(50, 105), np.full(25, 110)])
    assert stats.drift(rising) == pytest.approx(0.10)
    assert stats.drift(rising[::-1]) == pytest.approx(100 / 110 - 1)
    assert stats.drift(np.arange(7)) == 0.0


def test_several_streams_have_a_throughput_and_no_latency() -> None:
    samples = np.arange(1000, 1700)
    part = process(0, 0, 0, 700, 10**9)
    alone = stats.summarise(replace(job([part], 700), switches={"streams": 1}), samples, batch=2)
    assert alone.median is not None
    several = stats.summarise(replace(job([part], 700), switches={"streams": 4}), samples, batch=2)
    assert (several.median, several.mean_ns, several.p90_ns, several.p95_ns, several.p99) == (None,) * 5
    assert several.throughput_per_s == alone.throughput_per_s == 1400.0
    assert several.streams == 4


def test_parts_are_medians_over_the_processes_that_all_tell_them() -> None:
    """Two processes; their samples lie apart in the file, each followed by its parts."""
    samples = np.array([10, 11, 12, 1, 2, 3, 20, 21, 22, 5, 6, 70])
    told = [
        replace(process(0, 0, 0, 3, 1), parts={"compute": SampleRange(3, 3)}),
        replace(process(1, 6, 0, 3, 1), parts={"compute": SampleRange(9, 3)}),
    ]
    assert stats.summarise(job(told, 12), samples, batch=1).parts == {"compute": (2 + 6) / 2}
    silent = replace(told[1], parts={})
    assert stats.summarise(job([told[0], silent], 12), samples, batch=1).parts == {}


def test_counts_of_a_rate_add_up_over_processes() -> None:
    one = {"arrivals": 60, "late": 1, "dropped": 0, "waiting": 0, "wake_lag_ns": 900, "seed": 4}
    two = {"arrivals": 61, "late": 2, "dropped": 3, "waiting": 1, "wake_lag_ns": 700, "seed": 5}
    parts = [replace(process(i, 12 * i, 0, 12, 1), counts=counts) for i, counts in enumerate((one, two))]
    found = stats.summarise(job(parts, 24), np.ones(24, np.int64), batch=1).counts
    assert found == {"arrivals": 121, "late": 3, "dropped": 3, "waiting": 1, "wake_lag_ns": 900, "seed": 4}


@pytest.mark.parametrize("spread", [0.002, 0.02])
def test_the_spread_within_a_run_is_that_of_its_stretches(spread: float) -> None:
    """Noise alone hardly moves a median of many samples; a level that wanders does, by as much as it wanders."""
    rng = np.random.default_rng(5)
    levels = rng.normal(1e6, spread * 1e6, size=400)
    runs = [np.repeat(levels[index : index + 10], 200) + rng.normal(0, 1e4, 2000) for index in range(0, 400, 10)]
    parts = [process(index, 2000 * index, 0, 2000, 1) for index in range(40)]
    pooled = np.concatenate(runs).astype(np.int64)
    within = stats.summarise(job(parts, len(pooled)), pooled, batch=1).within
    assert within == pytest.approx(math.hypot(spread, 0.01 * 1.25 / math.sqrt(200)), rel=0.15)


def test_a_short_run_has_no_spread_within() -> None:
    assert stats.summarise(job([process(0, 0, 0, 109, 1)], 109), np.arange(1, 110), batch=1).within is None
