"""An INVALID cell is measured anew, so often as is said; every measurement is kept, the first that is sound counts."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from device_agents.backends import onnxruntime
from tests.operator import Operator
from tests.ssh.sshd import wait_until
from tests.stand_ins.carried import carry

LINED = """
from dataclasses import replace
import profiles.load
from device_agents.contract import Timing
from profiles.schema import Thresholds
_read = profiles.load.device_profile
_lines = Thresholds(9.0, 3.0, 9.0, 9.0, 9.0, 9.0, 9.0)
profiles.load.device_profile = lambda name: replace(_read(name), thresholds=_lines)
Timing.quick = staticmethod(lambda: Timing(1, 0.0, 1, 0.02, 0.3, 20, 1.0))
"""
"""A verdict that looks at nothing but the drift, which may be threefold, as the machine of tests has other work."""

Prepared = Callable[[int], Operator]


@pytest.fixture
def uneven(operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepared:
    """An operator on whose device so many jobs have a drift."""
    carry(tmp_path, monkeypatch, {"onnxruntime": "uneven_backend.py"})
    shutil.copy(onnxruntime.__file__, tmp_path / "carried/device_agents/backends/original.py")
    operator.prelude = LINED

    def prepared(jobs: int) -> Operator:
        (operator.home / "uneven-jobs").write_text(str(jobs))
        return operator

    return prepared


def plan(operator: Operator, model: Path, limits: str = "") -> None:
    (operator.home / "plan.toml").write_text(f'models = ["{model}"]\nquick = true\ndevices = "local"\n{limits}')


def events(operator: Operator) -> list[str]:
    return [event["event"] for event in operator.journal()]


def test_a_sweep_measures_anew_what_was_invalid_and_the_sound_one_counts(uneven: Prepared, tiny_onnx: Path) -> None:
    operator = uneven(1)
    plan(operator, tiny_onnx)
    answer = operator.run("sweep", "plan.toml", "--json")
    assert answer.code == 0, answer.err
    (made,) = answer.json["measurements"]
    assert made["verdict"] != "INVALID"
    (other,) = made["other_measurements"]
    assert events(operator) == ["started", "submitted", "invalid", "submitted", "done", "finished"]
    assert operator.journal()[2]["rules"] == ["unstable"]
    kept = {row["id"]: row["verdict"] for row in operator.measurements()}
    assert kept == {made["id"]: made["verdict"], other: "INVALID"}
    assert "is INVALID unstable; measuring it anew" in answer.err
    again = operator.run("sweep", "plan.toml", "--resume", "--json")
    assert again.code == 2, "it is finished"


def test_what_stays_invalid_is_repeated_no_more_often_than_is_said(uneven: Prepared, tiny_onnx: Path) -> None:
    operator = uneven(9)
    plan(operator, tiny_onnx, "[limits]\nrepeat_invalid = 2\n")
    answer = operator.run("sweep", "plan.toml")
    assert answer.code == 4, answer.err
    assert events(operator).count("submitted") == 3
    assert "measured 3 times, as it was INVALID; not counted: " in answer.out
    none = operator.run("sweep", "plan.toml", "--fresh", "--repeat-invalid", "0", "--json")
    assert none.json["measurements"][0]["other_measurements"] == []
    assert events(operator) == ["started", "submitted", "done", "finished"]


def test_deploy_repeats_only_when_it_is_asked(uneven: Prepared, tiny_onnx: Path) -> None:
    operator = uneven(1)
    assert operator.run("deploy", tiny_onnx, "--quick").code == 4
    uneven(1)
    assert operator.run("deploy", tiny_onnx, "--quick", "--repeat-invalid", "1").code == 0
    assert len(operator.measurements()) == 3
    assert operator.run("deploy", tiny_onnx, "--repeat-invalid", "11").code == 2


def test_a_run_that_was_killed_between_two_tries_goes_on_with_the_next(uneven: Prepared, tiny_onnx: Path) -> None:
    operator = uneven(2)
    plan(operator, tiny_onnx, "[limits]\nrepeat_invalid = 2\n")
    child = operator.start("sweep", "plan.toml")
    sweeps = operator.home / ".local/share/edgebench/sweeps"
    wait_until(lambda: bool(list(sweeps.glob("*/*.jsonl"))) and "invalid" in events(operator), "it was INVALID")
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate()
    answer = operator.run("sweep", "plan.toml", "--resume", "--json")
    assert answer.code == 0, answer.err
    (made,) = answer.json["measurements"]
    assert len(made["other_measurements"]) == 2
    assert len(operator.measurements()) == 3
    assert events(operator).count("invalid") == 2
    assert events(operator)[-2:] == ["done", "finished"]
