"""Watches a device while a job runs: a process of its own, which reads the gauges of the device's kind again and again
and writes what they told when it is over.

Its supervisor holds the other end of its stdin: STOP ends the watch, and without a word from there it is of no use.
"""

from __future__ import annotations

import os
import resource
import select
import time
from pathlib import Path

from device_agents.contract import JobSpec, Watch, dumps, from_json, loads
from device_agents.family import Family
from device_agents.files import write_atomic
from device_agents.gauges import Gauges
from device_agents.recording import Recording
from device_agents.state import measured
from device_agents.system import System

PERIOD_S = 0.08  # 12.5 times a second: not in step with what drivers average over tenths
READY, STOP = b"r", b"s"
WATCH, NUMBERS = "process-watch.json", "process-watch.i64le"
"""Where it writes in the job's folder: a Watch whose ranges count from the first of its own numbers."""


def main(job: Path, supervisor: int) -> int:
    """Watch until the supervisor says STOP; exit code 1 where it is gone."""
    spec = from_json(JobSpec, loads((job / "spec.json").read_bytes()))
    system = System.here()
    gauges = gauges_of(system, spec, job, supervisor)
    before = _cpu_s()
    recording = Recording(gauges)
    recording.look()  # the first one takes longest
    os.write(1, READY)
    begin = time.monotonic()
    own = time.process_time()
    stopped = watch(recording, 0)
    own, wall_s = time.process_time() - own, time.monotonic() - begin
    gauges.close()
    if not stopped:
        return 1
    children = max(0.0, _cpu_s() - before)
    series, numbers = recording.series()
    cost = (own + children) / wall_s if wall_s else 0.0
    write_atomic(job / NUMBERS, numbers)
    found = Watch(series, round(recording.rate_hz, 3), round(cost, 5), unknown=recording.unknown())
    write_atomic(job / WATCH, dumps(found).encode())
    return 0


def gauges_of(system: System, spec: JobSpec, job: Path, supervisor: int) -> Gauges:
    """What is watched for this job: what its accelerator's kind has."""
    family = Family(system, supervisor, str(job) if spec.container else "")
    found: Gauges = measured(system, spec).gauges(system, family)
    return found


def watch(recording: Recording, stdin: int, period_s: float = PERIOD_S) -> bool:
    """Look until there is something to read on `stdin`: whether that was STOP, and not its end."""
    due = time.monotonic()
    while True:
        recording.look()
        due += period_s * recording.thinned
        now = time.monotonic()
        due = max(due, now)  # after a slow sensor, on a busy machine: go on from here
        ready, _, _ = select.select([stdin], [], [], due - now)
        if ready:
            recording.look()
            return os.read(stdin, 1) == STOP


def _cpu_s() -> float:
    """CPU time of children that have ended: a tool that was kept running."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
