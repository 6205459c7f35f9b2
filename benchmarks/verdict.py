"""How often a verdict cries wolf, and how often it sees what is there: published together.

    python benchmarks/verdict.py [--idle N] [--trials N] [--only NAME] [--check] [--json]

A trial is `edgebench deploy` of a small network on this machine, one process of two seconds or more, with the
thresholds of the profile `local`, which are in the repository: nothing is tuned here. Trials of all kinds take turns.

    idle       nothing is done to it. INVALID is a false alarm, and counts as one only where /proc/stat says that this
               machine was idle just before and just after: others share it
    busy       a process that spins on every processor, before and during: `foreign_work`
    late       the same, begun once the job is under way: `foreign_work` or `unstable`
    capped     a cgroup with a quarter of a processor: `throttled`. Needs a cgroup that may be made, else it says so
    governor   a recorded /sys in which the governor changes while the job runs: `clocks_floating`

A disturbance is detected where the verdict is INVALID and names one of its rules. Goals, with --check for the exit
code: 5 % of false alarms at most, 95 % of each disturbance detected at least.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.operator import write_model  # noqa: E402

FALSE_ALARMS, DETECTED = 0.05, 0.95
IDLE_BELOW = 0.05  # of all processors: what this machine may do and be called idle
EDGEBENCH = "from edge.cli import main; main()"
_LOOK_S = 1.0
_GOVERNOR = "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"


@dataclass
class Trial:
    """What one deploy runs in, and what is done to it meanwhile."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()

    def job_runs(self) -> bool:
        states = self.home.glob(".cache/edgebench/*/jobs/*/status.json")
        return any('"process 1 of' in path.read_text() for path in states)


Disturbance = Callable[[Trial], contextlib.AbstractContextManager[None]]


def spin() -> None:
    while True:
        pass


@contextlib.contextmanager
def idle(_: Trial) -> Iterator[None]:
    yield


@contextlib.contextmanager
def busy(_: Trial) -> Iterator[None]:
    spinners = [multiprocessing.Process(target=spin, daemon=True) for _ in os.sched_getaffinity(0)]
    for spinner in spinners:
        spinner.start()
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.join()


@contextlib.contextmanager
def once_it_runs(trial: Trial, act: Callable[[], None]) -> Iterator[None]:
    over = threading.Event()

    def wait() -> None:
        while not over.is_set():
            if trial.job_runs():
                over.wait(1.5)  # the worker has loaded, and warms up or is timed
                act()
                return
            over.wait(0.02)

    waiting = threading.Thread(target=wait)
    waiting.start()
    try:
        yield
    finally:
        over.set()
        waiting.join()


@contextlib.contextmanager
def late(trial: Trial) -> Iterator[None]:
    with contextlib.ExitStack() as stack, once_it_runs(trial, lambda: stack.enter_context(busy(trial))):
        yield


@contextlib.contextmanager
def capped(trial: Trial) -> Iterator[None]:
    """Errors: OSError where no cgroup may be made."""
    group = cgroup()
    trial.prefix = ("sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh")
    try:
        yield
    finally:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                group.rmdir()
                break
            time.sleep(0.1)


def cgroup() -> Path:
    """A new one with a quarter of a processor, of version 2 or 1. Errors: OSError."""
    base = Path("/sys/fs/cgroup")
    if (base / "cgroup.controllers").exists():
        group = base / f"edgebench-{os.getpid()}"
        group.mkdir()
        (group / "cpu.max").write_text("25000 100000")
        return group
    group = base / "cpu" / f"edgebench-{os.getpid()}"
    group.mkdir()
    (group / "cpu.cfs_quota_us").write_text("25000")
    return group


@contextlib.contextmanager
def governor(trial: Trial) -> Iterator[None]:
    """Everything of this machine, but the governor, which is a file."""
    root = trial.home / "recorded"
    file = root / _GOVERNOR
    file.parent.mkdir(parents=True)
    file.write_text("powersave\n")
    for name in ("proc", "etc"):
        (root / name).symlink_to(f"/{name}")
    trial.environment["EDGEBENCH_SYSTEM_ROOT"] = str(root)
    with once_it_runs(trial, lambda: _write(file, "performance\n")):
        yield


def _write(file: Path, text: str) -> None:
    file.write_text(text)


KINDS: dict[str, tuple[Disturbance, tuple[str, ...]]] = {
    "idle": (idle, ()),
    "busy": (busy, ("foreign_work",)),
    "late": (late, ("foreign_work", "unstable")),
    "capped": (capped, ("throttled",)),
    "governor": (governor, ("clocks_floating",)),
}


