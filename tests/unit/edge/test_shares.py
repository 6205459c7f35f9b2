"""Wilson's interval: against published figures, against the equation that defines it, and by how often it holds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge.results.stats import Share


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    # R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_as_published(count: int, of: int, low: float, high: float) -> None:
    assert Share(count, of).interval == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("of", [1, 7, 1000])
def test_its_ends_are_where_the_share_lies_so_many_deviations_off(of: int) -> None:
    for count in {0, 1, of // 2, of}:
        for end in Share(count, of).interval:
            off = abs(count / of - end)
            deviations = off / math.sqrt(end * (1 - end) / of) if 0 < end < 1 else off
            assert deviations == pytest.approx(1.959964 if 0 < end < 1 else 0.0)


def test_holds_the_truth_in_95_of_100_trials() -> None:
    counts = np.random.default_rng(3).binomial(500, 0.22, size=2_000)
    ends = [Share(int(count), 500).interval for count in counts]
    assert np.mean([low <= 0.22 <= high for low, high in ends]) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize(("count", "of"), [(0, 0), (3, 2), (-1, 5)])
def test_no_share(count: int, of: int) -> None:
    with pytest.raises(ValueError, match="is no share"):
        Share(count, of)
