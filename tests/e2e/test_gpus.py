"""`gpus =` of fleet.toml over a real OpenSSH server: a device for each GPU of a host. nvidia-smi is a stand-in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from device_agents.locks import accelerator_path
from tests import recorded
from tests.operator import BRIEF, Operator
from tests.ssh.sshd import Sshd

Start = Callable[..., Sshd]


@pytest.fixture
def host(operator: Operator, start_sshd: Start) -> Iterator[Sshd]:
    """A host with three GPUs, the first of which somebody else keeps busy."""
    server = start_sshd()
    uuids = [f"GPU-{uuid4()}" for _ in range(3)]
    busy = {
        "uuid": uuids[0],
        "utilization.gpu": "98",
        "apps": [{"pid": 7, "process_name": "train", "used_memory": "9"}],
    }
    recorded.gpus(server.folder / "smi", busy, *({"uuid": uuid} for uuid in uuids[1:]))
    yield server
    for uuid in uuids:
        accelerator_path(uuid).unlink(missing_ok=True)


def fleet(operator: Operator, host: Sshd, gpus: str) -> None:
    lines = f"python = '{operator.python}'\nsetup = 'export PATH={host.folder}/smi:$PATH'\n{gpus}\n"
    (operator.home / "fleet.toml").write_text(host.fleet_toml() + lines)


def test_all_gpus_of_a_host_are_devices_of_one_command(operator: Operator, host: Sshd, tiny_onnx: Path) -> None:
    fleet(operator, host, 'gpus = "all"')
    operator.prelude = BRIEF
    words = ("--batch", "1", "--quick", "--precision", "fp32", "--backend", "onnxruntime", "--json")
    answer = operator.run("deploy", tiny_onnx, "--device", "board", *words, timeout=180)
    assert answer.code in (0, 4), answer.err + answer.out
    rows = answer.json["measurements"]
    assert [row["device"] for row in rows] == ["board:0", "board:1", "board:2"]
    uuids = {operator.stored(row["id"])["result"]["identity"]["gpu_uuid"]["value"] for row in rows}
    assert len(uuids) == 3
    assert len(list(host.home.glob(".cache/edgebench/*/artifacts/*"))) == 1, "sent once, and found by the others"


def test_one_gpu_is_picked_by_its_name(operator: Operator, host: Sshd) -> None:
    fleet(operator, host, 'gpus = "all"')
    answer = operator.run("devices", "probe", "board:2", "--json")
    assert list(answer.json["devices"]) == ["board:2"]
    assert answer.json["devices"]["board:2"]["probe"]["context"]["gpu_choice"]["value"].startswith("2 (GPU-")

    answer = operator.run("devices", "probe", "board:7")
    assert answer.code == 2
    assert "no device, group, tag, profile or family 'board:7'" in answer.err
    assert "names: board:0, board:1, board:2, local" in answer.err


def test_a_host_that_is_lost_is_one_failure_and_naming_its_gpu_says_why(operator: Operator, host: Sshd) -> None:
    fleet(operator, host, 'gpus = "all"')
    host.stop()
    answer = operator.run("devices", "probe", "board or local", "--json")
    assert answer.code == 3
    assert (list(answer.json["devices"]), list(answer.json["failed"])) == (["local"], ["board"])
    answer = operator.run("devices", "probe", "board:1")
    assert answer.code == 1
    assert "\nedgebench: board (" in answer.err
    assert "nothing listens at port" in answer.err


def test_without_gpus_an_idle_one_is_chosen_and_named(operator: Operator, host: Sshd) -> None:
    fleet(operator, host, "")
    context = operator.run("devices", "probe", "board", "--json").json["devices"]["board"]["probe"]["context"]
    assert context["gpu_choice"]["value"].startswith("1 (GPU-")
    assert ": the first idle one of 3 (" in context["gpu_choice"]["value"]
    assert context["gpu_neighbours"]["value"].startswith("0: 98 % busy, 1 process, ")


def test_a_gpu_that_is_not_there_is_found_by_the_doctor(operator: Operator, host: Sshd) -> None:
    fleet(operator, host, "gpus = [5]")
    answer = operator.run("devices", "doctor", "board", "--json")
    (found,) = answer.json["devices"]["board:5"]["findings"]
    assert (found["check"], found["severity"]) == ("no_gpu", "stops")
    assert found["what"].startswith("there is no GPU 5 (nvidia-smi names: 0 GPU-")
    assert found["command"] == "name another with `gpus =` in fleet.toml"


def test_what_concerns_the_host_is_asked_once(operator: Operator, host: Sshd) -> None:
    fleet(operator, host, "gpus = [0, 1]")
    answer = operator.run("devices", "trust", "board", "--json")
    assert list(answer.json["keys"]) == ["board:0"]
    assert "no engines yet" in operator.run("engines", "list", "board").out


def test_in_a_sweep_each_is_waited_for_until_it_is_as_cool_as_it_was(
    operator: Operator, host: Sshd, tiny_onnx: Path
) -> None:
    """The GPU rests at 34 degrees, and the processor beside it at 60, which is no heat."""
    zone = host.folder / "root/sys/class/thermal/thermal_zone0/temp"
    zone.parent.mkdir(parents=True)
    zone.write_text("60000\n")
    setup = f"export PATH={host.folder}/smi:$PATH EDGEBENCH_SYSTEM_ROOT={host.folder}/root"
    (operator.home / "fleet.toml").write_text(f"{host.fleet_toml()}python = '{operator.python}'\nsetup = '{setup}'\n")
    operator.prelude = BRIEF
    (operator.home / "plan.toml").write_text(
        f'''
models = ["{tiny_onnx}"]
precisions = ["fp32"]
backends = ["onnxruntime"]
quick = true
repeats = 2
devices = "board"
[limits]
cool_for = "10 s"
repeat_invalid = 0
[[include]]
options = {{ provider = "cpu" }}
'''
    )
    answer = operator.run("sweep", "plan.toml", "--json", timeout=240)
    assert answer.code in (0, 4), answer.err + answer.out
    results = [operator.stored(row["id"])["result"] for row in answer.json["measurements"]]
    assert sorted(one["context"]["temperature_c"]["value"] for one in results) == [34.0, 34.0, 60.0, 60.0]
    assert max(one["seconds"]["cooled"] for one in results) < 9
