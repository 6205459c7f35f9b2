"""SQL over results: the views say what they are documented to say, and nothing can be written or read beside them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge.report import answers
from edge.results.columns import COLUMNS
from edge.results.filters import Filter
from edge.results.query import answered
from edge.results.sampling import samples_of
from edge.results.store import Store
from profiles.errors import ConfigError
from tests.measured import VALUES, add, measurement

pytest.importorskip("duckdb", reason="pip install 'edgebench[query]'")

PAGE = Path(__file__).parents[3] / "docs" / "results.md"


def silent(what: str, done: int = 0, total: int = 0) -> None:
    pass


@pytest.fixture
def root(tmp_path: Path) -> Path:
    add(Store(tmp_path), measurement("aaaa1111"), measurement("bbbb2222", device="orin-1", batch=4))
    return tmp_path


ALL = Filter()


def ask(root: Path, sql: str, wanted: Filter = ALL) -> list[dict[str, Any]]:
    with answered(root, sql, wanted, silent, fleet=None) as answer:
        rows: list[dict[str, Any]] = answers.as_json(answers.read(answer))["rows"]
        return rows


def test_measurements_have_their_figures(root: Path) -> None:
    (row,) = ask(
        root, "SELECT batch, samples, median_ms, started_at, figures FROM measurements WHERE device = 'orin-1'"
    )
    assert (row["batch"], row["samples"], row["started_at"]) == (4, 15, "2026-01-01T00:00:00Z")
    assert row["median_ms"] == pytest.approx(13e-6)
    assert row["figures"]["id"] == "bbbb2222"


def test_the_other_views_hang_together(root: Path) -> None:
    assert ask(root, "SELECT device, measurements FROM devices ORDER BY 1") == [
        {"device": "local", "measurements": 1}, {"device": "orin-1", "measurements": 1},
    ]  # fmt: skip
    assert ask(root, "SELECT artifact, measurements, devices FROM artifacts") == [
        {"artifact": "a" * 64, "measurements": 2, "devices": 2}
    ]
    rules = {row["rule"]: row["kind"] for row in ask(root, "SELECT * FROM verdicts WHERE id = 'aaaa1111'")}
    assert rules["unstable"] == "broken"
    assert rules["too_hot"] == "unjudged"


def test_what_another_tool_measured_has_no_artifact(root: Path) -> None:
    found = measurement("cccc3333")
    add(Store(root), replace(found, origin=replace(found.origin, artifact="")))
    assert ask(root, "SELECT count(*) AS of FROM measurements") == [{"of": 3}]
    assert ask(root, "SELECT artifact FROM artifacts") == [{"artifact": "a" * 64}]


def test_raw_samples_are_read_when_they_are_asked_for(root: Path) -> None:
    sql = (
        "SELECT latency_ns FROM samples JOIN measurements m USING (id) WHERE batch = 4 AND NOT warmup ORDER BY position"
    )
    assert [row["latency_ns"] for row in ask(root, sql)] == VALUES[5:].tolist()


def test_a_query_sees_what_its_filters_leave(root: Path) -> None:
    assert ask(root, "SELECT id FROM measurements", Filter(device="orin-1")) == [{"id": "bbbb2222"}]
    assert ask(root, "SELECT DISTINCT id FROM samples", Filter(device="orin-1")) == [{"id": "bbbb2222"}]


def test_more_samples_than_memory_should_hold_are_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.results.sampling.MOST", 30)
    with pytest.raises(ConfigError, match="more than 30 samples"):
        samples_of(Store(root), ["aaaa1111", "bbbb2222"])


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("COPY measurements TO '{file}'", "COPY is no query"),
        ("CREATE TABLE t (a INT)", "CREATE is no query"),
        ("INSERT INTO measurements SELECT * FROM measurements", "INSERT is no query"),
        ("DELETE FROM measurements", "DELETE is no query"),
        ("ATTACH '{file}'", "ATTACH is no query"),
        ("SET enable_external_access = true", "SET is no query"),
        ("PRAGMA enable_profiling", "PRAGMA is no query"),
        ("INSTALL httpfs", "LOAD is no query"),
        ("EXPLAIN ANALYZE COPY measurements TO '{file}'", "EXPLAIN is no query"),
        ("SELECT 1; COPY measurements TO '{file}'", "2 statements; a query is one"),
        ("", "0 statements; a query is one"),
        ("SELECT * FROM query('COPY measurements TO ''{file}''')", "SQL: "),
        ("SELECT * FROM read_text('{secret}')", "Permission Error"),
        ("SELECT * FROM read_blob('{secret}')", "Permission Error"),
        ("SELECT * FROM read_csv('{secret}')", "Permission Error"),
        ("SELECT * FROM '{secret}'", "SQL: "),
        ("SELECT * FROM glob('/etc/*')", "Permission Error"),
        ("SELECT nope FROM measurements", 'Referenced column "nope" not found'),
        ("SELECT * FROM nowhere", "Table with name nowhere does not exist"),
        ("SELEC 1", "syntax error"),
        ("SELECT error('late') FROM measurements", "late"),
    ],
)
def test_a_query_only_reads_and_only_results(root: Path, tmp_path: Path, sql: str, said: str) -> None:
    secret, file = tmp_path / "secret.csv", tmp_path / "written"
    secret.write_text("a\n1\n")
    with pytest.raises(ConfigError) as caught:
        ask(root, sql.format(secret=secret, file=file))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not file.exists()


def test_columns_of_one_name_are_told_apart(root: Path) -> None:
    assert ask(root, "SELECT 1 AS a, 2 AS a, 'nan'::DOUBLE AS b") == [{"a": 1, "a_2": 2, "b": None}]


def test_every_column_is_documented_with_its_type_and_meaning() -> None:
    section = PAGE.read_text().partition("### measurements\n")[2].partition("\n### ")[0]
    told = [tuple(line) for line in re.findall(r"^\| `(\w+)` \| (\w+) \| (.*) \|$", section, re.MULTILINE)]
    assert told == [(column.name, column.kind, column.meaning) for column in COLUMNS]
