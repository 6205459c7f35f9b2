"""What a job turns on a discrete GPU: clocks and persistence mode. nvidia-smi and sudo are stand-ins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from device_agents.contract import Control, Controlled
from device_agents.control import discrete, holding, knobs
from device_agents.control.root import Root
from device_agents.errors import DeviceError
from device_agents.system import System
from tests.boards import install_smi


class Host:
    """One board; `gpu` is its UUID where it is one of several, which this nvidia-smi does not look at."""

    def __init__(self, folder: Path, gpu: str = "") -> None:
        self.tools = folder / "bin"
        self.tools.mkdir(parents=True)
        self.workdir = folder / "work"
        install_smi(self.tools)
        self.system = System(folder / "root", gpu)

    def held(self, **wanted: bool) -> list[Controlled]:
        with holding.held(self.workdir, "job-1", Control(**wanted), self.system, "gpu-of-test", []) as controlled:
            self.during = self.state
        return controlled

    @property
    def state(self) -> dict[str, str]:
        path = self.tools / "smi.json"
        found: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        return found

    def set(self, **fields: str) -> None:
        (self.tools / "smi.json").write_text(json.dumps({name.replace("__", "."): v for name, v in fields.items()}))

    @property
    def calls(self) -> list[str]:
        log = self.tools / "sudo.log"
        return [line.partition("nvidia-smi ")[2] for line in log.read_text().splitlines()] if log.exists() else []


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    host = Host(tmp_path)
    monkeypatch.setenv("PATH", f"{host.tools}:/usr/bin:/bin")
    return host


def test_clocks_are_locked_at_their_highest_and_let_go(host: Host) -> None:
    host.set(memory_clock="settable")
    (one,) = host.held(lock_clocks=True)
    assert (host.during["clocks.sm"], host.during["clocks.mem"]) == ("1410", "1593")
    assert host.calls == ["-lgc 1410,1410", "-lmc 1593,1593", "-rgc", "-rmc"]
    assert (one.before, one.during) == ("SM 210 MHz, memory 1593 MHz", "SM 1410 MHz, memory 1593 MHz")
    assert one.problem == ""


def test_a_memory_clock_that_cannot_be_locked_is_no_reason_not_to_lock_the_other(host: Host) -> None:
    (one,) = host.held(lock_clocks=True)
    assert host.during["clocks.sm"] == "1410"
    assert (host.state["clocks.sm"], one.problem) == ("210", "")


def test_persistence_is_switched_on_and_off_again(host: Host) -> None:
    assert host.held(persistence=True) == [Controlled("persistence", "Disabled", "Enabled", "Disabled")]
    assert host.during["persistence_mode"] == "Enabled"
    assert host.calls == ["-pm 1", "-pm 0"]


def test_persistence_that_is_on_stays_on(host: Host) -> None:
    host.set(persistence_mode="Enabled")
    assert host.held(persistence=True) == [Controlled("persistence", "Enabled", "Enabled", "Enabled")]
    assert host.calls == []


def test_the_driver_stays_loaded_before_clocks_are_locked_and_until_they_are_let_go(host: Host) -> None:
    host.held(lock_clocks=True, persistence=True)
    assert (host.calls[0], host.calls[-1]) == ("-pm 1", "-pm 0")


def test_of_several_boards_that_is_changed_which_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(tmp_path, gpu="GPU-1")
    monkeypatch.setenv("PATH", f"{host.tools}:/usr/bin:/bin")
    commands = [command for knob in knobs.wanted(Control(lock_clocks=True, persistence=True), host.system, tmp_path)
                for command in knob.commands()]  # fmt: skip
    assert commands
    assert all(command[1] == "--id=GPU-1" for command in commands)


def test_a_board_that_is_divided_is_left_alone(host: Host) -> None:
    host.set(mig__mode__current="Enabled")
    with pytest.raises(DeviceError, match=r"lock_clocks cannot be had here: the board is divided \(MIG\)"):
        host.held(lock_clocks=True)
    assert host.calls == []


def test_a_board_that_tells_no_clocks_cannot_be_locked(host: Host) -> None:
    host.set(clocks__max__sm="[N/A]")
    assert discrete.Clocks(host.system, Root(host.system)).available() == "nvidia-smi tells no highest clock"


def test_it_has_no_power_mode(host: Host) -> None:
    with pytest.raises(DeviceError, match="a nvidia_gpu has no power_mode"):
        knobs.wanted(Control(power_mode="MAXN"), host.system, host.workdir)


def test_what_is_available_and_which_line_is_missing_is_reported(host: Host) -> None:
    assert knobs.report(host.system).knobs == {"persistence": "", "lock_clocks": ""}
    assert knobs.report(host.system).rule == ""
    (host.tools / "sudoers").write_text("")
    assert knobs.report(host.system).rule.endswith(
        "nvidia-smi -pm 1, {0} -pm 0, {0} -lgc 1410\\,1410, {0} -lmc 1593\\,1593, {0} -rgc, {0} -rmc".format(
            host.tools / "nvidia-smi"
        )
    )
