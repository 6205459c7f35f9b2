"""`edgebench devices doctor` as a user types it. The devices are recorded ones (tests/recorded.py) that the real agent
looks at, on this machine or behind a real SSH server."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.operator import Answer, Operator
from tests.recorded import Recorded, a100, jetson
from tests.ssh.sshd import Sshd

Start = Callable[..., Sshd]


def of_this_machine(operator: Operator, device: Recorded, profile: str, **python: str) -> None:
    entry = f'[devices.local]\nprofile = "{profile}"\npython = "{device.python(**python)}"\n'
    (operator.home / "fleet.toml").write_text(entry)


def behind_ssh(operator: Operator, server: Sshd, device: Recorded, profile: str) -> None:
    text = server.fleet_toml(profile)
    (operator.home / "fleet.toml").write_text(f'{text}python = "{device.python()}"\n')


def checks(answer: Answer, name: str = "local") -> dict[str, Any]:
    return {finding["check"]: finding for finding in answer.json["devices"][name]["findings"]}


def test_this_machine_is_ok(operator: Operator) -> None:
    answer = operator.run("devices", "doctor")
    assert answer.code == 0, answer.out
    assert answer.out.startswith("local:")
    assert "stops:" not in answer.out


def test_a_jetson_that_lacks_much_is_told_each_command(operator: Operator, tmp_path: Path) -> None:
    of_this_machine(operator, jetson(tmp_path / "orin", "36.4.3", mode="MODE_30W"), "jetson-agx-orin-64gb")
    answer = operator.run("devices", "doctor", "local")
    assert answer.code == 1
    lines = answer.out.splitlines()
    assert lines[0] == "local:"
    assert lines[1].startswith("  stops: "), "what stops it comes first"
    assert "    sudo nvpmodel -m 0" in lines
    assert any("sudo apt install cuda-cudart-12-6;" in line for line in lines)
    assert "    sudo jetson_clocks" in lines


def test_nothing_is_changed_on_the_device(operator: Operator, tmp_path: Path) -> None:
    device = jetson(tmp_path / "orin", "36.4.3", mode="MODE_30W", cuda="12.6.77")
    of_this_machine(operator, device, "jetson-agx-orin-64gb")
    device.tool("nvpmodel", f'echo "$@" >> {tmp_path}/calls; echo "NV Power Mode: MODE_30W"; echo 2')
    answer = operator.run("devices", "doctor", "--json")
    assert checks(answer)["wrong_power_mode"]["command"] == "sudo nvpmodel -m 0"
    assert set((tmp_path / "calls").read_text().split()) == {"-q"}


def test_as_json_for_programs(operator: Operator, tmp_path: Path) -> None:
    device = a100(tmp_path / "a100", "470.82.01", cuda="12.6.77", processes="1234, python3, 512\\n")
    of_this_machine(operator, device, "a100-80gb")
    answer = operator.run("devices", "doctor", "--json")
    assert answer.code == 1
    assert answer.json["devices"]["local"]["healthy"] is False
    found = checks(answer)
    assert found["old_driver"]["severity"] == "stops"
    drivers = [each for each in answer.json["devices"]["local"]["findings"] if each["check"] == "old_driver"]
    assert "CUDA 12" in drivers[0]["what"], "libcudart's; onnxruntime's is that of this machine"
    assert len({each["command"] for each in drivers}) == 1, "one driver for all"
    assert found["foreign_work"]["severity"] == "spoils"
    assert found["recorded"]["severity"] == "note"


def test_a_jetpack_5_runs_the_agent_with_its_python_3_8(operator: Operator, tmp_path: Path) -> None:
    python = next(map(str, Path.home().glob(".pyenv/versions/3.8*/bin/python")), None) or shutil.which("python3.8")
    if python is None:
        pytest.skip("there is no Python 3.8 here")
    device = jetson(tmp_path / "orin", "35.4.1", cuda="11.4.298")
    of_this_machine(operator, device, "jetson-agx-orin-64gb", interpreter=python)
    answer = operator.run("devices", "doctor", "--json")
    found = checks(answer)
    assert "(3.8." in found["no_onnxruntime"]["why"]
    assert "/jp5/cu114" in found["no_onnxruntime"]["command"]
    assert "no_cudart" not in found


def test_a_device_behind_ssh(operator: Operator, start_sshd: Start, tmp_path: Path) -> None:
    device = jetson(tmp_path / "orin", "39.2.0", cuda="13.2.1")
    behind_ssh(operator, start_sshd(), device, "jetson-agx-orin-64gb")
    answer = operator.run("devices", "doctor", "all", "--json")
    found = checks(answer, "board")
    assert {"clocks_floating", "recorded"} <= set(found)
    assert not {"wrong_power_mode", "no_cudart", "old_driver"} & set(found)


def test_a_host_key_that_nobody_trusts(operator: Operator, start_sshd: Start, tmp_path: Path) -> None:
    server = start_sshd()
    server.known_hosts.write_text("")
    behind_ssh(operator, server, jetson(tmp_path / "orin", "36.4.3"), "jetson-agx-orin-64gb")
    answer = operator.run("devices", "doctor", "board", "--json")
    assert answer.code == 1
    finding = checks(answer, "board")["host_key"]
    assert finding["severity"] == "stops"
    assert "edgebench devices trust board" in finding["command"]


def test_a_device_that_cannot_be_reached_does_not_hide_another(
    operator: Operator, start_sshd: Start, tmp_path: Path
) -> None:
    server, gone = start_sshd(name="board-1"), start_sshd(name="board-2")
    gone.stop()
    device = Recorded(tmp_path / "plain")
    text = "".join(f'{each.fleet_toml()}python = "{device.python()}"\n' for each in (server, gone))
    (operator.home / "fleet.toml").write_text(text)
    answer = operator.run("devices", "doctor", "all", "--json")
    assert answer.code == 3, "some devices failed"
    assert answer.json["devices"]["board-1"]["healthy"] is True
    assert checks(answer, "board-2")["connect"]["severity"] == "stops"
