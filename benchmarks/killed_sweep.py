"""A sweep that is killed -9 again and again, at random moments: after `--resume`, is every cell measured exactly once?

    python benchmarks/killed_sweep.py [--hosts N] [--kills N] [--seed N]

2 models x 2 frameworks x 3 batches over real sshd servers on loopback, which share this machine's processors: timing is
brief, and the figures mean nothing. Prints what each kill left behind, then counts measurements by cell; ends with 1
where one is missing or doubled.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from tests.ssh import sshd  # noqa: E402

BRIEF = """
from device_agents.contract import Timing
Timing.quick = staticmethod(lambda: Timing(1, 0.0, 5, 0.1, 0.05, 20, 1.0))
from edge.cli import main
main()
"""
PLAN = """
models = ["resnet18", "resnet50"]
frameworks = ["pytorch", "tensorflow"]
precisions = ["fp32"]
batches = [1, 2, 4]
sizes = ["64"]
weights = "random"
quick = true
[limits]
repeat_invalid = 0
"""
CELLS_A_HOST = 12
LEAST_S, MOST_S = 20.0, 90.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=8)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="killed-sweep-")))
        write_fleet(home, arguments.hosts, stack)
        edgebench(home, "export", "resnet18", "resnet50", "--framework", "all", "--weights", "random", "--size", "64")
        for number in range(arguments.kills):
            kill_after(home, moments.uniform(LEAST_S, MOST_S), number + 1)
        done = edgebench(home, "sweep", "plan.toml", "--resume", "--json")
        print(f"--resume ended with {done.returncode}", flush=True)
        return verdict(home, arguments.hosts)


def write_fleet(home: Path, hosts: int, stack: ExitStack) -> None:
    (home / "plan.toml").write_text(PLAN)
    with (home / "fleet.toml").open("w") as fleet:
        for number in range(hosts):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="eb-", dir="/tmp")))
            server = sshd.start(folder, name=f"host-{number + 1}")
            stack.callback(server.stop)
            fleet.write(server.fleet_toml() + f'python = "{sys.executable}"\n')


def edgebench(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv(*arguments), cwd=home, env=environment(home), capture_output=True, text=True, check=False
    )


def kill_after(home: Path, seconds: float, number: int) -> None:
    """Anywhere in the sweep, whatever it does then."""
    child = subprocess.Popen(
        argv("sweep", "plan.toml"), cwd=home, env=environment(home), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    time.sleep(seconds)
    ended = child.poll()
    if ended is None:
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    counted = Counter(event["event"] for event in journal(home))
    what = "killed" if ended is None else f"had ended with {ended}"
    print(f"run {number}, {what} after {seconds:.0f} s: {dict(counted)}", flush=True)


def journal(home: Path) -> list[dict[str, Any]]:
    """The events of all runs."""
    paths = sorted((home / ".local/share/edgebench/sweeps").glob("*/*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines() if line]


def verdict(home: Path, hosts: int) -> int:
    found = json.loads(edgebench(home, "results", "list", "--json", "--last", "100000").stdout)["measurements"]
    by_cell = Counter((row["device"], row["model"], row["framework"], row["batch"]) for row in found)
    doubled = [cell for cell, count in by_cell.items() if count > 1]
    expected = hosts * CELLS_A_HOST
    print(f"{len(by_cell)} of {expected} cells have a measurement, {len(doubled)} have more than one")
    return 0 if len(by_cell) == expected and not doubled else 1


def argv(*arguments: str) -> list[str]:
    return [sys.executable, "-c", BRIEF, *arguments]


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "EDGEBENCH_"))}
    return {**kept, "HOME": str(home), "PYTHONPATH": str(HERE.parent), "CUDA_VISIBLE_DEVICES": ""}


if __name__ == "__main__":
    sys.exit(main())
