"""Durations and amounts of data, as people write and read them."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from edge.quantities import (
    counted,
    parse_bytes,
    parse_duration,
    parse_latency,
    parse_per_s,
    parse_power,
    parse_share,
    told_bytes,
    told_duration,
)


@pytest.mark.parametrize(("text", "seconds"), [("45s", 45), ("30 min", 1800), ("12h", 43_200), ("1.5 d", 129_600)])
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(("text", "count"), [("50 MB", 50_000_000), ("1GiB", 2**30), ("0.5 kB", 500)])
def test_an_amount_of_data_is_read(text: str, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "12", "h", "-1 h", "0 h", "12 hours", "1e3 s", "nan s"])
def test_what_is_no_duration_says_what_is(text: str) -> None:
    with pytest.raises(ValueError, match="write a number and one of s, min, h, d"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (5940, "99 min"), (12_000, "3 h 20 min"),
                          (200_000, "2 d 7 h")],
)  # fmt: skip
def test_a_duration_is_told_as_exactly_as_a_wait_wants(seconds: float, told: str) -> None:
    assert told_duration(seconds) == told


@pytest.mark.parametrize(
    ("count", "told"), [(0, "0 bytes"), (999, "999 bytes"), (113_400, "113 kB"), (2.52e6, "2.5 MB")]
)
def test_an_amount_of_data_is_told(count: float, told: str) -> None:
    assert told_bytes(count) == told


@pytest.mark.parametrize(("count", "said"), [(0, "0 cells"), (1, "1 cell"), (2, "2 cells")])
def test_one_of_a_kind_is_no_plural(count: int, said: str) -> None:
    assert counted(count, "cell") == said


@pytest.mark.parametrize(("text", "ns"), [("33ms", 33e6), ("1.5 s", 1.5e9), ("250 us", 250e3), ("250µs", 250e3)])
def test_a_latency_is_read(text: str, ns: float) -> None:
    assert parse_latency(text) == ns


def test_power_shares_and_rates_of_images_are_read() -> None:
    assert (parse_power("15W"), parse_power("500 mW")) == (15, 0.5)
    assert (parse_share("5%"), parse_share("0.5 %")) == (pytest.approx(0.05), pytest.approx(0.005))
    assert [parse_per_s(text) for text in ("30", "30/s", "29.97 fps")] == [30, 30, 29.97]


@pytest.mark.parametrize(
    ("reads", "text", "units"),
    [
        (parse_latency, "33", "ns, us, µs, ms, s"),
        (parse_latency, "33 W", "ns, us, µs, ms, s"),
        (parse_power, "15", "mW, W, kW"),
        (parse_share, "0.05", "%"),
        (parse_share, "0%", "%"),
        (parse_per_s, "0", "/s, fps"),
        (parse_per_s, "nan", "/s, fps"),
        (parse_per_s, "", "/s, fps"),
    ],
)
def test_a_quantity_without_its_unit_is_refused(reads: Callable[[str], float], text: str, units: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"write a number and one of {units}")):
        reads(text)
