"""Which measurements there are: the index and plain reading agree, and the index follows the files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.results import database, index
from edge.results.catalogue import Catalogue, Indexed, Unindexed
from edge.results.filters import Filter
from edge.results.index import Index
from edge.results.store import RESULT, Store
from profiles.errors import ConfigError
from tests.measured import add, measurement

LONG_AGO_NS = 10**18


def silent(what: str, done: int = 0, total: int = 0) -> None:
    pass


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    add(
        store,
        measurement("aaaa1111", device="orin-1", started_at="2026-01-01T00:00:00Z"),
        measurement("aaaa2222", device="orin-2", batch=8, started_at="2026-02-01T00:00:00Z", run="run-2"),
        measurement("bbbb3333", device="t4", model="vit_b_16", batch=2, started_at="yesterday"),
    )
    for number, name in enumerate(store.ids()):
        os.utime(store.folder(name) / RESULT, ns=(LONG_AGO_NS, LONG_AGO_NS + number * 10**9))
    return store


@pytest.fixture(params=["files", "index"])
def catalogue(request: pytest.FixtureRequest, store: Store) -> Iterator[Catalogue]:
    if request.param == "files":
        yield Unindexed(store.root.parent)
        return
    pytest.importorskip("duckdb", reason="pip install 'edgebench[query]'")
    with Index(store.root.parent).files(silent) as files:
        yield Indexed(files)


def ids(catalogue: Catalogue, wanted: Filter, most: int = 9, sort: tuple[str, bool] | None = None) -> list[str]:
    return list(catalogue.pick(wanted.conditions(catalogue.devices(), None), sort, most).ids)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Filter(), ["aaaa1111", "aaaa2222", "bbbb3333"]),
        (Filter(device="orin-1,t4"), ["aaaa1111", "bbbb3333"]),
        (Filter(device="not orin-1"), ["aaaa2222", "bbbb3333"]),
        (Filter(device="local"), ["aaaa1111", "aaaa2222", "bbbb3333"]),
        (Filter(model="vit*"), ["bbbb3333"]),
        (Filter(run="run-2"), ["aaaa2222"]),
        (Filter(since="2026-01-15"), ["aaaa2222"]),
        (Filter(verdict=("invalid", "VALID")), ["aaaa1111", "aaaa2222", "bbbb3333"]),
        (Filter(verdict=("VALID",)), []),
        (Filter(model="it's"), []),
    ],
)
def test_measurements_are_found_by_what_they_are(catalogue: Catalogue, wanted: Filter, found: list[str]) -> None:
    assert ids(catalogue, wanted) == found


def test_the_newest_come_last_and_the_first_of_an_order_come_first(catalogue: Catalogue) -> None:
    assert ids(catalogue, Filter(), 2) == ["aaaa2222", "bbbb3333"]
    assert ids(catalogue, Filter(), 2, ("batch", True)) == ["aaaa2222", "bbbb3333"]
    assert ids(catalogue, Filter(), 3, ("started_at", False)) == ["aaaa1111", "aaaa2222", "bbbb3333"]
    assert catalogue.pick([], None, 1).total == 3


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Filter(device="nope"), "--device: no device, group, tag, profile or family 'nope' in the measurements"),
        (Filter(verdict=("GOOD",)), "--verdict: no verdict 'GOOD'; there are: VALID, INVALID, UNJUDGED"),
        (Filter(since="soon"), "--since: 'soon' is neither a time nor how long ago"),
    ],
)
def test_what_cannot_be_meant_is_refused(catalogue: Catalogue, wanted: Filter, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ids(catalogue, wanted)
    assert str(caught.value).startswith(said)


@pytest.fixture
def indexed(store: Store) -> Index:
    pytest.importorskip("duckdb", reason="pip install 'edgebench[query]'")
    return Index(store.root.parent)


def known(indexed: Index) -> set[str]:
    with indexed.files(silent) as files:
        return set(database.pick(files, [], None, 100)[0])


def settled(store: Store) -> None:
    """As if nothing had come into the store for long."""
    for shard in store.shards():
        os.utime(store.root / shard, ns=(LONG_AGO_NS, LONG_AGO_NS))


def test_the_index_follows_what_comes_and_goes(indexed: Index, store: Store) -> None:
    assert known(indexed) == {"aaaa1111", "aaaa2222", "bbbb3333"}
    add(store, measurement("aaaa4444"), measurement("cccc5555"))
    assert known(indexed) == {"aaaa1111", "aaaa2222", "aaaa4444", "bbbb3333", "cccc5555"}
    store.remove("aaaa2222")
    store.remove("bbbb3333")
    assert known(indexed) == {"aaaa1111", "aaaa4444", "cccc5555"}
    store.root.joinpath("bb").rmdir()
    assert known(indexed) == {"aaaa1111", "aaaa4444", "cccc5555"}


def test_a_shard_in_which_nothing_changed_is_not_read_again(indexed: Index, store: Store) -> None:
    settled(store)
    with indexed.files(silent) as files:
        before = {file: file.stat().st_ino for file in files}
    add(store, measurement("aaaa4444"))
    with indexed.files(silent) as files:
        assert [file.stat().st_ino for file in files if file.name.startswith("bb")] == [
            inode for file, inode in before.items() if file.name.startswith("bb")
        ]
        assert not set(before) & {file for file in files if file.name.startswith("aa")}


def test_other_rules_judge_everything_anew(indexed: Index, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    settled(store)
    assert len(known(indexed)) == 3
    monkeypatch.setattr(index, "RULES", 99)
    assert known(Index(store.root.parent)) == {"aaaa1111", "aaaa2222", "bbbb3333"}
    assert [folder.name.split("-")[1] for folder in (store.root.parent / "index").iterdir() if folder.is_dir()] == [
        "99"
    ]


def test_a_damaged_measurement_is_listed_until_it_is_mended(indexed: Index, store: Store) -> None:
    settled(store)
    path = store.folder("bbbb3333") / RESULT
    whole = path.read_bytes()
    path.write_bytes(b"{")
    with indexed.files(silent) as files:
        assert database.pick(files, [], None, 9)[1] == 3
        assert "bbbb3333" not in database.identifiers(files, [])
    path.write_bytes(whole)
    with indexed.files(silent) as files:
        assert "bbbb3333" in database.identifiers(files, [])


@pytest.mark.leaves("multiprocessing keeps a pipe to its resource tracker for the life of the process")
def test_many_are_read_by_processes_side_by_side(indexed: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_MANY", 2)
    assert known(indexed) == {"aaaa1111", "aaaa2222", "bbbb3333"}


def test_an_empty_store_has_an_empty_index(tmp_path: Path) -> None:
    pytest.importorskip("duckdb", reason="pip install 'edgebench[query]'")
    assert known(Index(tmp_path)) == set()
