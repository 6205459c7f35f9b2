"""edgebench compare on this machine, through the real command: stored measurements, and two cells measured in turn."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.operator import BRIEF, SOUND, UNSOUND, Operator

DEPLOY = ("--quick", "--processes", "3")


@pytest.fixture
def brief(operator: Operator) -> Operator:
    operator.prelude = BRIEF + SOUND
    return operator


def test_two_runs_are_compared_cell_by_cell(brief: Operator, tiny_onnx: Path) -> None:
    first = brief.run("deploy", tiny_onnx, *DEPLOY, "--batch", "1,8", "--json").json
    second = brief.run("deploy", tiny_onnx, *DEPLOY, "--batch", "1,4", "--json").json
    for words in (("latest~1", "latest"), (first["run"], second["run"][:22])):
        answer = brief.run("compare", *words, "--threshold", "900%", "--json")
        assert answer.code == 0, answer.err
        (one,) = answer.json["comparisons"]
        assert (one["ids_a"], one["ids_b"]) == (
            [first["measurements"][0]["id"]],
            [second["measurements"][0]["id"]],
        )
        assert one["time"]["low"] < one["time"]["value"] < one["time"]["high"]
        assert any("in A alone" in note and "batch 8" in note for note in answer.json["notes"])
    told = brief.run("compare", first["run"], second["run"], "--threshold", "900%")
    assert "local tiny/onnx fp32 batch 1 on onnxruntime: B (" in told.out
    assert "of 3 and 3 processes" in told.out


def test_a_regression_ends_with_4_and_what_is_unlike_is_refused(brief: Operator, tiny_onnx: Path) -> None:
    rows = brief.run("deploy", tiny_onnx, *DEPLOY, "--batch", "1,256", "--json").json["measurements"]
    one, many = (row["id"] for row in rows)
    refused = brief.run("compare", one, many)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == "edgebench: A and B: batch is 1 and 256; to compare all the same: --across batch\n"
    slower = brief.run("compare", one[:10], many[:10], "--across", "batch", "--threshold", "1%", "--markdown")
    assert slower.code == 4, slower.err
    header, rule, line = slower.out.splitlines()
    assert header.startswith("| request | A | B | time |")
    assert "| slower | regression (1 %) |" in line
    assert rule.startswith("| --- |")
    assert brief.run("compare", many, one, "--across", "batch").code == 0


def test_what_is_invalid_is_refused_unless_asked(operator: Operator, tiny_onnx: Path) -> None:
    operator.prelude = BRIEF + UNSOUND
    ids = [operator.run("deploy", tiny_onnx, *DEPLOY, "--json").json["measurements"][0]["id"] for _ in range(2)]
    refused = operator.run("compare", *ids)
    assert refused.code == 2
    assert f"{ids[0]} is INVALID" in refused.err
    assert "--include-invalid" in refused.err
    assert operator.run("compare", *ids, "--include-invalid", "--threshold", "900%").code == 0


def test_where_no_round_is_sound_there_is_no_answer_and_the_reason(operator: Operator, tiny_onnx: Path) -> None:
    operator.prelude = BRIEF + UNSOUND
    sides = (tiny_onnx, f"{tiny_onnx}@8")
    answer = operator.run("compare", "--live", *sides, "--quick", "--rounds", "2", "--json", timeout=120)
    assert answer.code == 4, answer.err
    assert answer.json["comparisons"] == []
    (note,) = answer.json["notes"]
    assert note.startswith("no answer, as no round is without a process that failed or is INVALID: INVALID")
    assert sum(int(count) for count in re.findall(r"\((\d+) of 8 processes\)", note)) == 8, note


def test_two_cells_are_measured_in_turn(brief: Operator, tiny_onnx: Path) -> None:
    answer = brief.run(
        "compare", "--live", f"{tiny_onnx}:fp32", f"{tiny_onnx}:onnxruntime@256", "--quick", "--rounds", "2", "--json",
        timeout=120,
    )  # fmt: skip
    assert answer.code == 4, answer.err
    (one,) = answer.json["comparisons"]
    assert (one["name_a"], one["name_b"], one["how"]) == ("1", "256", "2 rounds of A B B A, a process each")
    assert (one["finding"], one["time"]["value"] > 1) == ("slower", True)
    started = sorted(brief.measurements(), key=lambda row: str(row["started_at"]))
    assert sorted(row["batch"] for row in started) == [1] * 4 + [256] * 4
    order = [event["label"] for event in brief.journal() if event["event"] == "submitted"]
    assert ["batch 256" in label for label in order] == [False, True, True, False] * 2


def test_a_stored_measurement_stands_for_its_cell(brief: Operator, tiny_onnx: Path) -> None:
    named = ("--name", "mine")
    assert brief.run("export", tiny_onnx, *named, "--precision", "fp32").code == 0
    stored = brief.run("deploy", "mine", "--quick", "--json").json["measurements"][0]["id"]
    more = ("--quick", "--rounds", "2", "--threshold", "900%")
    answer = brief.run("compare", "--live", stored[:8], "mine@8", *more, timeout=120)
    assert answer.code in (0, 4), answer.err
    assert "takes" in answer.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing", "latest"), "nothing: no measurement, run or sweep is called or begins so; see"),
        (("latest~3", "latest"), "latest~3: 0 runs have measured something"),
        (("a", "b", "--threshold", "5"), "--threshold: '5' is no share; write a number and one of %"),
        (("a", "b", "--quick"), "--quick: is for --live"),
        (("a", "b", "--live", "--across", "batch"), "--across: cells of --live differ in what they are said to"),
        (("a.onnx:fp32:fp16", "b", "--live"), "a.onnx:fp32:fp16: names two: fp32 and fp16; one precision is a cell's"),
        (("resnet18@0", "b", "--live"), "resnet18@0: batch 0 is not between 1 and 4096"),
        (("nonet", "resnet18", "--live"), "nonet"),
    ],
)
def test_bad_input_is_one_sentence(operator: Operator, arguments: tuple[str, ...], message: str) -> None:
    answer = operator.run("compare", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
    assert len(answer.err.splitlines()) == 1


def test_one_cell_is_no_two(operator: Operator, tiny_onnx: Path) -> None:
    answer = operator.run("compare", "--live", tiny_onnx, f"{tiny_onnx}:fp32")
    assert answer.code == 2
    assert "A and B are one cell" in answer.err
