"""What watching a device does to what is timed there: the sampler's influence on latencies, on this machine.

    python benchmarks/watching.py [--rounds N] [--seconds S] [--json]

Times a fixed amount of arithmetic (about 0.2 ms of one processor) again and again, the sampler of a job at work or
stopped (SIGSTOP: a stopped process costs nothing), in rounds A B B A, so that what else the machine does falls on both.
Each round gives one ratio of medians, with over without; the answer is their mean with a 95 % interval (Student's t).
Beside it: the same of p99, and what the sampler says it costs. Budget of the median: 1 %.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from device_agents import sampler
from device_agents.contract import SCHEMA, FileEntry, JobSpec, Precision, Watch, dumps, from_json, loads
from edge.agent import bundle
from edge.results.stats import half_width, percentile

BUDGET = 1.01
WORK = 4_000  # additions: about 0.2 ms


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="(default %(default)s)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each of a round's four parts (default 1)")
    parser.add_argument("--json", action="store_true", help="print JSON in place of a report")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder) / "job"
        child = start(Path(folder), job)
        rounds = [compared(child.pid, arguments.seconds) for _ in range(arguments.rounds)]
        watch = stop(child, job)
    found = {name: figure([each[name] for each in rounds]) for name in ("median", "p99")}
    report = {"budget": BUDGET, "load": os.getloadavg()[0], "processors": os.cpu_count(), **found}
    report.update(cost=2 * watch.cost, rate_hz=2 * watch.rate_hz, series=len(watch.series))  # half of the time stopped
    print(json.dumps(report) if arguments.json else told(report))
    return 0 if found["median"]["ratio"] <= BUDGET else 1


def start(folder: Path, job: Path) -> subprocess.Popen[bytes]:
    """The sampler of a job on the processor, as a supervisor starts it; returns when it looks."""
    job.mkdir()
    agent = folder / "agent.pyz"
    agent.write_bytes(bundle.build().data)
    spec = JobSpec(
        SCHEMA, "watching-1", "onnxruntime", "nothing-0001", (FileEntry("model.onnx", 1, "0" * 64),), "model.onnx",
        Precision.FP32, (), (), 1, options={"provider": "cpu"},
    )  # fmt: skip
    (job / "spec.json").write_text(dumps(spec))
    argv = [sys.executable, str(agent), "sampler", "--job", str(job), "--supervisor", str(os.getpid())]
    child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    if child.stdout is None or child.stdout.read(1) != sampler.READY:
        sys.exit("the sampler did not start")
    return child


def stop(child: subprocess.Popen[bytes], job: Path) -> Watch:
    child.communicate(sampler.STOP)
    return from_json(Watch, loads((job / sampler.WATCH).read_bytes()))


def compared(pid: int, seconds: float) -> dict[str, float]:
    """One round: the ratio, with over without, of the median and of p99."""
    parts: dict[bool, list[int]] = {True: [], False: []}
    for watched in (True, False, False, True):
        os.kill(pid, signal.SIGCONT if watched else signal.SIGSTOP)
        parts[watched] += timed(seconds)
    os.kill(pid, signal.SIGCONT)
    seen, alone = (np.array(parts[watched]) for watched in (True, False))
    return {
        "median": float(np.median(seen) / np.median(alone)),
        "p99": percentile(seen, 99.0) / percentile(alone, 99.0),
    }


def timed(seconds: float) -> list[int]:
    """Nanoseconds of each piece of work."""
    clock, samples = time.perf_counter_ns, []
    end = clock() + round(seconds * 1e9)
    while True:
        begin = clock()
        total = 0
        for number in range(WORK):
            total += number
        now = clock()
        samples.append(now - begin)
        if now > end:
            return samples


def figure(ratios: list[float]) -> dict[str, float]:
    return {"ratio": statistics.mean(ratios), "half_width": half_width(ratios) or 0.0}


def told(report: dict[str, object]) -> str:
    lines = [f"{report['processors']} processors, load {report['load']:.1f}"]
    for name in ("median", "p99"):
        found = report[name]
        assert isinstance(found, dict)
        lines.append(f"{name:7} {found['ratio']:.4f} ± {found['half_width']:.4f} of that of an unwatched device")
    lines.append(
        f"sampler {report['cost']:.2%} of one processor, {report['rate_hz']:.1f} looks a second, while at work"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
