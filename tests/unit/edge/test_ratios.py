"""A ratio's interval holds the truth as often as it says, whatever the spread from run to run."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge.results.ratios import Ratio, paired, predicted, welch

TRIALS = 2_000


def holds(ratio: Ratio, truth: float) -> bool:
    assert ratio.low is not None
    assert ratio.high is not None
    return ratio.low <= truth <= ratio.high


@pytest.mark.parametrize(
    ("counts", "spreads"),
    [((5, 5), (0.02, 0.02)), ((5, 5), (0.01, 0.10)), ((3, 12), (0.05, 0.01)), ((2, 2), (0.02, 0.02))],
)  # fmt: skip
def test_welch_covers(counts: tuple[int, int], spreads: tuple[float, float]) -> None:
    random = np.random.default_rng(7)
    truth = 1.08
    a, b = (
        scale * np.exp(random.normal(0, spread, (TRIALS, count)))
        for scale, spread, count in zip((10.0, 10.0 * truth), spreads, counts, strict=True)
    )
    share = np.mean([holds(welch(list(a[trial]), list(b[trial])), truth) for trial in range(TRIALS)])
    assert share >= 0.94, "degrees of freedom are rounded down, so it may be wider than it has to be"
    if counts == (5, 5):
        assert share <= 0.98, "but no wider than that"


def test_paired_rounds_cover_where_the_device_drifts() -> None:
    """A drift that both sides share is in no ratio of a round; between unpaired processes it would be."""
    random = np.random.default_rng(8)
    heat = np.linspace(0, 0.3, 5)
    noise = random.normal(0, 0.02, (2, TRIALS, 5))
    a, b = 10 * np.exp(heat + noise[0]), 10 * 0.9 * np.exp(heat + noise[1])
    found = [paired(list(logs)) for logs in np.log(b / a)]
    share = np.mean([holds(one, 0.9) for one in found])
    assert 0.93 <= share <= 0.97
    apart = welch(list(a[0]), list(b[0]))
    assert width(apart) > 3 * np.median([width(one) for one in found])


def test_a_run_among_runs_covers() -> None:
    random = np.random.default_rng(9)
    medians = np.exp(random.normal(0, 0.03, (TRIALS, 6)))
    share = np.mean([holds(predicted(list(its[:5]), its[5]), 1.0) for its in medians])
    assert 0.93 <= share <= 0.97


def width(ratio: Ratio) -> float:
    assert ratio.low is not None
    assert ratio.high is not None
    return ratio.high - ratio.low


def test_one_process_has_no_interval() -> None:
    assert welch([10.0], [11.0, 11.0]) == Ratio(pytest.approx(1.1))
    assert paired([math.log(2)]) == Ratio(pytest.approx(2))


def test_the_inverse_has_the_inverse_interval() -> None:
    one = welch([10, 11, 12], [20, 21, 23])
    other = welch([20, 21, 23], [10, 11, 12])
    assert (one.inverse.value, one.inverse.low, one.inverse.high) == pytest.approx((other.value, other.low, other.high))
    assert Ratio(2.0).inverse == Ratio(0.5)


def test_processes_without_any_spread_have_an_interval_of_no_width() -> None:
    ratio = welch([10, 10], [11, 11])
    assert (ratio.low, ratio.value, ratio.high) == pytest.approx((1.1, 1.1, 1.1))
