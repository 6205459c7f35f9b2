"""edgebench devices canary over real sshd: boards of one profile, the second time with a history."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.e2e.conftest import Start
from tests.operator import BRIEF, SOUND, Operator


def test_boards_are_compared_and_the_second_time_with_themselves(
    operator: Operator, start_sshd: Start, tiny_onnx: Path
) -> None:
    operator.prelude = BRIEF + SOUND
    for name in ("board-1", "board-2", "board-3", "board-4"):
        server = start_sshd(name=name)
        with (operator.home / "fleet.toml").open("a") as fleet:
            fleet.write(server.fleet_toml("local") + f'python = "{sys.executable}"\n')
    arguments = ("devices", "canary", "--quick", "--model", tiny_onnx, "--json")
    first = operator.run(*arguments, timeout=180)
    assert first.code in (0, 4), first.err
    boards = first.json["boards"]
    assert [(one["device"], one["peers"], one["earlier"]) for one in boards] == [
        (f"board-{number}", 4, 0) for number in range(1, 5)
    ]
    assert all(one["of_group"] is not None for one in boards)
    again = operator.run(*arguments[:-1], timeout=180)
    assert again.code in (0, 4), again.err
    assert "of its history" in again.out
    assert "no earlier canary" not in again.out
    listed = operator.run("sweeps", "list", "--json").json["runs"]
    assert [run["name"] for run in listed] == ["canary", "canary"]


def test_this_machine_alone_is_no_group(operator: Operator, tiny_onnx: Path) -> None:
    operator.prelude = BRIEF + SOUND
    answer = operator.run("devices", "canary", "--quick", "--model", tiny_onnx)
    assert answer.code == 0, answer.err
    assert "local: 1 board to compare, and it takes 4 to say which is unlike" in answer.out
    assert "no earlier canary in the same environment: local" in answer.out


def test_bad_input_is_one_sentence(operator: Operator) -> None:
    for arguments, message in ((("nobody",), "nobody"), (("--model", "nonet"), "nonet")):
        answer = operator.run("devices", "canary", *arguments)
        assert (answer.code, answer.out) == (2, "")
        assert message in answer.err
        assert len(answer.err.splitlines()) == 1
