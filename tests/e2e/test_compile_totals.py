"""benchmarks/compile_totals.py counts what was captured, once every network was tried, for `report --claims`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from profiles.load import compile_coverage

pytest.importorskip("torchvision", reason="pip install 'edgebench[pytorch]'")

ROOT = Path(__file__).parents[2]
LISTED = """
from benchmarks.compile_coverage import FAMILIES
from benchmarks.coverage import torchvision_models
print("\\n".join(model.name for model in torchvision_models() if model.family in FAMILIES))
"""


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, *map(str, arguments)]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


def test_counts_when_every_network_was_tried_and_not_before(tmp_path: Path) -> None:
    names = run("-c", LISTED).stdout.split()
    lines = [{"model": name, "step": "capture", "graphs": 1, "breaks": 0} for name in names]
    lines[0].update(breaks=6, error="Dynamic shape operator")
    state, totals = tmp_path / "state.jsonl", tmp_path / "totals.json"
    count = (ROOT / "benchmarks" / "compile_totals.py", "--state", state, "--write", totals)

    state.write_text("\n".join(map(json.dumps, lines[1:])))
    early = run(*count)
    assert (early.returncode, totals.exists()) == (1, False)
    assert early.stdout == f"1 of {len(names)} networks were not tried yet: nothing is written\n"

    state.write_text("\n".join(map(json.dumps, lines)))
    assert run(*count).returncode == 0
    found = compile_coverage(totals)
    assert found is not None
    assert (found.models, found.whole) == (len(names), len(names) - 1)
