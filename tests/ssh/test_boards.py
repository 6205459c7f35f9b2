"""The board behind a name: a device whose serial number is another than fleet.toml says is not measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.operator import BRIEF, FAST, Operator
from tests.recorded import Recorded, tree
from tests.ssh.sshd import Sshd

SERIAL, MACHINE = "1424221055613", "5b1e8a4c9d2f47f0a6c3e7d81f0b2a94"


@pytest.fixture
def board(tmp_path: Path) -> Recorded:
    """The files of a board, which the agent behind SSH reads in place of this machine's."""
    recorded = Recorded(tmp_path / "board")
    recorded.file("/proc/device-tree/serial-number", f"{SERIAL}\0")
    recorded.file("/etc/machine-id", f"{MACHINE}\n")
    return recorded


@pytest.fixture
def server(start_sshd: Callable[..., Sshd], operator: Operator, board: Recorded) -> Sshd:
    server = start_sshd()
    operator.prelude = BRIEF
    (operator.home / "fleet.toml").write_text(f'{server.fleet_toml()}python = "{board.python()}"\n')
    return server


def name_board(operator: Operator, serial: str) -> None:
    with (operator.home / "fleet.toml").open("a") as fleet:
        fleet.write(f'serial = "{serial}"\n')


def test_another_board_is_refused_before_anything_is_shipped(operator: Operator, server: Sshd, tiny_onnx: Path) -> None:
    name_board(operator, "999")
    answer = operator.run("deploy", tiny_onnx, "--device", "board", *FAST, "--json")
    assert answer.code == 1
    (failed,) = answer.json["failed"]
    assert (failed["error"]["stage"], failed["error"]["message"]) == (
        "probe",
        f"this is not the board 999 that fleet.toml names: its serial number is {SERIAL}, its machine id is {MACHINE}",
    )
    assert failed["error"]["fix"] == "correct `serial =` or `host =` of board in fleet.toml, or the cabling"
    assert not list(server.home.rglob("artifacts"))


@pytest.mark.parametrize("serial", [SERIAL, MACHINE.upper()])
def test_the_board_itself_is_measured(operator: Operator, server: Sshd, tiny_onnx: Path, serial: str) -> None:
    name_board(operator, serial)
    answer = operator.run("deploy", tiny_onnx, "--device", "board", *FAST, "--json")
    assert answer.code in (0, 4), answer.err
    (row,) = answer.json["measurements"]
    assert operator.stored(row["id"])["result"]["identity"]["serial"]["value"] == SERIAL


def test_a_board_that_tells_nothing_is_not_taken_for_the_one_that_is_named(
    operator: Operator, server: Sshd, board: Recorded, tiny_onnx: Path
) -> None:
    name_board(operator, SERIAL)
    board.remove("/proc/device-tree/serial-number")
    answer = operator.run("deploy", tiny_onnx, "--device", "board", *FAST)
    assert answer.code == 1
    assert "its serial number is not known (/proc/device-tree/serial-number: No such file" in answer.out


def test_probe_shows_what_to_copy_and_doctor_what_differs(operator: Operator, server: Sshd) -> None:
    name_board(operator, "999")
    probed = operator.run("devices", "probe")
    assert probed.code == 0, probed.err
    assert {f"  serial: {SERIAL}", f"  machine: {MACHINE}"} <= set(probed.out.splitlines())
    examined = operator.run("devices", "doctor")
    assert examined.code == 1
    assert f"stops: this is not the board 999 that fleet.toml names: its serial number is {SERIAL}" in examined.out


def test_probe_of_a_jetson_shows_how_it_is_set(
    operator: Operator, start_sshd: Callable[..., Sshd], tmp_path: Path
) -> None:
    jetson = tree(tmp_path / "jetson", "agx-orin-jetpack5")
    (operator.home / "fleet.toml").write_text(f'{start_sshd().fleet_toml()}python = "{jetson.python()}"\n')
    probed = operator.run("devices", "probe")
    assert probed.code == 0, probed.err
    shown = {"  jetpack_package: 5.1.4-b17", "  jetson_clocks: locked", "  fan_profile: cool", "  dla_cores: 2"}
    assert shown <= set(probed.out.splitlines())
