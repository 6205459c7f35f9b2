"""Measurements at home: whole or not there, damaged ones told, found by how their id begins."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from device_agents.contract import SampleRange
from edge.results.store import IMPORTED, RESULT, SAMPLES, Store
from edge.results.updates import SCHEMA
from profiles.errors import ConfigError, ResultError
from tests.measured import VALUES, measurement


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    for name in ("aaaa1111", "aaaa2222", "bbbb3333"):
        store.add(measurement(name), VALUES.tobytes())
    return store


def test_what_was_stored_comes_back(store: Store) -> None:
    found = store.get("aaaa1111")
    assert found == measurement("aaaa1111")
    assert store.samples_ns(found).tolist() == VALUES.tolist()
    assert store.ids() == ["aaaa1111", "aaaa2222", "bbbb3333"]


def test_adding_twice_keeps_the_first(store: Store) -> None:
    store.add(replace(measurement("aaaa1111"), run="run-2"), VALUES.tobytes())
    assert store.get("aaaa1111").run == "run-1"


@pytest.mark.parametrize("lost", [RESULT, SAMPLES])
def test_adding_again_mends_what_is_damaged(store: Store, lost: str) -> None:
    (store.folder("aaaa1111") / lost).write_bytes(b"")
    store.add(measurement("aaaa1111"), VALUES.tobytes())
    assert store.readable("aaaa1111")
    assert sorted(path.name for path in (store.root / "aa").iterdir()) == ["aaaa1111", "aaaa2222"]


def test_what_another_process_has_just_brought_in_stays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes between the look at what is damaged and its going."""
    home, left = store.folder("aaaa1111"), store.root / f"{IMPORTED}killed" / "aaaa1111"
    left.parent.mkdir()
    home.rename(left)
    home.mkdir()
    (home / SAMPLES).touch()

    def looked(self: Store, name: str) -> bool:
        (home / SAMPLES).unlink()
        left.rename(home)
        return False

    monkeypatch.setattr(Store, "keeps", looked)
    store.settle()
    assert store.readable("aaaa1111")
    assert [path.name for path in (store.root / "aa").glob(".*")] == []


def test_nothing_half_made_is_left_beside_it(store: Store, tmp_path: Path) -> None:
    names = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert names == {RESULT, SAMPLES}
    assert not list(tmp_path.rglob(".making-*"))


def test_an_id_is_found_by_how_it_begins(store: Store) -> None:
    assert store.find("bb") == "bbbb3333"
    with pytest.raises(ConfigError, match="2 measurements begin with 'aaaa'"):
        store.find("aaaa")
    with pytest.raises(ConfigError, match="no measurement begins with 'cc'"):
        store.find("cc")


def test_samples_that_are_not_those_of_the_result_are_refused(store: Store) -> None:
    path = store.folder("aaaa1111") / SAMPLES
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ResultError, match="not those of the result"):
        store.samples_ns(store.get("aaaa1111"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data[: len(data) // 2], "not valid JSON"),
        (lambda data: json.dumps({**json.loads(data), "schema": 99}).encode(), "upgrade edgebench to read it"),
        (lambda data: json.dumps({**json.loads(data), "surprise": 1}).encode(), "unknown key 'surprise'"),
    ],
)
def test_a_damaged_result_says_what_is_wrong_and_what_to_do(store: Store, change: object, said: str) -> None:
    path = store.folder("aaaa1111") / RESULT
    path.write_bytes(change(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(ResultError, match=said) as caught:
        store.get("aaaa1111")
    assert str(path) in str(caught.value)


def test_a_sample_that_is_no_latency_is_refused(store: Store) -> None:
    found = measurement("cccc4444")
    data = np.zeros(20, dtype="<i8").tobytes()
    hashed = replace(found.result, samples_sha256=hashlib.sha256(data).hexdigest())
    store.add(replace(found, result=hashed), data)
    with pytest.raises(ResultError, match="a sample is not positive"):
        store.samples_ns(store.get("cccc4444"))
    assert not store.readable("cccc4444")
    assert store.readable("aaaa1111")


@pytest.mark.parametrize(("value", "said"), [(0, None), (-1, "a part of an inference is negative")])
def test_a_part_may_take_no_time_but_not_less(store: Store, value: int, said: str | None) -> None:
    """Without transfers there is nothing to copy."""
    found = measurement("dddd5555")
    values = np.concatenate([VALUES, np.full(15, value, "<i8")])
    part = replace(found.result.processes[0], parts={"h2d": SampleRange(20, 15)})
    hashed = hashlib.sha256(values.tobytes()).hexdigest()
    result = replace(found.result, processes=(part,), samples_count=35, samples_sha256=hashed)
    store.add(replace(found, result=result), values.tobytes())
    if said is None:
        assert store.samples_ns(store.get("dddd5555")).tolist() == values.tolist()
        return
    with pytest.raises(ResultError, match=said):
        store.samples_ns(store.get("dddd5555"))


def test_a_full_or_forbidden_disk_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "measurements").write_text("a file where the folder belongs")
    with pytest.raises(ResultError, match="cannot be written"):
        Store(tmp_path).add(measurement("aaaa1111"), VALUES.tobytes())


def test_what_an_older_edgebench_stored_is_brought_up_when_it_is_read(store: Store) -> None:
    path = store.folder("aaaa1111") / RESULT
    old = json.dumps({**json.loads(path.read_bytes()), "schema": 1})
    path.write_text(old)
    assert store.get("aaaa1111").schema == SCHEMA == 2
    assert path.read_text() == old


def test_what_is_removed_is_gone_whole(store: Store) -> None:
    store.remove("aaaa1111")
    assert store.ids() == ["aaaa2222", "bbbb3333"]
    assert [path.name for path in (store.root / "aa").iterdir()] == ["aaaa2222"]
