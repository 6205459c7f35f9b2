"""edgebench best on this machine: it measures as few as it takes, takes what is stored, says by how much it misses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.operator import BRIEF, SOUND, Operator


@pytest.fixture
def brief(operator: Operator) -> Operator:
    operator.prelude = BRIEF + SOUND
    return operator


def test_it_measures_the_ends_and_the_second_time_nothing(brief: Operator, tiny_onnx: Path) -> None:
    arguments = ("best", tiny_onnx, "--p99", "10s", "--quick", "--batch", "1,2,4,8,16", "--json")
    answer = brief.run(*arguments, timeout=120)
    assert answer.code == 0, answer.err
    told = answer.json
    assert [row["meets"] for row in told["measurements"]] == [True, True]
    assert sorted(row["batch"] for row in told["measurements"]) == [1, 16]
    assert (told["grid"], told["full"], told["spared"]) == (5, 2, 3)
    assert told["short"] <= 3
    before = len(brief.measurements())
    again = brief.run(*arguments, timeout=120)
    assert again.code == 0, again.err
    assert all(row["reused"] for row in again.json["measurements"])
    assert again.json["full"] == 0
    assert len(brief.measurements()) - before == again.json["short"]


def test_it_says_by_how_much_a_limit_is_missed(brief: Operator, tiny_onnx: Path) -> None:
    answer = brief.run("best", tiny_onnx, "--p99", "10ns", "--quick", "--batch", "1,64", timeout=120)
    assert answer.code == 4, answer.err
    assert ": kept by none of 2 configurations" in answer.out
    assert "the least is" in answer.out
    assert "batch 1 on onnxruntime" in answer.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "best: no limit is given; say --p99 33ms, --fps 30 or --power 15W"),
        (("--p99", "33"), "--p99: '33' is no latency; write a number and one of ns, us, µs, ms, s"),
        (("--power", "15"), "--power: '15' is no power; write a number and one of mW, W, kW"),
        (("--fps", "many"), "--fps: 'many' is no number a second; write a number and one of /s, fps"),
        (("--fps", "30", "--precision", "fp8"), "--precision: unknown precision 'fp8'"),
        (("--fps", "30", "--batch", "0"), "--batch: '0' is no list of numbers"),
    ],
)
def test_bad_input_is_one_sentence(operator: Operator, arguments: tuple[str, ...], message: str) -> None:
    answer = operator.run("best", "resnet18", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
    assert len(answer.err.splitlines()) == 1
