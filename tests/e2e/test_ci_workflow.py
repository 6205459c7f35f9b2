"""docs/examples/edgebench.yml: its commands exist, and its scripts do in a shell what they are to do on a runner."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.command_lines import understood
from tests.operator import BRIEF, SOUND, Operator

FILE = Path(__file__).parents[2] / "docs/examples/edgebench.yml"
ON = True  # what YAML 1.1 makes of the key `on`


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    yaml = pytest.importorskip("yaml", reason="reading a workflow needs PyYAML")
    found: dict[Any, Any] = yaml.safe_load(FILE.read_text())
    return found


def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = workflow["jobs"]["measure"]["steps"]
    return found


def script(workflow: dict[Any, Any], name: str) -> str:
    return str(next(step["run"] for step in steps(workflow) if step.get("name") == name))


def commands(workflow: dict[Any, Any]) -> list[str]:
    lines = [line.strip() for step in steps(workflow) for line in step.get("run", "").splitlines()]
    return [re.split(r" \| | >> | && ", line)[0] for line in lines if line.startswith("edgebench ")]


def test_every_command_exists_with_its_options(workflow: dict[Any, Any]) -> None:
    found = commands(workflow)
    assert {line.split()[1] for line in found} >= {"export", "deploy", "compare", "results", "devices"}
    environment = workflow["jobs"]["measure"]["env"]
    for line in found:
        understood(re.sub(r'"\$(\w+)"', lambda match: shlex.quote(environment[match[1]]), line))


def test_it_runs_on_both_events_and_uses_released_actions(workflow: dict[Any, Any]) -> None:
    assert set(workflow[ON]) == {"push", "pull_request"}
    for step in steps(workflow):
        assert ("run" in step) != ("uses" in step), step
        assert re.fullmatch(r"actions/[\w/-]+@v\d+", step.get("uses", "actions/x@v1"))
    uploads = [step["with"]["path"] for step in steps(workflow) if "upload-artifact" in step.get("uses", "")]
    assert f"results bundle {uploads[0]} " in script(workflow, "Bundle")


def test_a_push_makes_the_baseline_of_a_pull_request(
    workflow: dict[Any, Any], operator: Operator, tiny_onnx: Path
) -> None:
    tools = operator.home / "bin"
    tools.mkdir()
    (tools / "main.py").write_text(f"{BRIEF}{SOUND}\nfrom edge.cli import main\nmain()\n")
    (tools / "edgebench").write_text(f'#!/bin/sh\nexec {sys.executable} {tools}/main.py "$@"\n')
    (tools / "edgebench").chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "EDGEBENCH_"))}
    environment = kept | {
        "HOME": str(operator.home), "PATH": f"{tools}:{os.environ['PATH']}", "MODEL": str(tiny_onnx),
        "DEVICE": "local", "THRESHOLD": "900%", "GITHUB_STEP_SUMMARY": str(operator.home / "summary"),
        "PYTHONPATH": f"{Path(__file__).parents[2]}",
    }  # fmt: skip

    def run(name: str) -> int:
        text = script(workflow, name).replace("--weights random", "").replace("deploy", "deploy --quick")
        done = subprocess.run(
            ["bash", "-e", "-c", text], cwd=operator.home, env=environment, capture_output=True, text=True, check=False
        )
        return done.returncode

    names = ("Export", "Measure", "Bundle")
    assert [run(name) for name in (*names, "Keep as the baseline")] == [0] * 4
    assert [run(name) for name in (*names, "Compare")] == [0] * 4
    summary = (operator.home / "summary").read_text()
    assert summary.startswith("### edgebench: no regression in 2 comparisons (900 %)")
    environment["THRESHOLD"] = "5"
    assert run("Compare") == 2, "the pipe hides no exit code"
