"""What the samples say: percentiles as trtexec picks them, intervals over processes, and refusals."""

from __future__ import annotations

import math
from collections.abc import Sequence

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
    p99 = stats.summarise(job(parts, len(pooled)), pooled, batch=1).p99
    assert p99 is not None
    assert p99.value_ns == stats.percentile(pooled, 99.0)
    assert p99.half_width_ns == stats.half_width([float(stats.percentile(run, 99.0)) for run in runs])
    assert p99.approximate


def test_drift_is_the_last_quarter_over_the_first() -> None:
    rising = np.concatenate([np.full(25, 100), np.full(50, 105), np.full(25, 110)])
    assert stats.drift(rising) == pytest.approx(0.10)
    assert stats.drift(rising[::-1]) == pytest.approx(100 / 110 - 1)
    assert stats.drift(np.arange(7)) == 0.0


def test_the_interval_covers_a_known_truth_at_its_stated_rate() -> None:
    """5 processes, 2 % between them and 1 % within: the t interval holds the truth in about 95 % of trials."""
    rng = np.random.default_rng(11)
    truth, trials, held = 1_000_000.0, 800, 0
    for _ in range(trials):
        medians = []
        for level in rng.normal(truth, 0.02 * truth, size=5):
            medians.append(float(stats.percentile(rng.normal(level, 0.01 * truth, size=151).astype(np.int64), 50.0)))
        width = stats.half_width(medians)
        assert width is not None
        held += abs(float(np.mean(medians)) - truth) <= width
    assert held / trials == pytest.approx(0.95, abs=0.025)
