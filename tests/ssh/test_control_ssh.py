"""`deploy --lock-clocks --power-mode` over a real SSH server, to a Jetson of stand-ins (tests/boards.py): what is
turned there is put back when the job ends, the link is lost, or the controller is killed."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.boards import FLOATING, Board
from tests.operator import BRIEF, Answer, Operator
from tests.ssh.sshd import Sshd, wait_until

Start = Callable[..., Sshd]
LOCKED_15W = ("420750000", "420750000")


@dataclass
class Orin:
    operator: Operator
    server: Sshd
    board: Board
    model: Path

    def command(self, *more: object) -> tuple[object, ...]:
        wanted = ("--lock-clocks", "--power-mode", "MODE_15W", "--precision", "fp32", "--backend", "onnxruntime")
        return ("deploy", self.model, "--device", "orin", "--quick", *wanted, *more)

    def deploy(self, *more: object) -> Answer:
        return self.operator.run(*self.command("--json", *more))

    @property
    def as_it_was(self) -> bool:
        state = (self.board.mode, self.board.clocks)
        return state == ("MAXN", FLOATING) and not list(self.server.home.rglob("control"))

    @property
    def is_turned(self) -> bool:
        return (self.board.mode, self.board.clocks) == ("MODE_15W", LOCKED_15W)

    def began(self) -> None:
        """Wait until a worker measures there."""

        def begun() -> bool:
            return any('"process 1 of' in path.read_text() for path in self.server.home.rglob("status.json"))

        wait_until(lambda: self.is_turned and begun(), "it measures")

    def fleet(self, text: str) -> None:
        path = self.operator.home / "fleet.toml"
        path.write_text(path.read_text() + text)

    def stored(self, answer: Answer) -> Any:
        return self.operator.stored(answer.json["measurements"][0]["id"])["result"]


@pytest.fixture
def orin(operator: Operator, start_sshd: Start, tiny_onnx: Path) -> Orin:
    server = start_sshd()
    board = Board(server.folder / "board")
    board.allow_all()
    (operator.home / "fleet.toml").write_text(
        server.fleet_toml("jetson-agx-orin-64gb") + f'python = "{board.device.python(sys.executable)}"\n'
    )
    operator.prelude = BRIEF
    return Orin(operator, server, board, tiny_onnx)


def test_it_is_measured_as_asked_told_and_put_back(orin: Orin) -> None:
    answer = orin.deploy()
    assert answer.code in (0, 4), answer.err + answer.out
    assert orin.as_it_was
    row = answer.json["measurements"][0]
    assert (row["lock_clocks"], row["power_mode"]) == (True, "MODE_15W")
    assert "wrong_power_mode" not in {finding["rule"] for finding in row["findings"]}, "it is in the mode it asked for"
    assert {one["name"]: one["after"] for one in row["controlled"]}["power_mode"] == "MAXN"
    state = orin.stored(answer)["processes"][0]["state"]
    assert state["gpu_clock_min_hz_before"]["value"] == state["gpu_clock_max_hz_before"]["value"] == 420750000
    shown = orin.operator.run("results", "show", row["id"]).out
    assert "in MODE_15W" in shown
    assert "power_mode: MAXN; while measured MODE_15W; afterwards MAXN" in shown


def test_a_sudo_that_refuses_is_one_sentence_and_nothing_is_changed(orin: Orin) -> None:
    orin.board.sudoers("")
    answer = orin.operator.run(*orin.command())
    assert answer.code == 1
    (line,) = (line for line in answer.out.splitlines() if "failed on board" in line)
    assert "sudo does not run" in line
    assert orin.as_it_was
    assert orin.board.calls == []
    orin.board.sudoers(line.partition("and add: ")[2].rstrip(")."))
    assert orin.deploy().code in (0, 4), "the line that it told is the one that helps"
    assert orin.as_it_was


def test_a_controller_that_is_killed(orin: Orin) -> None:
    """The job goes on, puts everything back at its end, and the same command collects it."""
    orin.operator.prelude = ""
    child = orin.operator.start(*orin.command())
    orin.began()
    os.killpg(child.pid, signal.SIGKILL)
    wait_until(lambda: orin.as_it_was, "it is put back", 60)
    again = orin.deploy()
    assert again.code in (0, 4), again.err
    assert [path.name for path in orin.server.home.rglob("jobs/*")] == [again.json["measurements"][0]["id"]]


def test_a_lost_link(orin: Orin) -> None:
    orin.operator.prelude = ""
    child = orin.operator.start(*orin.command())
    orin.began()
    orin.server.cut_sessions()
    out, _ = child.communicate(timeout=60)
    assert "its measurement goes on there" in out
    wait_until(lambda: orin.as_it_was, "it is put back", 60)
    assert orin.deploy().code in (0, 4)


def test_ctrl_c_puts_everything_back(orin: Orin) -> None:
    orin.operator.prelude = ""
    child = orin.operator.start(*orin.command())
    orin.began()
    os.killpg(child.pid, signal.SIGINT)
    child.communicate(timeout=60)
    assert child.returncode == 130
    assert orin.as_it_was


def test_the_product_is_stopped_and_started_unless_measured_beside(orin: Orin, tmp_path: Path) -> None:
    said = tmp_path / "said"
    for key in ("quiesce", "resume"):
        orin.fleet(f"{key} = {json.dumps(['sh', '-c', f'echo {key} >> {said}'])}\n")
    plain = ("deploy", orin.model, "--device", "orin", "--precision", "fp32", "--quick", "--json")
    shared = orin.operator.run(*plain, "--shared")
    assert shared.json["measurements"][0]["shared"] is True
    assert not said.exists()
    assert orin.operator.run(*plain).json["measurements"][0]["controlled"][0]["name"] == "product"
    assert said.read_text() == "quiesce\nresume\n"


def test_the_doctor_tells_what_may_be_turned_and_the_line_that_is_missing(orin: Orin) -> None:
    def control() -> Any:
        findings = orin.operator.run("devices", "doctor", "board", "--json").json["devices"]["board"]["findings"]
        (found,) = (finding for finding in findings if finding["check"] == "control")
        assert found["severity"] == "note"
        return found

    assert control()["what"] == "--lock-clocks, --power-mode can be asked for"
    orin.board.sudoers("")
    orin.board.roots.rmdir()
    found = control()
    assert found["what"] == "--lock-clocks, --power-mode can be asked for, once sudo lets its user"
    assert found["command"].startswith(f"sudo install -d -o root -m 0755 {orin.board.roots}; then sudo visudo")
    orin.board.sudoers(found["command"].partition("add: ")[2])
    orin.board.roots.mkdir(mode=0o755)
    assert orin.deploy().code in (0, 4)


def test_what_a_power_cut_left_is_put_back_by_a_look_and_told_by_the_doctor(orin: Orin) -> None:
    orin.operator.prelude = ""
    child = orin.operator.start(*orin.command())
    orin.began()
    os.killpg(child.pid, signal.SIGKILL)
    (status,) = orin.server.home.rglob("status.json")
    supervisor = json.loads(status.read_text())["pid"]
    for pid in (*Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split(), supervisor):
        os.kill(int(pid), signal.SIGKILL)
    assert orin.is_turned, "nobody is left to put it back"
    findings = orin.operator.run("devices", "doctor", "board", "--json").json["devices"]["board"]["findings"]
    (told,) = (finding for finding in findings if finding["check"] == "put_back")
    assert "was killed here; what it had changed was put back now: " in told["what"]
    assert orin.as_it_was
