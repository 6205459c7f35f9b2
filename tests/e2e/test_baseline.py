"""edgebench compare --baseline through the real command: a bundle that was kept against what was measured since."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from edge.results.bundle import bundle
from edge.results.store import Store
from export.artifact import Store as Artifacts
from tests.made import measured
from tests.operator import BRIEF, SOUND, UNSOUND, Operator

TEN = (10.0, 10.1, 9.9, 10.05, 9.95)
BASE = "base.tar.gz"


def keep(root: Path, name: str, factor: float = 1.0, **fields: Any) -> None:
    row, samples = measured(*(factor * ms for ms in TEN), name=name, **fields)
    Store(root).add(row.measurement, samples.astype("<i8").tobytes())


def results(operator: Operator) -> Path:
    return operator.home / ".local/share/edgebench"


@pytest.fixture
def based(operator: Operator, tmp_path: Path) -> Operator:
    """With a bundle of two cells, of which one is measured nowhere else, and nothing of it in the store."""
    elsewhere = tmp_path / "elsewhere"
    keep(elsewhere, "aaaa1111")
    keep(elsewhere, "aaaa2222", batch=8)
    bundle(operator.home / BASE, ["aaaa1111", "aaaa2222"], Store(elsewhere), Artifacts(tmp_path / "none"), "0")
    return operator


@pytest.mark.parametrize(
    ("factor", "threshold", "code", "standing"),
    [(1.0, "5%", 0, "kept"), (1.2, "5%", 4, "regression"), (1.2, "30%", 0, "kept"), (1.05, "5%", 0, "undecided")],
)
def test_a_regression_ends_with_4_and_nothing_else_does(
    based: Operator, factor: float, threshold: str, code: int, standing: str
) -> None:
    keep(results(based), "bbbb1111", factor)
    before = based.files()
    answer = based.run("compare", "--baseline", BASE, "bbbb1111", "--threshold", threshold, "--json")
    assert answer.code == code, answer.err
    (one,) = answer.json["comparisons"]
    assert (one["standing"], one["ids_a"], one["ids_b"]) == (standing, ["aaaa1111"], ["bbbb1111"])
    assert answer.json["notes"] == ["in the baseline alone, and not compared: orin-1 " + BATCH_8]
    assert {name for name in based.files() - before if "aaaa" in name} == set()


BATCH_8 = "resnet18/pytorch fp16 batch 8 on onnxruntime"


def test_a_summary_for_a_pull_request(based: Operator) -> None:
    keep(results(based), "bbbb1111", 1.2, artifact="c" * 64)
    answer = based.run("compare", "--baseline", BASE, "bbbb1111", "--markdown")
    assert (answer.code, answer.err) == (4, "")
    title, blank, header, rule, row, space, *notes = answer.out.splitlines()
    assert title == "### edgebench: 1 regression in 1 comparison (5 %)"
    assert (blank, space) == ("", "")
    assert header.startswith("| request | A | B | time |")
    assert rule.startswith("| --- |")
    assert "| slower | regression (5 %) |" in row
    assert notes[0] == f"- in the baseline alone, and not compared: orin-1 {BATCH_8}"
    assert notes[1].endswith("A and B ran different artifacts of the model")


def test_a_baseline_may_be_a_measurement_that_is_here(based: Operator) -> None:
    keep(results(based), "bbbb1111")
    keep(results(based), "bbbb2222", 1.2)
    assert based.run("compare", "--baseline", "bbbb1111", "bbbb2222").code == 4
    assert based.run("compare", "--baseline", "bbbb2222", "bbbb1111").code == 0


def test_what_is_imported_is_of_the_same_board_as_what_was_measured_here(based: Operator) -> None:
    keep(results(based), "bbbb1111")
    assert based.run("results", "import", BASE).code == 0
    assert based.run("compare", "aaaa1111", "bbbb1111").code == 0
    again = based.run("results", "bundle", "again.tar.gz", "aaaa1111")
    assert again.code == 0
    assert based.run("compare", "--baseline", "again.tar.gz", "bbbb1111").code == 0


def test_another_board_is_refused(based: Operator) -> None:
    keep(results(based), "bbbb1111", identity={"serial": "2"})
    answer = based.run("compare", "--baseline", BASE, "bbbb1111")
    assert answer.code == 2
    assert "serial is sha256:" in answer.err
    assert based.run("compare", "--baseline", BASE, "bbbb1111", "--across", "serial").code == 0


def test_a_damaged_bundle_is_refused(based: Operator) -> None:
    keep(results(based), "bbbb1111")
    path = based.home / BASE
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    answer = based.run("compare", "--baseline", BASE, "bbbb1111")
    assert answer.code == 1
    assert answer.err.startswith(f"edgebench: {BASE}: ")
    assert len(answer.err.splitlines()) == 1
    assert not list(results(based).rglob("*aaaa*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("latest",), "A and B: a comparison has two sides; name both, such as latest~1 latest, or one and --baseline"),
        (("--baseline", BASE, "a", "b"), "B: the baseline is what A is held against; leave it out"),
        (("--baseline", BASE, "a", "b", "--live"), "--baseline: is for measurements that are stored; leave it out"),
        (
            ("--baseline", "no.tar.gz", "a"),
            "--baseline: there is no file no.tar.gz; `edgebench results bundle`",
        ),
        (("--baseline", BASE), "latest: 0 runs have measured something"),
    ],
)
def test_bad_input_is_one_sentence(based: Operator, arguments: tuple[str, ...], message: str) -> None:
    answer = based.run("compare", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
    assert len(answer.err.splitlines()) == 1


def test_the_newest_run_is_what_is_held_against_it(operator: Operator, tiny_onnx: Path) -> None:
    operator.prelude = BRIEF + SOUND
    deploy = ("deploy", tiny_onnx, "--quick", "--processes", "3", "--json")
    first = operator.run(*deploy, "--batch", "1,8").json
    kept = operator.run("results", "bundle", BASE, "--run", first["run"], "--json").json
    assert kept["sha256"] == hashlib.sha256((operator.home / BASE).read_bytes()).hexdigest()
    second = operator.run(*deploy, "--batch", "1,4").json
    answer = operator.run("compare", "--baseline", BASE, "--threshold", "900%", "--json")
    assert answer.code == 0, answer.err
    (one,) = answer.json["comparisons"]
    assert one["ids_b"] == [second["measurements"][0]["id"]]
    alone = [note.partition(" alone")[0] for note in answer.json["notes"]]
    assert alone == ["in the baseline", "in the run"]


def test_what_is_invalid_makes_no_green_build(operator: Operator, tiny_onnx: Path) -> None:
    operator.prelude = BRIEF + UNSOUND
    row = operator.run("deploy", tiny_onnx, "--quick", "--json").json["measurements"][0]["id"]
    assert operator.run("results", "bundle", BASE, row).code == 0
    answer = operator.run("compare", "--baseline", BASE)
    assert (answer.code, f"{row} is INVALID" in answer.err) == (2, True)
