"""What `results gc` takes away, and what it leaves."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from edge.results.garbage import leaving, remove
from edge.results.store import GOING, IMPORTING, MAKING, RESULT, Store
from tests.measured import add, measurement

OLD_S = 200 * 86_400


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    add(store, measurement("aaaa1111"), measurement("aaaa2222", run="run-2"), measurement("bbbb3333"))
    return store


def aged(path: Path) -> None:
    then = time.time() - OLD_S
    os.utime(path, (then, then))


def going(store: Store, **asked: object) -> dict[str, str]:
    wishes = {"damaged": False, "older_than_s": None, "kept_runs": (), **asked}
    return {one.path.name: one.why for one in leaving(store, **wishes)}  # type: ignore[arg-type]


def test_what_was_left_half_made_goes_and_what_may_be_under_way_stays(store: Store) -> None:
    names = [f"aa/{MAKING}x", f"aa/{GOING}x", f"{IMPORTING}x"]
    for name in names:
        (store.root / name).mkdir()
    assert going(store) == {}
    for name in names:
        aged(store.root / name)
    assert set(going(store)) == {f"{MAKING}x", f"{GOING}x", f"{IMPORTING}x"}
    for one in leaving(store, damaged=False, older_than_s=None, kept_runs=()):
        remove(store, one)
    assert not list(store.root.rglob(".*"))
    assert len(store.ids()) == 3


def test_damaged_ones_go_when_asked_and_a_newer_schema_is_no_damage(store: Store) -> None:
    path = store.folder("aaaa1111") / RESULT
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 99}))
    (store.folder("aaaa2222") / RESULT).write_text("{")
    (store.root / "cc" / "cccc5555").mkdir(parents=True)
    assert going(store) == {}
    found = going(store, damaged=True)
    assert set(found) == {"aaaa2222", "cccc5555"}
    assert all(why.startswith("damaged: ") for why in found.values())


def test_old_ones_go_but_those_of_a_run_that_will_go_on(store: Store) -> None:
    for name in ("aaaa1111", "aaaa2222"):
        aged(store.folder(name) / RESULT)
    assert going(store, older_than_s=90 * 86_400.0) == {"aaaa1111": "older", "aaaa2222": "older"}
    assert going(store, older_than_s=90 * 86_400.0, kept_runs={"run-2"}) == {"aaaa1111": "older"}
    assert going(store, older_than_s=300 * 86_400.0) == {}