def main() -> int:
    args = _arguments()
    with tempfile.TemporaryDirectory(prefix="edgebench-verdict-") as folder:
        model = write_model(Path(folder) / "tiny.onnx", classes=1000)
        outcomes = measured(args, Path(folder), model)
    rows = [row(name, outcomes.get(name, []), args.impossible.get(name, "")) for name in args.kinds]
    print(json.dumps(rows, indent=1) if args.json else table(rows))
    return int(args.check and not all(one["holds"] for one in rows if one["trials"]))


def measured(args: argparse.Namespace, folder: Path, model: Path) -> dict[str, list[dict[str, Any]]]:
    """Of each kind what its trials gave, all kinds in turn."""
    found: dict[str, list[dict[str, Any]]] = {}
    for number in range(max(args.idle, args.trials)):
        for name in args.kinds:
            if name in args.impossible or number >= (args.idle if name == "idle" else args.trials):
                continue
            home = folder / f"{name}-{number}"
            home.mkdir()
            try:
                found.setdefault(name, []).append(one(Trial(home), model, KINDS[name][0]))
            except OSError as error:
                args.impossible[name] = f"{error.strerror}: {error.filename}"
                continue
            print(f"{name} {number + 1}: {found[name][-1]}", file=sys.stderr)
    return found


def one(trial: Trial, model: Path, disturbance: Disturbance) -> dict[str, Any]:
    before = share_busy()
    with disturbance(trial):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "EDGEBENCH_"))}
        done = subprocess.run(
            [*trial.prefix, sys.executable, "-c", EDGEBENCH, "deploy", str(model), "--processes", "1", "--json"],
            capture_output=True, text=True, timeout=600, check=False, cwd=trial.home,
            env={**kept, **trial.environment, "HOME": str(trial.home), "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    if done.returncode not in (0, 4):
        raise SystemExit(f"a trial failed: {done.stderr}{done.stdout}")
    (made,) = json.loads(done.stdout)["measurements"]
    rules = sorted({finding["rule"] for finding in made["findings"] if finding["broken"]})
    return {"verdict": made["verdict"], "rules": rules, "elsewhere": round(max(before, share_busy()), 3)}


def share_busy() -> float:
    """Of all processors over a second in which nothing of ours runs, 0 to 1."""

    def ticks() -> tuple[int, int]:
        fields = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return sum(fields), fields[3] + fields[4]

    total, idling = ticks()
    time.sleep(_LOOK_S)
    later, idle_later = ticks()
    return 1 - (idle_later - idling) / max(1, later - total)


def row(name: str, outcomes: list[dict[str, Any]], impossible: str) -> dict[str, Any]:
    """Of `idle` the rate of false alarms, of another kind the rate at which it was seen."""
    rules = KINDS[name][1]
    counted = outcomes if rules else [one for one in outcomes if one["elsewhere"] <= IDLE_BELOW]
    hits = [one for one in counted if one["verdict"] == "INVALID" and (not rules or set(rules) & set(one["rules"]))]
    rate = len(hits) / len(counted) if counted else None
    holds = rate is not None and (rate >= DETECTED if rules else rate <= FALSE_ALARMS)
    verdicts = [one["verdict"] for one in outcomes]
    told = {verdict: verdicts.count(verdict) for verdict in sorted(set(verdicts))}
    return {
        "kind": name, "trials": len(counted), "left_out": len(outcomes) - len(counted), "hits": len(hits),
        "rate": rate, "rules": rules, "verdicts": told, "holds": holds, "impossible": impossible,
    }  # fmt: skip


def table(rows: list[dict[str, Any]]) -> str:
    lines = ["kind      trials  rate   goal        verdicts"]
    for one in rows:
        if one["impossible"]:
            lines.append(f"{one['kind']:9} not possible here: {one['impossible']}")
            continue
        goal = f">= {DETECTED:.0%}" if one["rules"] else f"<= {FALSE_ALARMS:.0%} false"
        rate = "-" if one["rate"] is None else f"{one['rate']:.0%}"
        told = ", ".join(f"{count} {verdict}" for verdict, count in one["verdicts"].items())
        busy_too = f"; {one['left_out']} left out, as others worked here" if one["left_out"] else ""
        lines.append(f"{one['kind']:9} {one['trials']:6}  {rate:5}  {goal:11} {told}{busy_too}")
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="False alarms and detection rates of the verdict.")
    parser.add_argument("--idle", type=int, default=20, help="trials with nothing done")
    parser.add_argument("--trials", type=int, default=5, help="trials of each disturbance")
    parser.add_argument("--only", choices=tuple(KINDS), action="append", help="of these kinds alone")
    parser.add_argument("--check", action="store_true", help="exit 1 where a goal is missed")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    args.kinds, args.impossible = args.only or list(KINDS), {}
    return args


if __name__ == "__main__":
    raise SystemExit(main())
