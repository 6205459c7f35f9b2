"""Boards that should be equal: which is unlike the others, which unlike itself, and when nobody can say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from device_agents.contract import dumps
from edge.answers.canary import Board, Canary, judge
from edge.deploy import Deployment
from edge.report.canary import as_json, sentences, table
from edge.report.rows import Row
from edge.results.outliers import robust_z
from edge.results.store import Store
from edge.running.fleet import Report
from profiles.schema import Thresholds
from tests.made import measured
from tests.plans import device

NAMES = ("orin-1", "orin-2", "orin-3", "orin-4", "orin-5")
ORIN = "jetson-agx-orin-64gb"
EQUAL = (10.0, 10.05, 9.95, 10.1, 10.02)


def board(ms: float, name: str = "orin-1", *, spread: float = 0.01, measurement: str = "m", **fields: Any) -> Row:
    return measured(ms * (1 - spread), ms, ms * (1 + spread), device=name, name=measurement, **fields)[0]


def judged(
    rows: Sequence[Row], store: Store, earlier: Sequence[Row] = (), profile: str = "jetson-agx-orin-64gb"
) -> list[Board]:
    """The last of `NAMES` is of another profile where that is another."""
    devices = {name: device(name) for name in NAMES} | {NAMES[-1]: device(NAMES[-1], profile)}
    return list(judge(rows, devices, {rows[0].measurement.cell.id: earlier}, store))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def kept(store: Store, ms: float, measurement: str) -> Row:
    """A measurement of orin-1 that the store has."""
    row, samples = measured(ms * 0.99, ms, ms * 1.01, device="orin-1", name=measurement)
    store.add(row.measurement, samples.astype("<i8").tobytes())
    return row


def answer(boards: Sequence[Board]) -> Canary:
    return Canary(tuple(boards), Deployment("run-1", (), Report(), 0.0, 0.0, 0.0))


class TestOfItsGroup:
    def test_a_slow_one_is_flagged(self, store: Store) -> None:
        rows = [board(ms, name) for ms, name in zip((*EQUAL[:4], 11.0), NAMES, strict=True)]
        found = judged(rows, store)
        assert [one.flags for one in found] == [(), (), (), (), ("unlike its group",)]
        assert found[4].group == pytest.approx(1.1, abs=0.01)
        assert "orin-5 is unlike its group: it takes 1.09" in next(iter(sentences(answer(found))))

    def test_equal_ones_are_not(self, store: Store) -> None:
        rows = [board(ms, name) for ms, name in zip(EQUAL, NAMES, strict=True)]
        found = judged(rows, store)
        assert not any(one.flags for one in found)
        assert "no board is unlike its group or itself" in list(sentences(answer(found)))

    def test_of_those_that_hardly_vary_none_is_for_a_little(self, store: Store) -> None:
        """Robust z is huge where all others are equal; 1 % is no matter all the same."""
        rows = [board(ms, name) for ms, name in zip((10, 10, 10, 10, 10.1), NAMES, strict=True)]
        found = judged(rows, store)[4]
        assert (found.z, found.flags) == (float("inf"), ())
        assert json.loads(dumps(as_json(answer([found]))))["boards"][0]["z"] is None

    def test_three_are_too_few(self, store: Store) -> None:
        rows = [board(ms, name) for ms, name in zip((10, 10, 20), NAMES, strict=False)]
        found = judged(rows, store)
        assert [(one.peers, one.z, one.flags) for one in found] == [(3, None, ())] * 3
        text = " ".join(sentences(answer(found)))
        assert "jetson-agx-orin-64gb: 3 boards to compare, and it takes 4 to say which is unlike" in text
        assert "no board is unlike" not in text

    def test_a_board_of_another_profile_is_of_no_group(self, store: Store) -> None:
        rows = [board(ms, name) for ms, name in zip((*EQUAL[:4], 30.0), NAMES, strict=True)]
        found = judged(rows, store, profile="jetson-orin-nx-16gb")
        assert [one.peers for one in found] == [4, 4, 4, 4, 1]
        assert not any(one.flags for one in found)

    def test_an_invalid_one_is_compared_with_nothing(self, store: Store) -> None:
        never = Thresholds(9.0, 9.0, -1.0)
        rows = [board(ms, name) for ms, name in zip(EQUAL[:4], NAMES, strict=False)]
        found = judged([*rows, board(30.0, "orin-5", thresholds=never)], store)
        assert [one.peers for one in found] == [4] * 5
        assert (found[4].z, found[4].flags) == (None, ())
        assert "INVALID, and compared with nothing: orin-5" in list(sentences(answer(found)))

    def test_a_setting_that_others_have_otherwise_is_told(self, store: Store) -> None:
        rows = [board(ms, name) for ms, name in zip(EQUAL[:4], NAMES, strict=False)]
        found = judged([*rows, board(20.0, "orin-5", identity={"power_mode": "15W", "serial": "5"})], store)
        assert found[4].unlike == ("power_mode is 15W, not MAXN",)
        assert found[0].unlike == ()
        assert next(iter(sentences(answer(found)))).endswith("; power_mode is 15W, not MAXN as most of the others")


class TestOfItsHistory:
    def test_a_board_that_has_become_slower_is_flagged(self, store: Store) -> None:
        earlier = [kept(store, ms, f"old{index}") for index, ms in enumerate((10.0, 10.1, 9.9, 10.05))]
        found = judged([kept(store, 12.0, "now")], store, earlier)[0]
        assert found.flags == ("unlike itself",)
        assert found.history is not None
        assert found.history.value == pytest.approx(1.2, abs=0.01)
        assert "as long as in 4 earlier runs" in next(iter(sentences(answer([found]))))

    def test_as_it_varied_before_it_may_vary_again(self, store: Store) -> None:
        earlier = [kept(store, ms, f"old{index}") for index, ms in enumerate((10.0, 12.0, 9.0, 11.0))]
        assert judged([kept(store, 12.0, "now")], store, earlier)[0].flags == ()

    def test_against_one_run_processes_decide(self, store: Store) -> None:
        earlier = [kept(store, 10.0, "old")]
        assert judged([kept(store, 11.0, "now")], store, earlier)[0].flags == ("unlike itself",)
        assert judged([kept(store, 10.1, "then")], store, earlier)[0].flags == ()

    def test_without_one_it_says_so(self, store: Store) -> None:
        found = judged([kept(store, 10.0, "now")], store)
        assert (found[0].history, found[0].earlier) == (None, 0)
        assert "no earlier canary in the same environment: orin-1" in list(sentences(answer(found)))


def test_a_table_has_a_row_a_board(store: Store) -> None:
    rows = [board(ms, name) for ms, name in zip((*EQUAL[:4], 11.0), NAMES, strict=True)]
    lines = table(judged(rows, store), 200).splitlines()
    assert lines[0].split()[:4] == ["device", "profile", "median", "ms"]
    assert [line.split()[0] for line in lines[1:]] == list(NAMES)
    assert "as expected" in lines[1]
    assert lines[5].endswith("unlike its group")


def test_robust_z_is_not_pulled_by_the_outlier() -> None:
    far = robust_z([10, 10.1, 9.9, 10.05, 1000])
    assert far[4] > 100
    assert max(abs(one) for one in far[:4]) < 3.5
    assert robust_z([10, 10, 10, 9]) == [0, 0, 0, float("-inf")]
