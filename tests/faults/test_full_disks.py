"""The device's disk is full, at each stage: the sentence names device, stage and fix, and nothing half made is left.

The disk is a tmpfs of a few MiB, which root alone can mount; the test says so where it cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge.agent import bundle
from tests.faults.devices import deploy, entry, fleet
from tests.operator import Operator
from tests.ssh.sshd import Sshd
from tests.stand_ins.carried import carry

AGENT_AND_BALLAST = 783_000
"""Of the 1 MiB of the disk: what is left holds the model and what comes with it, and no engine of its size beside."""

FIX = "free space there, or set `workdir` of the device in fleet.toml to a larger disk"


@pytest.fixture
def on_small_disk(operator: Operator, server: Sshd, small_disk: Path) -> Operator:
    fleet(operator, entry(server) + f'workdir = "{small_disk}/eb"\n')
    return operator


def failure(operator: Operator, model: Path, *more: object) -> dict[str, Any]:
    answer = deploy(operator, model, *more)
    assert answer.code == 1, answer.err + answer.out
    (failed,) = answer.json["failed"]
    assert failed["device"] == "board"
    assert failed["error"]["fix"] == FIX, failed["error"]
    assert operator.measurements() == []
    return dict(failed["error"])


def half_made(small_disk: Path) -> list[Path]:
    return [path for pattern in ("*.part*", "*.copy", "*.i64le", "result.json") for path in small_disk.rglob(pattern)]


def test_at_the_upload(on_small_disk: Operator, small_disk: Path, heavy_onnx: Path) -> None:
    error = failure(on_small_disk, heavy_onnx)
    assert error["stage"] == "transfer"
    assert error["where"].startswith("board")
    assert "the disk of the device is full" in error["message"]
    assert "model.onnx was not stored" in error["message"]
    assert half_made(small_disk) == []


def test_at_the_build(
    on_small_disk: Operator,
    small_disk: Path,
    tiny_onnx: Path,
    server: Sshd,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is built there is a stand-in's engine, as large as the model: agent and model fit, the engine does not."""
    carry(tmp_path, monkeypatch, {"tensorrt": "builder_backend.py"})
    (server.home / "tensorrt").write_text("10.3.0")
    (small_disk / "ballast").write_bytes(bytes(AGENT_AND_BALLAST - len(bundle.build().data)))
    error = failure(on_small_disk, tiny_onnx, "--backend", "tensorrt")
    assert (error["stage"], error["message"]) == (
        "build", "the engine cannot be kept (No space left on device)",
    )  # fmt: skip
    assert error["where"].startswith("board, ")
    assert half_made(small_disk) == []
    assert not list(small_disk.rglob("*.engine"))


def test_at_the_result(on_small_disk: Operator, small_disk: Path, tiny_onnx: Path) -> None:
    """1 MiB holds agent and model, but not the samples of so small a model."""
    error = failure(on_small_disk, tiny_onnx, "--option", "threads=1")
    assert (error["stage"], error["message"]) == ("result", "No space left on device")
    assert error["where"].startswith("board, ")
    assert half_made(small_disk) == []
