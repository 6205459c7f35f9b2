"""A mixed fleet from the command line to engines: the real backend over the scripted TensorRT (tests/stand_ins), behind
OpenSSH servers on loopback. It shows who builds, what travels and what is told, never how fast anything is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.operator import BRIEF, Operator
from tests.ssh.sshd import Sshd
from tests.stand_ins.tensorrt_fixture import ScriptedTensorRT

Start = Callable[..., Sshd]


def write_fleet(operator: Operator, devices: dict[str, tuple[Sshd, dict[str, str]]], builder: str) -> None:
    """Every device is an Orin by its profile; its Python has the environment of its stand-ins."""
    text = ""
    for name, (server, environment) in devices.items():
        python = server.folder / "python"
        settings = " ".join(f"{key}={value}" for key, value in environment.items())
        python.write_text(f'#!/bin/sh\n{settings} exec {sys.executable} "$@"\n')
        python.chmod(0o755)
        text += server.fleet_toml("jetson-agx-orin-64gb") + f'python = "{python}"\n'
        text += "builder = true\n" if name == builder else ""
    (operator.home / "fleet.toml").write_text(text)


def test_fp16_engines_on_every_orin_of_a_mixed_fleet(
    operator: Operator, start_sshd: Start, tiny_onnx: Path, scripted_tensorrt: ScriptedTensorRT
) -> None:
    operator.prelude = BRIEF
    releases = {"orin-1": "10.3", "orin-2": "10.3", "orin-3": "8.6"}
    servers = {name: start_sshd(name=name) for name in releases}
    devices = {name: (servers[name], scripted_tensorrt.environment(release)) for name, release in releases.items()}
    write_fleet(operator, devices, builder="orin-1")
    command = ("deploy", tiny_onnx, "--device", "orin", "--engines", "per-class", "--bounds", "1:1:8", "--quick")
    answer = operator.run(*command, "--json", timeout=180)
    assert answer.code in (0, 4), answer.err + answer.out
    said = "\n".join(answer.json["choices"])
    assert "precision fp16 (profile jetson-agx-orin-64gb)" in said
    for name, release in releases.items():
        assert f"backend tensorrt {release}" in said
        assert f"on {name}: the first choice of its profile jetson-agx-orin-64gb, and it runs there" in said
    assert "engines of orin-2: those that orin-1 builds" in said
    assert "engines of orin-3: its own (tensorrt 8.6" in said
    assert "opset 17 or older for orin-3 (tensorrt 8.6" in said

    results = {row["device"]: operator.stored(row["id"])["result"] for row in answer.json["measurements"]}
    assert set(results) == set(releases)
    hashes = {name: result["engine"]["report"]["file"]["sha256"] for name, result in results.items()}
    assert hashes["orin-1"] == hashes["orin-2"] != hashes["orin-3"]
    assert [len(_built_on(servers[name])) for name in releases] == [1, 0, 1]
    assert results["orin-2"]["engine"]["why"] == "built by orin-1"
    for result in results.values():
        assert {layer["precision"] for layer in result["layers"]} == {"fp16"}
        assert result["processes"][0]["parity_after"]["error"] <= result["processes"][0]["parity_after"]["limit"]
        assert "trtexec" in result["command"]


def _built_on(server: Sshd) -> list[Path]:
    """The engines in the device's own cache."""
    return list(server.home.rglob("engines/*/model.engine"))


def test_a_build_is_told_of_while_it_lasts(
    operator: Operator, start_sshd: Start, tiny_onnx: Path, scripted_tensorrt: ScriptedTensorRT
) -> None:
    operator.prelude = MEASURES_FOR_SECONDS + LOOK_OFTEN
    environment = scripted_tensorrt.environment("10.3", build_s=5)
    write_fleet(operator, {"orin-1": (start_sshd(name="orin-1"), environment)}, builder="")
    answer = operator.run("deploy", tiny_onnx, "--device", "orin", "--quick", timeout=120)
    assert answer.code in (0, 4), answer.err + answer.out
    label = "tiny/onnx fp16 batch 1 on tensorrt"
    told = [line for line in answer.err.splitlines() if label in line and line.startswith("orin-1: ")]
    assert told[0] == told[-1] == f"orin-1: measuring {label} ..."
    assert any(line.startswith(f"orin-1: {label}: building the engine: ") for line in told), told


MEASURES_FOR_SECONDS = """
from device_agents.contract import Timing
Timing.quick = staticmethod(lambda: Timing(1, 0.0, 5, 0.1, 5.0, 20, 10.0))
"""
LOOK_OFTEN = """
from edge.agent import session
session._WAITING = ("--timeout", "300", "--preparing", "1")
"""


FACTORY = "import torch\n\ndef net(): return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))\n"


def test_an_export_takes_the_opset_that_the_oldest_tensorrt_of_a_fleet_reads(
    operator: Operator, start_sshd: Start, scripted_tensorrt: ScriptedTensorRT
) -> None:
    pytest.importorskip("torch", reason="exporting at an opset of choice needs PyTorch")
    releases = {"orin-1": "10.3", "orin-3": "8.6"}
    servers = {name: start_sshd(name=name) for name in releases}
    devices = {name: (servers[name], scripted_tensorrt.environment(release)) for name, release in releases.items()}
    write_fleet(operator, devices, builder="orin-1")
    (operator.home / "nets.py").write_text(FACTORY)
    asked = ("export", "nets:net", "--input", "x:float32:batch,3,2,2", "--opset", "auto", "--json", "--device")
    for device, opset, why in (
        ("orin", 17, "opset 17 (orin-3 has tensorrt 8.6"),
        ("orin-1", 20, "opset 20 (the newest that is written; orin-1 has tensorrt 10.3"),
    ):
        answer = operator.run(*asked, device, timeout=180)
        assert answer.code == 0, answer.err
        assert f"chosen: {why}" in answer.err
        (artifact,) = answer.json["artifacts"]
        assert artifact["graph"]["opset"] == opset
