"""`edgebench results` at a shell: listed, asked, exported, passed on to another operator, cleared away."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from edge.results.store import RESULT, Store
from tests.measured import add, measurement, telling
from tests.operator import Operator


@pytest.fixture
def store(operator: Operator) -> Store:
    store = Store(operator.home / ".local/share/edgebench")
    add(
        store,
        telling(measurement("aaaa1111", device="orin-1")),
        measurement("bbbb2222", device="t4", model="vit_b_16", batch=8),
    )
    (operator.home / "fleet.toml").write_text(
        '[devices.orin-1]\nhost = "h"\nprofile = "jetson-agx-orin-64gb"\ntags = ["lab"]\n'
    )
    return store


@pytest.mark.parametrize(
    "options", [["--device", "lab"], ["--model", "res*"], ["--device", "not t4", "--sort", "batch"]]
)
def test_list_shows_what_was_asked_for(operator: Operator, store: Store, options: list[str]) -> None:
    answer = operator.run("results", "list", "--json", *options)
    assert [one["id"] for one in answer.json["measurements"]] == ["aaaa1111"]
    assert answer.json["total"] == 1


def test_list_without_a_match_says_so(operator: Operator, store: Store) -> None:
    answer = operator.run("results", "list", "--verdict", "VALID")
    assert (answer.code, answer.out) == (0, "no measurement is so; `edgebench results list` shows those there are\n")


def test_what_cannot_be_read_is_no_empty_store(operator: Operator, store: Store) -> None:
    for name in store.ids():
        (store.folder(name) / RESULT).write_text("{")
    answer = operator.run("results", "list")
    assert answer.out == ""
    assert answer.err.count("not valid JSON") == 2


def test_a_query_is_a_table_json_or_csv(operator: Operator, store: Store) -> None:
    pytest.importorskip("duckdb", reason="pip install 'edgebench[query]'")
    sql = "SELECT id, batch FROM measurements ORDER BY batch"
    assert operator.run("results", "query", sql).out.split() == ["id", "batch", "aaaa1111", "1", "bbbb2222", "8"]
    assert operator.run("results", "query", sql, "--json").json["rows"][1] == {"id": "bbbb2222", "batch": 8}
    assert operator.run("results", "query", sql, "--csv").out == "id,batch\naaaa1111,1\nbbbb2222,8\n"
    refused = operator.run("results", "query", "DROP VIEW measurements")
    assert (refused.code, refused.out) == (2, "")
    assert "DROP is no query" in refused.err


def test_without_duckdb_a_query_names_the_extra_and_a_list_goes_on(operator: Operator, store: Store) -> None:
    operator.prelude = "import sys; sys.modules['duckdb'] = None"
    answer = operator.run("results", "query", "SELECT 1")
    assert answer.code == 2
    assert "pip install 'edgebench[query]'" in answer.err
    assert len(answer.err.splitlines()) == 1
    assert operator.run("results", "list", "--device", "t4", "--json").json["measurements"][0]["id"] == "bbbb2222"


def test_export_writes_csv_and_lines_of_json(operator: Operator, store: Store) -> None:
    assert operator.run("results", "export", "--out", "all.csv").code == 0
    rows = list(csv.DictReader(io.StringIO((operator.home / "all.csv").read_text())))
    assert [(row["id"], row["batch"], row["p99_ms"]) for row in rows] == [("aaaa1111", "1", ""), ("bbbb2222", "8", "")]
    assert operator.run("results", "export", "--out", "t4.jsonl", "--device", "t4").code == 0
    (line,) = (operator.home / "t4.jsonl").read_text().splitlines()
    assert json.loads(line)["model"] == "vit_b_16"
    refused = operator.run("results", "export", "--out", "all.xls")
    assert (refused.code, "unknown format 'xls'" in refused.err) == (2, True)
    unsaid = operator.run("results", "export")
    assert (unsaid.code, "--format: csv, jsonl, parquet" in unsaid.err) == (2, True)


def test_what_an_output_is_stays_what_it_is(operator: Operator, store: Store, tmp_path: Path) -> None:
    """A link, a pipe and a device; a folder is refused."""
    link, pipe = tmp_path / "link.csv", tmp_path / "pipe.csv"
    (tmp_path / "real.csv").write_text("before")
    link.symlink_to("real.csv")
    assert operator.run("results", "export", "--format", "csv", "--out", str(link)).code == 0
    assert link.is_symlink()
    whole = (tmp_path / "real.csv").read_bytes()
    assert whole.startswith(b"id,run,")
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE)
    assert operator.run("results", "export", "--format", "csv", "--out", str(pipe)).code == 0
    assert reader.communicate(timeout=30)[0] == whole
    assert pipe.is_fifo()
    device = tmp_path / "null"
    if os.geteuid() == 0:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        assert operator.run("results", "export", "--format", "csv", "--out", str(device)).code == 0
        assert device.is_char_device()
    for words in (("results", "export", "--format", "csv", "--out", "."), ("report", "--html", ".")):
        refused = operator.run(*words)
        assert (refused.code, refused.err) == (2, "edgebench: .: is a folder; name a file in it\n")


def test_what_cannot_be_written_or_read_is_a_sentence(operator: Operator, store: Store) -> None:
    """stdout on a full disk, whatever prints there; a store, and runs of sweeps, that are no folder."""
    for words in (["--version"], ["--help"], ["results", "list"]):
        with Path("/dev/full").open("w") as full:
            child = operator.start(*words, stdout=full)
            told = child.communicate(timeout=60)[1]
        assert child.returncode == 1, words
        assert told.startswith("edgebench: the output cannot be written (No space left on device)"), words
    shutil.rmtree(store.root)
    store.root.write_text("")
    (store.root.parent / "sweeps").write_text("")
    for words in (["results", "list"], ["sweeps", "list"]):
        refused = operator.run(*words, "--json")
        assert refused.code == 1, words
        assert "cannot be read or written" in refused.json["error"]["message"]
        assert "Traceback" not in refused.err


def test_a_query_is_whole_for_another_program(operator: Operator, store: Store) -> None:
    told = operator.run("results", "query", "SELECT *, repeat('x', 400) FROM measurements LIMIT 1")
    assert "x" * 400 in told.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("report", "--html", "x.html", "--port", "3"), "--host and --port are for --live"),
        (("report", "--html", "-"), "a page is a file; name one"),
        (("compare", "latest", "latest", "--rounds", "9"), "--rounds"),
        (("results", "list", "--last", "99999999999999999999"), "less than or equal"),
    ],
)
def test_what_says_nothing_is_refused(operator: Operator, store: Store, words: tuple[str, ...], told: str) -> None:
    refused = operator.run(*words)
    assert refused.code == 2
    assert told in refused.err


def test_export_to_parquet_is_read_by_others(operator: Operator, store: Store) -> None:
    duckdb = pytest.importorskip("duckdb", reason="pip install 'edgebench[query]'")
    assert operator.run("results", "export", "--out", "all.parquet").code == 0
    with duckdb.connect() as connection:
        path = operator.home / "all.parquet"
        assert connection.execute(f"SELECT max(batch), count(*) FROM '{path}'").fetchall() == [(8, 2)]


def test_another_operator_reads_a_bundle(operator: Operator, store: Store, tmp_path: Path) -> None:
    assert operator.run("results", "bundle", "lab.tar.gz", "--device", "lab", "--json").json["measurements"] == [
        "aaaa1111"
    ]
    other = Operator(tmp_path / "other")
    other.home.mkdir()
    shutil.move(operator.home / "lab.tar.gz", other.home)
    assert other.run("results", "import", "lab.tar.gz").out == "1 measurement imported from lab.tar.gz\n"
    (theirs,), (ours,) = other.measurements(), [one for one in operator.measurements() if one["id"] == "aaaa1111"]
    assert theirs["imported"]["bundle"] == "lab.tar.gz"
    assert ours["imported"] is None
    assert {**theirs, "imported": None, "command": None} == {**ours, "command": None}
    assert "lab.tar.gz" in other.run("results", "list").out
    assert "not measured from here" in other.run("results", "show", "aaaa").out
    again = other.run("results", "import", "lab.tar.gz", "--json")
    assert again.json == {"imported": [], "kept": ["aaaa1111"]}


def test_a_bundle_of_nothing_in_particular_is_refused(operator: Operator, store: Store) -> None:
    answer = operator.run("results", "bundle", "one.tar.gz")
    assert (answer.code, "say which measurements" in answer.err) == (2, True)


@pytest.mark.parametrize("words", [["bundle", "one.tar.gz"], ["export", "--out", "one.csv"]])
def test_ids_and_filters_are_not_given_together(operator: Operator, store: Store, words: list[str]) -> None:
    answer = operator.run("results", *words, "aaaa", "--model", "x")
    assert (answer.code, "choose one" in answer.err) == (2, True)


def test_gc_shows_first_and_removes_when_told(operator: Operator, store: Store) -> None:
    (store.folder("aaaa1111") / RESULT).write_text("{")
    shown = operator.run("results", "gc", "--damaged")
    assert "1 folder" in shown.out
    assert "--yes removes them" in shown.out
    assert sorted(store.ids()) == ["aaaa1111", "bbbb2222"]
    assert operator.run("results", "gc", "--damaged", "--yes", "--json").json["removed"] is True
    assert store.ids() == ["bbbb2222"]
