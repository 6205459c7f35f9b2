"""Which batches are tried and measured, what keeps limits, what is on the front, what is said where nothing does."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_agents.contract import Timing, dumps
from edge.answers.best import Found, Miss, hunt
from edge.answers.limits import Figures, figures, limits
from edge.answers.measuring import Bench
from edge.answers.search import candidates, front
from edge.deploy import Deployment
from edge.places import Places
from edge.planning.choosing import Choices, Survey
from edge.planning.plan import Cell
from edge.planning.request import Request
from edge.report.best import as_json, sentences, stands, table
from edge.report.rows import Row
from edge.running.fleet import Report
from edge.running.journal import Begin
from profiles.progress import silent
from profiles.schema import Thresholds
from tests.made import CELL, measured

BATCHES = (1, 2, 4, 8, 16, 32)
SHORT = Timing.quick()
P99 = limits(33e6, None, None)


def searched(
    batches: tuple[int, ...], figures_of: dict[int, Figures | None], wanted: Any
) -> tuple[tuple[int, ...], list[int]]:
    """The batches to measure, and those that were tried."""
    search, tried = candidates(batches, wanted), []
    try:
        batch = next(search)
        while True:
            tried.append(batch)
            batch = search.send(figures_of[batch])
    except StopIteration as end:
        return end.value, tried


def linear(batches: tuple[int, ...], ms_per_image: float, fixed_ms: float = 2.0) -> dict[int, Figures | None]:
    """A fixed cost and one an image; power grows with the load."""
    found: dict[int, Figures | None] = {}
    for batch in batches:
        ms = fixed_ms + ms_per_image * batch
        found[batch] = Figures(ms * 1e6, batch / ms * 1e3, 5 + batch)
    return found


class TestTheSearch:
    def test_both_ends_of_what_keeps_the_limits_are_measured(self) -> None:
        wanted, tried = searched(BATCHES, linear(BATCHES, 3.0), P99)  # 5 8 14 26 50 98 ms
        assert wanted == (1, 8)
        assert len(tried) == 3

    def test_a_throughput_moves_the_lower_end(self) -> None:
        """200 250 286 308 320 327 images/s: 8 and 16 would do, and 16 is too slow."""
        both = limits(33e6, 300, None)
        assert searched(BATCHES, linear(BATCHES, 3.0), both)[0] == (4, 8), "4 is within 10 % of the limit"
        assert searched(BATCHES, linear(BATCHES, 3.0), limits(None, 270, None))[0] == (2, 4, 32), "2 is near, too"

    def test_power_is_a_limit_from_above(self) -> None:
        assert searched(BATCHES, linear(BATCHES, 3.0), limits(None, None, 10))[0] == (1, 4)

    def test_what_is_just_beyond_is_measured_too(self) -> None:
        wanted, _ = searched(BATCHES, linear(BATCHES, 3.0), limits(25e6, None, None))
        assert wanted == (1, 4, 8), "26 ms by a short run may be 25 by a full one"

    def test_nothing_that_is_far_off_is_measured_in_full(self) -> None:
        wanted, tried = searched(BATCHES, linear(BATCHES, 100.0), P99)
        assert wanted == ()
        assert tried[-1] == 1, "the least was tried"

    def test_a_run_that_fails_is_beyond_what_fits(self) -> None:
        its = linear(BATCHES, 0.1)
        its[16] = its[32] = None  # out of memory
        assert searched(BATCHES, its, P99)[0] == (1, 8)

    def test_a_limit_of_what_nobody_knows_leaves_it_to_the_full_measurement(self) -> None:
        its: dict[int, Figures | None] = {batch: Figures(1e6, 100, None) for batch in BATCHES}
        assert searched(BATCHES, its, limits(None, None, 15))[0] == (1, 32)

    def test_whatever_the_latencies_are_the_ends_are_found_with_few_runs(self) -> None:
        random = np.random.default_rng(3)
        for _ in range(300):
            batches = tuple(range(1, int(random.integers(2, 40))))
            ms = np.cumsum(random.uniform(0.1, 3, len(batches)))
            its: dict[int, Figures | None] = {
                batch: Figures(one * 1e6, 100.0 + batch, None) for batch, one in zip(batches, ms, strict=True)
            }
            limit, least = float(random.uniform(1, 40)), float(random.uniform(95, 150))
            wanted, tried = searched(batches, its, limits(limit * 1e6, least, None))
            kept = [b for b, one in zip(batches, ms, strict=True) if one <= limit and 100 + b >= least]
            if kept:
                assert {kept[0], kept[-1]} <= set(wanted)
            assert len(tried) == len(set(tried)) <= 2 * math.ceil(math.log2(len(batches) + 1))


def test_the_front_has_what_nothing_beats() -> None:
    points = [
        Figures(10, 100, None),
        Figures(20, 150, None),
        Figures(20, 140, None),
        Figures(30, 120, 4.0),
        Figures(10, 100, None),
    ]
    assert front(points) == [0, 1, 4], "the slower at more latency are beaten, unless nobody knows their power"
    assert front([Figures(10, 100, 9.0), Figures(12, 90, 5.0)]) == [0, 1], "less power is worth more latency"


def found(*rows: Row, wanted: Any = P99, misses: tuple[Miss, ...] = (), **fields: Any) -> Found:
    meets = tuple(row for row in rows if stands(row, wanted) == "kept")
    numbers = {"grid": 6, "full": 2, "short": 2, "reused": (), "failures": (), **fields}
    return Found(tuple(wanted), rows, meets, meets, misses, **numbers)  # type: ignore[arg-type]


def at(ms: float, batch: int, **fields: Any) -> Row:
    return measured(ms, ms, ms, ms, batch=batch, name=f"m{batch}", **fields)[0]


class TestTheAnswer:
    def test_says_what_keeps_them_and_what_was_spared(self) -> None:
        its = found(at(10, 1), at(30, 8), at(50, 16))
        text = list(sentences(its))
        assert text[0].startswith("p99 33.00 ms: kept by 2 configurations; most images a second: orin-1 resnet18")
        assert "batch 8" in text[0]
        assert "from batch 1 to 8; what lies between was not measured" in text[1]
        assert text[-1] == "2 full measurements of a grid of 6, and 2 short runs: 4 full ones were spared"
        lines = table(its, 200).splitlines()
        assert [line.split("batch ")[1].split()[0] for line in lines[1:]] == ["8", "1", "16"]
        assert "p99 missed by 52 %" in lines[3]

    def test_says_by_how_much_nothing_does(self) -> None:
        miss = Miss(P99[0], 41.2e6, "orin-1 resnet18/pytorch fp16 batch 1 on onnxruntime", short=False)
        text = list(sentences(found(at(41.2, 1), misses=(miss,))))
        assert text[0] == "p99 33.00 ms: kept by none of 6 configurations"
        assert text[1].startswith("p99 33.00 ms: the least is 41.20 ms, 25 % off (orin-1 resnet18/pytorch fp16 batch 1")

    def test_says_that_limits_exclude_each_other(self) -> None:
        both = limits(33e6, 1000, None)
        assert "none is known to keep all" in " ".join(sentences(found(at(10, 1), wanted=both)))

    def test_a_figure_that_is_not_known_keeps_nothing(self) -> None:
        row = at(10, 1)
        assert figures(row).watts is None
        assert stands(row, limits(33e6, None, 15)).startswith("power not known (this device was not watched")
        assert stands(at(10, 1, count=100), P99) == "p99 not known (400 samples do not support it)"

    def test_an_invalid_one_keeps_nothing(self) -> None:
        assert stands(at(10, 1, thresholds=Thresholds(9.0, 9.0, -1.0)), P99) == "INVALID foreign_work"

    def test_is_data_too(self) -> None:
        data = json.loads(dumps(as_json(found(at(10, 1), at(50, 16)))))
        assert [(row["batch"], row["meets"], row["limits"]) for row in data["measurements"]] == [
            (1, True, "kept"),
            (16, False, "p99 missed by 52 %"),
        ]
        assert (data["grid"], data["full"], data["spared"]) == (6, 2, 4)


class Lab(Bench):
    """Answers with hand-made measurements: `ms` of a full run and of a short one, by batch."""

    full: dict[int, float]
    short: dict[int, float]
    asked: list[tuple[int, bool]]

    def measure(self, cells: Sequence[Cell], *, name: str = "", begin: Begin = Begin.GO_ON) -> Deployment:
        rows = []
        for cell in cells:
            brief = cell.timing == SHORT
            ms = (self.short if brief else self.full)[cell.batch]
            rows.append(measured(ms, count=700, name=cell.id, batch=cell.batch, timing=cell.timing)[0])
            self.asked.append((cell.batch, brief))
        return Deployment("run-1", tuple(rows), Report(), 0.0, 0.0, 0.0)


def test_where_a_full_measurement_belies_the_short_run_it_goes_on_from_there(tmp_path: Path) -> None:
    """By short runs 16 keeps the limit, in full it does not, and neither does 8: 4 is the answer."""
    where = Places(tmp_path, tmp_path, tmp_path)
    lab = Lab(Request(("resnet18",)), (), Survey(), where, silent, Choices())
    object.__setattr__(lab, "short", {1: 5, 2: 10, 4: 20, 8: 25, 16: 32, 32: 90})
    object.__setattr__(lab, "full", {1: 5, 2: 10, 4: 20, 8: 34, 16: 40, 32: 90})
    object.__setattr__(lab, "asked", [])
    grid = [replace(CELL, batch=batch) for batch in BATCHES]
    its = hunt(lab, grid, SHORT, P99)
    assert sorted(row.measurement.cell.batch for row in its.meets) == [1, 4]
    assert sorted(row.measurement.cell.batch for row in its.rows) == [1, 4, 8, 16]
    assert (its.full, its.grid, its.saved) == (4, 6, 2)
    assert len(lab.asked) == len(set(lab.asked)), "nothing is measured twice"


@pytest.mark.parametrize("ms", [1.0, 32.99, 33.0])
def test_a_limit_is_kept_up_to_itself(ms: float) -> None:
    assert P99[0].kept(Figures(ms * 1e6, 1, None))
    assert not P99[0].kept(Figures(33.01e6, 1, None))
