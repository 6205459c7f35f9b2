"""What `edgebench deploy` costs beside measuring, on this machine, with artifacts cached.

    python benchmarks/deploy_overhead.py [--json]

Runs `edgebench deploy resnet18 --framework all --device local --batch 1 --quick` (random weights, exported beforehand
in a store of its own) and splits its wall time. `measured` is what the device reports: import and load of the runtime
and the model, first inference, checks of the outputs, warm-up, timed part. `idle` is how long the device is watched
while nothing runs: 0.5 s before the first process, 0.25 s before each other. The budget of the rest is 2 s, of
the whole 15 s.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMAND = ("deploy", "resnet18", "--framework", "all", "--device", "local", "--batch", "1", "--quick", "--json")
RUNS = 5
FIRST_IDLE_S, IDLE_S = 0.5, 0.25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        edgebench(Path(home), "export", "resnet18", "--framework", "all", "--weights", "random")
        edgebench(Path(home), *COMMAND)  # the first one ships; it is not counted
        runs = [timed(Path(home)) for _ in range(RUNS)]
    figures = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    if arguments.json:
        print(json.dumps({"runs": runs, "median": figures, "load": os.getloadavg()[0]}))
        return
    print(f"median of {RUNS} runs, load {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors")
    for name, seconds in figures.items():
        print(f"{name:10} {seconds:6.2f} s   ({min(r[name] for r in runs):.2f} to {max(r[name] for r in runs):.2f})")


def timed(home: Path) -> dict[str, float]:
    begin = time.perf_counter()
    answer = json.loads(edgebench(home, *COMMAND))
    wall = time.perf_counter() - begin
    rows = answer["measurements"]
    measured = sum(row["measuring_s"] for row in rows)
    idle = sum(FIRST_IDLE_S + IDLE_S * (row["processes"] - 1) for row in rows)
    return {"wall": wall, "measured": measured, "idle": idle, "rest": wall - measured - idle}


def edgebench(home: Path, *arguments: str) -> str:
    argv = [sys.executable, "-c", "from edge.cli import main; main()", *arguments]
    done = subprocess.run(argv, env={**os.environ, "HOME": str(home)}, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 4):  # 4: the figures are INVALID, but the time was spent all the same
        sys.exit(done.stderr)
    return done.stdout


if __name__ == "__main__":
    main()
