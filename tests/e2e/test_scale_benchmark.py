"""The benchmark of large fleets, with two devices that sleep for no time: what it simulates is taken for an agent."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "scale.py"


def test_simulated_devices_end_every_cell() -> None:
    argv = [sys.executable, str(SCRIPT), "--real", "0", "--simulated", "2", "--sleeps", "0,0,0", "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["rows"]
    assert (row["devices"], row["cells"], row["shipped_mb"]) == (2, 24, 0.0)
    assert row["cpu_s"] > 0 < row["peak_mb"]
    assert set(row["budgets"]) == {"wall s", "controller CPU s", "controller peak MB"}
