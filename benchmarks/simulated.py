"""Devices that do not exist, behind the contract of edge.transport.base.Transport: `run` answers as the agent does,
after a sleep that is declared. For benchmarks of the controller alone: no byte is sent, and what the answers cost this
process is counted, so that it can be taken off."""

from __future__ import annotations

import functools
import hashlib
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from device_agents.contract import (
    SCHEMA,
    BackendReport,
    JobResult,
    JobStatus,
    ProbeReport,
    ProcessResult,
    Reading,
    SampleRange,
    dumps,
)
from edge.transport.allowance import Allowance
from edge.transport.base import MAX_OUTPUT, Completed, closed
from edge.transport.files import Upload
from profiles.progress import Progress, silent

SAMPLES = (range(1_000_000, 1_000_200), range(1_000_000, 1_000_200))  # ns: warm-up and timed part of each process
PROCESSES = 5
JOB, ARTIFACT = "simulated-job", "simulated-artifact"  # in the recorded result, to be replaced


@dataclass(frozen=True)
class Sleeps:
    """Seconds: of a round trip, of probing, of a job: these two up to a tenth more or less, as devices keep no step."""

    trip_s: float
    probe_s: float
    job_s: float


@dataclass
class Site:
    """All simulated devices of a process: `slept_s` is what each was told to sleep, `cpu_s` what the answers cost."""

    sleeps: Sleeps
    slept_s: dict[str, float] = field(default_factory=dict)
    cpu_s: float = 0.0
    _jobs: dict[str, dict[str, str]] = field(default_factory=dict)  # by device: artifacts by the job's id
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def connect(self, name: str) -> Simulated:
        """A transport to the device of that name."""
        return Simulated(name, self, self._jobs.setdefault(name, {}))

    def spent(self, name: str, slept_s: float, cpu_s: float) -> None:
        with self._lock:
            self.slept_s[name] = self.slept_s.get(name, 0.0) + slept_s
            self.cpu_s += cpu_s


class Simulated:
    """A Transport to nowhere."""

    def __init__(self, name: str, site: Site, jobs: dict[str, str]) -> None:
        self.name = name
        self._site = site
        self._jobs = jobs
        self._closed = threading.Event()

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout: float,  # noqa: ARG002  nothing takes longer than was declared
        max_output: int = MAX_OUTPUT,  # noqa: ARG002
    ) -> Completed:
        sleeps, command = self._site.sleeps, argv[2]
        pause_s = {"probe": sleeps.probe_s, "run": sleeps.job_s}.get(command, 0.0) * random.uniform(0.9, 1.1)
        with self._answering(pause_s + sleeps.trip_s):
            answers: Mapping[str, Callable[[], str]] = {
                "probe": probe_report,
                "run": lambda: self._started(stdin),
                "wait": lambda: dumps(JobStatus(argv[argv.index("--job") + 1], "done")),
                "gc": lambda: dumps({"removed": [], "free_bytes": 10**10}),
            }
            answer = answers[command]() if command in answers else f"/home/{self.name}\nmachine-of-{self.name}"
            return Completed(0, answer.encode(), b"")

    def put(
        self, local: Path, remote: PurePosixPath, *, sha256: str, timeout: float, progress: Progress = silent
    ) -> int:
        return self.put_all([Upload(local, remote, sha256)], timeout=timeout, progress=progress)

    def put_all(
        self,
        uploads: Sequence[Upload],  # noqa: ARG002  all of them are there already
        *,
        timeout: float,  # noqa: ARG002
        progress: Progress = silent,  # noqa: ARG002
        allowance: Allowance | None = None,  # noqa: ARG002
    ) -> int:
        with self._answering(self._site.sleeps.trip_s):
            return 0

    def get(
        self,
        remote: PurePosixPath,
        local: Path,
        *,
        limit: int,  # noqa: ARG002
        timeout: float,  # noqa: ARG002
    ) -> None:
        with self._answering(self._site.sleeps.trip_s):
            text, samples = result()
            job = remote.parent.name
            told = text.replace(ARTIFACT, self._jobs[job]).replace(JOB, job).encode()
            local.write_bytes(told if remote.name == "result.json" else samples)

    def close(self) -> None:
        self._closed.set()

    def _started(self, spec: bytes) -> str:
        asked = json.loads(spec)
        self._jobs[asked["job"]] = asked["artifact"]
        return dumps(JobStatus(asked["job"], "done"))

    @contextmanager
    def _answering(self, pause_s: float) -> Iterator[None]:
        if self._closed.wait(pause_s):
            raise closed(self.name)
        begin = time.thread_time()
        yield
        self._site.spent(self.name, pause_s, time.thread_time() - begin)


@functools.cache
def probe_report() -> str:
    """What a Jetson says: TensorRT and nothing else."""
    version = Reading("10.3.0", "import tensorrt")
    absent = Reading(unknown="ModuleNotFoundError: not simulated")
    backends = {"tensorrt": BackendReport(version, ("serial", "pipelined", "rate"), {}, {}, builds=True)}
    backends.update({name: BackendReport(absent, (), {}) for name in ("trtexec", "onnxruntime")})
    identity = {"python": Reading("3.10.12", "sys"), "gpu_name": Reading("Orin", "simulated")}
    report = ProbeReport(SCHEMA, "jetson", "/usr/bin/python3", "/simulated", 10**10, identity, {}, backends)
    return dumps(report)


@functools.cache
def result() -> tuple[str, bytes]:
    """A job's result, with JOB and ARTIFACT in place of its ids, and its samples."""
    warmup, timed = SAMPLES
    each = len(warmup) + len(timed)
    samples = b"".join(value.to_bytes(8, "little") for _ in range(PROCESSES) for part in SAMPLES for value in part)
    processes = tuple(
        ProcessResult(
            index, 10**8, 10**8, 10**7,
            SampleRange(index * each, len(warmup)), SampleRange(index * each + len(warmup), len(timed)),
            sum(timed), True, 50, 10**8, {"import": 0.1, "load": 0.1, "warmup": 0.2, "timed": 0.2},
            state={name: Reading(1.0, "simulated") for name in ("clock_before", "clock_after", "temperature_before")},
        )
        for index in range(PROCESSES)
    )  # fmt: skip
    readings = {name: Reading(1, "simulated") for name in ("memory", "clocks", "power", "temperature")}
    identity = {"python": Reading("3.10.12", "sys"), "gpu_name": Reading("Orin", "simulated")}
    whole = JobResult(
        SCHEMA, JOB, ARTIFACT, "tensorrt", "2026-01-01T00:00:00Z", {"runtime_version": "10.3.0"}, identity, readings,
        processes, len(samples) // 8, hashlib.sha256(samples).hexdigest(), {"total": 1.0},
    )  # fmt: skip
    return dumps(whole), samples
