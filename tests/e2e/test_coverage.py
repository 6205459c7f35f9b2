"""benchmarks/coverage.py goes on where it was cut off, and its page says what was measured and what was not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("torchvision", reason="pip install 'edgebench[pytorch]'")
pytest.importorskip("onnxscript", reason="pip install 'edgebench[local]'")

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "coverage.py"
MODEL = "torchvision:squeezenet1_1"


def start(folder: Path, *more: str) -> subprocess.Popen[str]:
    argv = [sys.executable, str(SCRIPT), "--state", "state.jsonl", "--write", "page.md", "--only", MODEL, *more]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.Popen(argv, cwd=folder, env=kept, stderr=subprocess.PIPE, text=True, start_new_session=True)


def told(folder: Path) -> list[dict[str, object]]:
    path = folder / "state.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def test_a_walk_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    first = start(tmp_path, "--steps", "fp32,fp16")
    until = time.monotonic() + 300
    while not told(tmp_path) and first.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    (line,) = told(tmp_path)
    assert line["step"] == "fp32"
    with (tmp_path / "state.jsonl").open("a", encoding="utf-8") as stream:
        stream.write('{"model": "torchvision:sque')  # as a kill leaves it

    second = start(tmp_path, "--steps", "fp32,fp16")
    _, err = second.communicate(timeout=300)
    assert second.returncode == 0, err
    assert f"{MODEL} fp16: parity" in err
    assert f"{MODEL} fp32" not in err
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "| torchvision classification | 80 | **1 of 1 tried** | **1 of 1 tried** | not tried | not tried |" in page
    (row,) = (line for line in page.splitlines() if line.startswith("| squeezenet1_1 "))
    assert row.startswith("| squeezenet1_1 | 3x224x224 | 1.23 | 0.35 |")
    assert "Nothing that was tried failed." in page


def test_a_failure_has_its_reason(tmp_path: Path) -> None:
    outcome = {"model": "keras:VGG16", "step": "int8", "error": "no | yes"}
    (tmp_path / "state.jsonl").write_text(json.dumps(outcome) + "\n", encoding="utf-8")
    done = start(tmp_path, "--steps", "none")
    _, err = done.communicate(timeout=120)
    assert done.returncode == 0, err
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "| keras:VGG16 | INT8 | no \\| yes |" in page
    assert "| keras.applications | 40 | **not tried** | **not tried** | 0 of 1 tried | not tried |" in page
