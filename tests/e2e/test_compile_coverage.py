"""benchmarks/compile_coverage.py measures a model in a process of its own, goes on where it ended, and its page says
which step passed and what was not tried."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torchvision", reason="pip install 'edgebench[pytorch]'")

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "compile_coverage.py"


def run(folder: Path, *more: str) -> tuple[str, str]:
    """What it said, and the page."""
    argv = [sys.executable, str(SCRIPT), "--state", "state.jsonl", "--write", "page.md", *more]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(argv, cwd=folder, env=kept, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stderr
    return done.stdout, (folder / "page.md").read_text(encoding="utf-8")


def test_a_network_is_captured_whole_once(tmp_path: Path) -> None:
    asked = ("--only", "torchvision:squeezenet1_1", "--steps", "capture")
    said, page = run(tmp_path, *asked)
    assert said.startswith("torchvision:squeezenet1_1 capture: passed (")
    (line,) = [json.loads(line) for line in (tmp_path / "state.jsonl").read_text(encoding="utf-8").splitlines()]
    assert (line["graphs"], line["breaks"], line["error"], line["size"]) == (1, 0, "", "3x224x224")
    assert "| torchvision classification | 80 | 1 of 1 tried | not tried | not tried |" in page
    assert "| squeezenet1_1 | 3x224x224 | 1.24 | yes | 1 | 0 |" in page
    assert "Nothing that was tried failed." in page
    assert "| resnet50 |  |  | not tried |" in page
    assert run(tmp_path, *asked) == ("", page)


def test_what_did_not_pass_has_its_reason(tmp_path: Path) -> None:
    steps = [
        {"model": "torchvision:retinanet_resnet50_fpn", "step": "capture", "error": "no | yes", "graphs": 7,
         "breaks": 6, "reason": "Dynamic shape operator"},
        {"model": "torchvision:lraspp_mobilenet_v3_large", "step": "capture", "graphs": 1, "breaks": 0},
        {"model": "torchvision:lraspp_mobilenet_v3_large", "step": "inductor", "parity": 2e-3, "error": "off"},
        {"model": "torchvision:fcn_resnet50", "step": "inductor", "error": "no end within 1800 s", "stopped": True},
    ]  # fmt: skip
    (tmp_path / "state.jsonl").write_text("\n".join(map(json.dumps, steps)), encoding="utf-8")
    _, page = run(tmp_path, "--only", "nothing")
    assert "| torchvision segmentation | 6 | 1 of 1 tried | 1 of 2 tried | 0 of 2 tried |" in page
    assert "| torchvision detection | 12 | 0 of 1 tried | not tried | not tried |" in page
    assert "| **all** | 98 | 1 of 2 tried | 1 of 2 tried | 0 of 2 tried |" in page
    assert "| torchvision:retinanet_resnet50_fpn | capture | no \\| yes; Dynamic shape operator |" in page
    assert "| retinanet_resnet50_fpn |  | - | no | 7 | 6 | 0 | not tried |  |" in page
    (row,) = [line for line in page.splitlines() if line.startswith("| fcn_resnet50 ")]
    assert row.split("|")[-3].strip() == "stopped"
