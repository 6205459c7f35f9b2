"""The overhead of drawn sizes: by size, as a whole, with its interval, and what is missing for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from device_agents.contract import LoadPattern
from edge.report.rows import Row
from edge.results import overhead
from edge.results.overhead import Overhead, Samples
from edge.results.store import Measurement
from edge.results.verdict import Status
from tests.made import MS, Drawn, drawn, measured

DRAWN = LoadPattern.parse("sizes:224-288/32")
STATIC = {224: (10.0, 10.2), 256: (20.0, 20.4), 288: (30.0, 30.6)}


class Lab:
    """Measurements with their samples."""

    def __init__(self) -> None:
        self.samples: dict[str, Samples] = {}

    def static(self, size: int, *medians_ms: float, name: str = "", **fields: Any) -> Row:
        asked = {"size": (size, size), "name": name or f"static-{size}", **fields}
        row, samples = measured(*medians_ms, **asked)
        self.samples[row.measurement.id] = samples
        return row

    def references(self, **fields: Any) -> list[Row]:
        return [self.static(size, *medians, **fields) for size, medians in STATIC.items()]

    def drawn(self, processes: Sequence[Drawn], **fields: Any) -> Row:
        row, samples = drawn(processes, **{"name": "drawn", "pattern": DRAWN, **fields})
        self.samples[row.measurement.id] = samples
        return row

    def read(self, measurement: Measurement) -> Samples:
        return self.samples[measurement.id]

    def overhead(self, dynamic: Row, *candidates: Row, **how: bool) -> Overhead:
        return overhead.of(dynamic, candidates, self.read, **how)


TEN_PERCENT: list[Drawn] = [
    {224: (50, 11.0), 256: (30, 22.0), 288: (20, 33.0)},
    {224: (40, 11.22), 256: (40, 22.44), 288: (20, 33.66)},
]


@pytest.fixture
def lab() -> Lab:
    return Lab()


def invalid(row: Row) -> Row:
    finding = replace(row.verdict, status=Status.INVALID)
    return replace(row, verdict=finding)


def test_ten_percent_at_every_size_are_ten_percent_as_a_whole(lab: Lab) -> None:
    found = lab.overhead(lab.drawn(TEN_PERCENT), *lab.references())
    assert [bucket.size for bucket in found.buckets] == [224, 256, 288]
    assert [bucket.samples for bucket in found.buckets] == [90, 70, 40]
    assert [bucket.static for bucket in found.buckets] == ["static-224", "static-256", "static-288"]
    for bucket in found.buckets:
        assert bucket.overhead is not None
        assert bucket.overhead.value == pytest.approx(1.10, rel=1e-6)
        assert bucket.static_ns == pytest.approx(np.mean(STATIC[bucket.size]) * MS)
    assert found.missing == ()
    assert found.overall is not None
    assert found.overall.value == pytest.approx(1.10, rel=1e-4)
    assert found.overall.low is not None
    assert found.overall.high is not None
    assert found.overall.low < 1.10 < found.overall.high


def test_a_size_counts_as_often_as_it_was_drawn(lab: Lab) -> None:
    once_in_ten = lab.drawn([{224: (90, 10.0), 256: (0, 20.0), 288: (10, 60.0)}])
    found = lab.overhead(once_in_ten, lab.static(224, 10.0), lab.static(256, 20.0), lab.static(288, 30.0))
    assert found.overall is not None
    assert found.overall.value == pytest.approx((90 * 10 + 10 * 60) / (90 * 10 + 10 * 30))
    assert [bucket.size for bucket in found.buckets] == [224, 288]


def test_one_process_says_nothing_of_the_next(lab: Lab) -> None:
    found = lab.overhead(lab.drawn(TEN_PERCENT[:1]), *lab.references())
    assert found.overall is not None
    assert found.overall.low is None


def test_references_of_unlike_numbers_of_processes_enter_by_their_means(lab: Lab) -> None:
    alone = [lab.static(224, 10.0), lab.static(256, 16.0, 24.0), lab.static(288, 27.0, 30.0, 33.0)]
    found = lab.overhead(lab.drawn([TEN_PERCENT[0], TEN_PERCENT[0]]), *alone)
    assert found.overall is not None
    assert found.overall.value == pytest.approx(1.10)
    assert (found.overall.low, found.overall.high) == (None, None)
    assert found.buckets[2].overhead is not None
    assert found.buckets[2].overhead.low is not None


def test_what_has_no_reference_is_named_and_there_is_no_whole(lab: Lab) -> None:
    found = lab.overhead(lab.drawn(TEN_PERCENT), *lab.references()[:2])
    assert found.overall is None
    assert found.missing == ("288 px: no static reference of it was measured",)
    assert found.buckets[0].overhead is not None
    assert found.buckets[2].overhead is None


def test_an_invalid_reference_is_none_unless_it_is_wanted(lab: Lab) -> None:
    dynamic, (first, *others) = lab.drawn(TEN_PERCENT), lab.references()
    found = lab.overhead(dynamic, invalid(first), *others)
    assert found.overall is None
    assert found.missing == ("224 px: its static reference static-224 is INVALID",)
    assert lab.overhead(dynamic, invalid(first), *others, invalid=True).overall is not None


def test_an_invalid_measurement_has_no_overhead_unless_it_is_wanted(lab: Lab) -> None:
    dynamic = invalid(lab.drawn(TEN_PERCENT))
    found = lab.overhead(dynamic, *lab.references())
    assert found.missing == ("the measurement of drawn sizes is INVALID",)
    assert found.overall is None
    assert lab.overhead(dynamic, *lab.references(), invalid=True).overall is not None


@pytest.mark.parametrize(
    "unlike",
    [
        {"backend": "tensorrt"},
        {"batch": 8},
        {"model": "resnet50"},
        {"pattern": LoadPattern("pipelined")},
        {"options": {"threads": 1}},
        {"options": {"mode": "compile", "dynamic": True}},
        {"identity": {"serial": "2"}},
        {"version": "1.19"},
        {"hot_input": True},
    ],
)
def test_another_request_or_environment_is_no_reference(lab: Lab, unlike: dict[str, Any]) -> None:
    found = lab.overhead(lab.drawn(TEN_PERCENT), *lab.references(**unlike))
    assert len(found.missing) == 3


def test_what_is_compiled_for_one_size_is_the_reference_whatever_the_option_of_the_other(lab: Lab) -> None:
    dynamic = lab.drawn(TEN_PERCENT, options={"mode": "compile", "dynamic": "automatic"})
    assert lab.overhead(dynamic, *lab.references(options={"mode": "compile"})).overall is not None
    assert lab.overhead(dynamic, *lab.references(options={"mode": "compile", "dynamic": False})).overall is not None
    assert lab.overhead(dynamic, *lab.references(options={"mode": "compile", "dynamic": True})).overall is None


def test_a_reference_of_the_same_run_comes_before_a_newer_one(lab: Lab) -> None:
    same, newer = lab.references(), lab.references(run="run-2", name="later")
    found = lab.overhead(lab.drawn(TEN_PERCENT), *newer, *same)
    assert found.buckets[0].static == "static-224"
    assert lab.overhead(lab.drawn(TEN_PERCENT), *newer).buckets[0].static == "later"


def test_the_size_of_a_measurement_that_asked_for_none_is_its_origins(lab: Lab) -> None:
    (row, *others) = lab.references()
    cell, origin = replace(row.measurement.cell, size=None), replace(row.measurement.origin, size=(224, 224))
    plain = replace(row, measurement=replace(row.measurement, cell=cell, origin=origin))
    assert lab.overhead(lab.drawn(TEN_PERCENT), plain, *others).overall is not None


def test_what_draws_no_sizes_has_no_overhead(lab: Lab) -> None:
    assert overhead.draws(lab.drawn(TEN_PERCENT))
    assert not overhead.draws(lab.static(224, 10.0))
