"""edgebench init on a real terminal and in scripts, against a real OpenSSH whose key nobody knows yet."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import pytest
import tomllib

from device_agents.contract import SCHEMA, ProbeReport, Reading
from edge.checking.guessing import guessed
from tests.operator import Operator
from tests.ssh.sshd import Sshd, free_port
from tests.terminal import Shown, in_order, typed

Start = Callable[..., Sshd]
ENDING = ("all)", "")


def at_terminal(operator: Operator, *pairs: tuple[str, str], arguments: tuple[str, ...] = ()) -> Shown:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "EDGEBENCH_", "SSH_"))}
    environment = {**kept, "HOME": str(operator.home), "TERM": "dumb", "COLUMNS": "200"}
    code = "from edge.cli import main; main()"
    argv = [sys.executable, "-c", code, "init", *arguments]
    return typed(argv, environment, in_order(*pairs), cwd=operator.home)


def reach(server: Sshd, name: str = "board", gateway: str = "") -> list[tuple[str, str]]:
    """What is typed for one device, until its keys are shown."""
    return [
        ("Name of a device", name),
        ("Host, or its alias", "127.0.0.1"),
        ("User", server.user),
        ("Port", str(server.port)),
        ("Private key", str(server.key)),
        ("Gateway", gateway),
    ]


def fleet(operator: Operator) -> dict[str, Any]:
    return tomllib.loads((operator.home / "fleet.toml").read_text())


def test_questions_lead_to_a_fleet_that_works(operator: Operator, start_sshd: Start) -> None:
    server = start_sshd()
    shown = at_terminal(
        operator, *reach(server), ("Are these the keys of board?", "y"), ("Profile [local]", ""), ENDING,
        ("Write fleet.toml (board)?", "y"),
    )  # fmt: skip
    assert shown.code == 0, shown.text
    assert "SHA256:" in shown.text
    assert "wrote fleet.toml" in shown.text
    assert fleet(operator)["devices"]["board"] == {
        "profile": "local", "host": "127.0.0.1", "port": server.port, "user": server.user, "key": str(server.key),
    }  # fmt: skip
    known = (operator.home / ".config/edgebench/known_hosts").read_text()
    assert f"[127.0.0.1]:{server.port} {server.host_key()}" in known
    assert operator.run("devices", "probe", "board").code == 0
    plan = operator.run("sweep", "sweep.toml", "--device", "board", "--dry-run", "--json")
    assert plan.code == 0, plan.err


def test_a_device_behind_a_gateway_whose_key_is_new_as_well(operator: Operator, start_sshd: Start) -> None:
    gateway, board = start_sshd(name="gateway"), start_sshd(name="board")
    for server in (gateway, board):  # the gateway's login is ~/.ssh/config's, as hops name no key
        (server.folder / "authorized_keys").write_text((board.folder / "login.pub").read_text())
    (operator.home / ".ssh").mkdir()
    (operator.home / ".ssh/config").write_text(f"Host *\n  IdentityFile {board.key}\n")
    shown = at_terminal(
        operator, *reach(board, gateway=f"{gateway.user}@127.0.0.1:{gateway.port}"),
        ("Are these the keys of 127.0.0.1?", "y"), ("Are these the keys of board?", "y"), ("Profile [local]", ""),
        ENDING, ("Write fleet.toml", "y"),
    )  # fmt: skip
    assert shown.code == 0, shown.text
    assert "board: reached" in shown.text
    assert operator.run("devices", "probe", "board").code == 0
    assert "Accepted publickey" in gateway.log


@pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["Ctrl-C", "Ctrl-D"])
@pytest.mark.parametrize("index", [0, 3, 6, 7, 9])
def test_whoever_gives_up_has_written_nothing(operator: Operator, start_sshd: Start, index: int, key: str) -> None:
    server = start_sshd()
    before = operator.files()
    answered = [*reach(server), ("Are these the keys", "y"), ("Profile [local]", ""), ENDING, ("Write fleet.toml", "")]
    shown = at_terminal(operator, *answered[:index], (answered[index][0], key))
    assert shown.code == 130, shown.text
    assert "stopped; nothing was written" in shown.text
    assert operator.files() == before


def test_a_key_that_is_not_confirmed_is_not_trusted(operator: Operator, start_sshd: Start) -> None:
    server = start_sshd()
    shown = at_terminal(
        operator, *reach(server), ("Are these the keys", "n"), ("Profile", "local"), ENDING, ("Write fleet.toml", "y")
    )
    assert shown.code == 0, shown.text
    assert "not reached yet" in shown.text
    assert "next: edgebench devices trust board" in shown.text
    assert not (operator.home / ".config/edgebench/known_hosts").exists()
    assert "Accepted" not in server.log


def test_a_file_that_is_there_is_asked_about(operator: Operator) -> None:
    (operator.home / "fleet.toml").write_text("# mine\n")
    shown = at_terminal(operator, ("Write over it?", "n"))
    assert (shown.code, "the file exists" in shown.text) == (2, True)
    assert (operator.home / "fleet.toml").read_text() == "# mine\n"
    shown = at_terminal(operator, ("Write over it?", "y"), ("Name of a device", ""), ("Write fleet.toml", "y"))
    assert shown.code == 0, shown.text
    assert "# mine" not in (operator.home / "fleet.toml").read_text()


def test_names_that_cannot_be_are_asked_for_again(operator: Operator) -> None:
    shown = at_terminal(
        operator, ("Name of a device", "local"), ("cannot be that of a device", ""), ("Write fleet.toml", "y")
    )
    assert shown.code == 0, shown.text


def test_flags_do_for_scripts_what_questions_do(operator: Operator, start_sshd: Start) -> None:
    server = start_sshd()
    (operator.home / ".config/edgebench").mkdir(parents=True)
    (operator.home / ".config/edgebench/known_hosts").write_text(server.known_hosts.read_text())
    flags = ("--user", server.user, "--port", str(server.port), "--key", str(server.key))
    answer = operator.run("init", "board=auto@127.0.0.1", *flags, "--json")
    assert answer.code == 0, answer.err
    assert answer.json == {
        "file": "fleet.toml", "written": ["fleet.toml", "sweep.toml"], "reached": ["board"], "failed": {},
    }  # fmt: skip
    assert fleet(operator)["devices"]["board"]["profile"] == "local"
    assert fleet(operator)["defaults"] == {"user": server.user, "port": server.port, "key": str(server.key)}
    assert operator.run("init", "board=auto@127.0.0.1", *flags).code == 2
    assert operator.run("init", "board=auto@127.0.0.1", *flags, "--force").code == 0


def test_a_profile_that_nobody_tells_is_not_made_up(operator: Operator) -> None:
    answer = operator.run("init", "board=auto@127.0.0.1", "--port", str(free_port()))
    assert answer.code == 2
    assert answer.err.splitlines()[-1].startswith("edgebench: HOST: the profile of board cannot be guessed (")
    assert operator.files() == set()


@pytest.mark.parametrize(
    ("kind", "key", "name", "profile"),
    [
        ("jetson", "board", "NVIDIA Jetson AGX Orin Developer Kit", "jetson-agx-orin-64gb"),
        ("jetson", "board", "NVIDIA Jetson Orin NX Engineering Reference Developer Kit", "jetson-orin-nx-16gb"),
        ("jetson", "board", "NVIDIA Jetson Orin Nano Developer Kit", "jetson-orin-nano-8gb"),
        ("jetson", "board", "NVIDIA Jetson AGX Thor Developer Kit", None),
        ("nvidia_gpu", "gpu_name", "NVIDIA A100-SXM4-80GB", "a100-80gb"),
        ("nvidia_gpu", "gpu_name", "NVIDIA A100-SXM4-40GB", None),
        ("nvidia_gpu", "gpu_name", "NVIDIA H100 80GB HBM3", "h100-80gb"),
        ("nvidia_gpu", "gpu_name", "Tesla T4", "t4-16gb"),
        ("cpu", "cpu_model", "Cortex-A78AE", "local"),
    ],
)
def test_a_profile_is_guessed_by_the_name_of_the_board(kind: str, key: str, name: str, profile: str | None) -> None:
    probe = ProbeReport(SCHEMA, kind, "3.8", "/w", 1, {key: Reading(name, "recorded")}, {}, {})
    assert guessed(probe) == profile
