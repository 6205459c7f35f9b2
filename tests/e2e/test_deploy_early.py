"""A runtime that returns before it has finished is found out at its first use, whatever it says of itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from device_agents.backends import onnxruntime
from tests.operator import BRIEF, FAST, Operator
from tests.stand_ins.carried import carry


def test_is_invalid_and_says_how_much_was_left(
    operator: Operator, tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carry(tmp_path, monkeypatch, {"onnxruntime": "early_backend.py"})
    shutil.copy(onnxruntime.__file__, tmp_path / "carried/device_agents/backends/original.py")
    operator.prelude = BRIEF
    answer = operator.run("deploy", *FAST, tiny_onnx, "--precision", "fp32", "--json")
    assert answer.code == 4, answer.err
    (row,) = answer.json["measurements"]
    assert row["verdict"] == "INVALID"
    (reason,) = [finding["reason"] for finding in row["findings"] if finding["rule"] == "not_waited"]
    assert reason.startswith("the device worked for ")
    state = operator.stored(row["id"])["result"]["processes"][0]["state"]
    assert state["outputs_after_wait"]["value"] == "changed"
    assert state["left_after_wait_ns"]["value"] >= 4_000_000
    shown = operator.run("results", "show", row["id"]).out
    assert "broken: not_waited: the device worked for" in shown


def test_the_real_one_waits(operator: Operator, tiny_onnx: Path) -> None:
    operator.prelude = BRIEF
    answer = operator.run("deploy", *FAST, tiny_onnx, "--precision", "fp32", "--json")
    (row,) = answer.json["measurements"]
    assert "not_waited" in [held["rule"] for held in row["held"]]
