"""Bounds, intervals, means and kinds: held against slow arithmetic, against numpy, and against a known truth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge.results import stats
from edge.results.stats import percentiles

RNG = np.random.default_rng(20_011)


def chance(n: int, t: int, q: float) -> float:
    """P(Binomial(n, q) <= t), term by term."""
    return math.fsum(
        math.exp(math.log(math.comb(n, k)) + k * math.log(q) + (n - k) * math.log1p(-q)) for k in range(t + 1)
    )


class TestPercentiles:
    @pytest.mark.parametrize("p", [50.0, 90.0, 95.0, 99.0, 99.9])
    def test_are_samples_beside_numpy_s(self, p: float) -> None:
        """At every size, next to the one that numpy picks without interpolation, and with no more above than 1 - p."""
        for count in RNG.integers(1, 20_000, size=60):
            samples = RNG.permutation(np.arange(count)) * 3
            found = stats.percentile(samples, p)
            assert abs(found - int(np.percentile(samples, p, method="lower"))) <= 3
            assert (samples > found).sum() == percentiles.excluded(int(count), p) or count == 1

    @pytest.mark.parametrize("p", [90.0, 99.0])
    def test_do_not_depend_on_order_and_scale_with_the_samples(self, p: float) -> None:
        for _ in range(20):
            samples = RNG.lognormal(14, 0.5, size=700).astype(np.int64)
            shuffled = RNG.permutation(samples)
            assert stats.percentile(7 * shuffled, p) == 7 * stats.percentile(samples, p)
            assert stats.bound(7 * shuffled, p) == 7 * (stats.bound(samples, p) or 0)


class TestLoadGensBound:
    @pytest.mark.parametrize(("p", "least"), [(90.0, 64), (95.0, 130), (99.0, 662), (99.9, 6636)])
    def test_needs_as_many_samples_as_the_rules_say_for_one_beyond(self, p: float, least: int) -> None:
        assert stats.bound(np.arange(least - 1), p) is None
        assert percentiles.allowed(least, p) == 1
        assert stats.bound(np.arange(least), p) == least - 1, "the largest one"

    @pytest.mark.parametrize("p", [90.0, 95.0, 99.0])
    def test_allows_the_most_that_a_term_by_term_sum_does(self, p: float) -> None:
        q = 1 - p / 100
        for count in [*RNG.integers(stats.SUPPORT[p], 3_000, size=8), 664, 1_000]:
            t = percentiles.allowed(int(count), p)
            assert chance(int(count), t, q) <= 0.01 < chance(int(count), t + 1, q)

    def test_allows_of_millions_what_the_normal_law_does(self) -> None:
        """Within the correction that skew asks for: 2.326 deviations below the mean."""
        mean, deviation = 50_000, math.sqrt(5_000_000 * 0.01 * 0.99)
        assert percentiles.allowed(5_000_000, 99.0) == pytest.approx(mean - 2.326 * deviation, abs=3)

    def test_is_exceeded_by_the_percentile_in_one_trial_of_a_hundred_at_most(self) -> None:
        samples = RNG.exponential(1e6, size=(3_000, 1_000)).astype(np.int64)
        truth = -1e6 * math.log(0.01)
        bounds = np.sort(samples, axis=1)[:, 1_000 - percentiles.allowed(1_000, 99.0)]
        assert np.mean(bounds < truth) <= 0.01
        assert bounds[0] == stats.bound(samples[0], 99.0)
        assert np.mean(np.sort(samples, axis=1)[:, 989] < truth) > 0.3, "the plain figure is"


class TestIntervals:
    def test_of_the_median_cover_as_often_as_they_say(self) -> None:
        """5 processes, 2 % between them and 1 % within, 4,000 trials: two points are four deviations of that share."""
        levels = RNG.normal(1e6, 2e4, size=(4_000, 5, 1))
        medians = np.median(RNG.normal(levels, 1e4, size=(4_000, 5, 151)), axis=2)
        widths = np.array([stats.half_width(trial) for trial in medians])
        assert np.mean(abs(medians.mean(axis=1) - 1e6) <= widths) == pytest.approx(0.95, abs=0.02)

    @pytest.mark.parametrize(("between", "within"), [(2e4, 1e4), (1e4, 1e4), (1e4, 3e4)])
    def test_of_p99_are_student_s_because_the_bootstrap_s_are_too_narrow(self, between: float, within: float) -> None:
        """At 5 processes the t interval holds the p99 of a process, the bootstrap's and the one around the pooled
        figure hold it, and the p99 of all processes there could be, less often. So the first is stated as 95 %."""
        truth, trials = 1e6 + 2.3263 * within, 250
        held = np.zeros(2)
        for _ in range(trials):
            runs = [RNG.normal(level, within, 700).astype(np.int64) for level in RNG.normal(1e6, between, size=5)]
            own = [float(stats.percentile(run, 99.0)) for run in runs]
            interval = stats.bootstrap95(runs, 99.0) or (0.0, 0.0)
            held += (
                abs(float(np.mean(own)) - truth) <= (stats.half_width(own) or 0),
                interval[0] <= truth <= interval[1],
            )
        student, bootstrap = held / trials
        assert student > 0.91
        assert bootstrap < student - 0.05

    def test_of_the_bootstrap_hold_the_pooled_figure_and_need_two_processes(self) -> None:
        runs = [RNG.integers(1_000, 2_000, size=int(size)) for size in RNG.integers(300, 900, size=12)]
        interval = stats.bootstrap95(runs, 99.0)
        assert interval is not None
        assert interval[0] <= stats.percentile(np.concatenate(runs), 99.0) <= interval[1]
        assert interval == stats.bootstrap95(runs, 99.0), "the same whenever it is read"
        assert stats.bootstrap95(runs[:1], 99.0) is None

    def test_of_the_bootstrap_are_those_of_resamples_put_together(self) -> None:
        """One process drawn each time is that process: the ends are those of all alike."""
        runs = [np.full(700, 5), np.full(700, 5)]
        assert stats.bootstrap95(runs, 99.0) == (5.0, 5.0)
        low, high = stats.bootstrap95([np.full(700, 5), np.full(700, 9)], 99.0) or (0, 0)
        assert (low, high) == (5.0, 9.0)


class TestTheTrimmedMean:
    def test_leaves_out_a_tenth_at_either_end(self) -> None:
        assert stats.trimmed_mean(np.array([1, *[10] * 8, 10_000])) == 10.0
        for _ in range(20):
            samples = RNG.lognormal(14, 1.0, size=int(RNG.integers(1, 2_000))).astype(np.int64)
            ordered = np.sort(samples)
            cut = len(samples) // 10
            assert stats.trimmed_mean(samples) == pytest.approx(ordered[cut : len(samples) - cut].mean())

    def test_hardly_moves_with_what_moves_the_mean(self) -> None:
        samples = RNG.normal(1e6, 1e4, size=1_000)
        disturbed = np.where(np.arange(1_000) % 50 == 0, 2e7, samples)
        assert disturbed.mean() > 1.3 * samples.mean()
        assert stats.trimmed_mean(disturbed.astype(np.int64)) == pytest.approx(samples.mean(), rel=1e-3)


class TestKinds:
    @pytest.mark.parametrize("count", [150, 1_000, 20_000])
    @pytest.mark.parametrize("share", [0.2, 0.5, 0.7])
    def test_two_clocks_are_found(self, count: int, share: float) -> None:
        for seed in range(25):
            rng = np.random.default_rng(seed)
            slow = rng.permutation(count) < share * count
            samples = rng.normal(np.where(slow, 12e6, 10e6), 1e5).astype(np.int64)
            found = stats.kinds(samples)
            assert found is not None, seed
            assert found.fast_ns == pytest.approx(10e6, rel=0.005)
            assert found.slow_ns == pytest.approx(12e6, rel=0.005)
            assert found.slow_share == pytest.approx(share, abs=0.02)

    @pytest.mark.parametrize("count", [150, 1_000, 20_000])
    def test_one_kind_is_one_however_long_its_tail(self, count: int) -> None:
        """Normal, lognormal, exponential above a floor, Pareto, uniform; and one in twenty late."""
        wrong = 0
        for seed in range(50):
            rng = np.random.default_rng(seed)
            shapes = [
                rng.normal(1e7, 1e5, count), rng.lognormal(16, 0.5, count), 1e7 + rng.exponential(2e6, count),
                1e7 * (1 + rng.pareto(3.0, count)), rng.uniform(9e6, 11e6, count),
                np.where(rng.random(count) < 0.05, 15e6, rng.normal(1e7, 1e5, count)),
            ]  # fmt: skip
            wrong += sum(stats.kinds(shape.astype(np.int64)) is not None for shape in shapes)
        assert wrong <= 3, "one trial of a hundred"

    def test_what_does_not_vary_and_what_is_little_has_none(self) -> None:
        assert stats.kinds(np.full(1_000, 7)) is None
        assert stats.kinds(np.array([10, 20] * 49)) is None
        assert stats.kinds(np.array([1_000, 1_004] * 500)) is None, "nearer than anybody cares"


class TestASoak:
    def test_that_slows_down_and_settles_has_a_burst_a_steady_part_and_its_beginning(self) -> None:
        """10 ms at first, to 13 ms in a minute, and so for three more."""
        time_s = np.linspace(0, 1, 20_000)
        run = (10e6 + 3e6 * np.minimum(time_s / 0.25, 1)).astype(np.int64)
        found = stats.soaked([run], 240.0, 0.02)
        assert found.equilibrium
        assert found.burst_ns == pytest.approx(10e6, rel=0.02)
        assert found.steady_ns == pytest.approx(13e6, rel=0.01)
        assert found.change == pytest.approx(0.29, abs=0.02)
        assert 40 <= found.steady_from_s <= 70
        assert (len(found.curve_ns), found.length_s) == (40, 240.0)

    def test_that_never_settles_says_so(self) -> None:
        found = stats.soaked([np.linspace(10e6, 30e6, 4_000).astype(np.int64)], 60.0, 0.02)
        assert not found.equilibrium

    def test_that_does_not_change_is_steady_from_the_start(self) -> None:
        found = stats.soaked([RNG.normal(1e7, 1e5, 5_000).astype(np.int64)], 60.0, 0.02)
        assert (found.steady_from_s, found.equilibrium) == (0.0, True)
        assert found.change == pytest.approx(0.0, abs=0.01)

    def test_of_several_processes_is_their_mean_and_of_few_inferences_still_one(self) -> None:
        found = stats.soaked([np.full(400, 10), np.full(300, 20)], 1.0, 0.02)
        assert found.steady_ns == 15.0
        assert len(stats.soaked([np.array([5, 5, 9])], 1.0, 0.02).curve_ns) == 40
