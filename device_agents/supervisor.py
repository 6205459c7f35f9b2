"""The life of one job: wait for the accelerator, run its workers one after another, put their results together.

Detached from the connection that started it; bounded by a monotonic deadline; the only writer of the job's folder
beside its workers.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import os
import signal
import subprocess
import time
import traceback
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Dict, List, NoReturn, Optional

from device_agents import locks, state, status, worker
from device_agents.contract import (
    SCHEMA,
    ErrorInfo,
    JobResult,
    JobSpec,
    JobStatus,
    ProcessResult,
    Reading,
    SampleRange,
    dumps,
    from_json,
    loads,
)
from device_agents.errors import DeviceError, io_error
from device_agents.files import verify, write_atomic
from device_agents.kinds.cpu import busy_share
from device_agents.system import Readings, System


class _Cancelled(Exception):
    pass


def main(workdir: Path, job: Path, spec: JobSpec) -> int:
    """Run the job to its end and write its status; returns the exit code of the supervisor."""
    signal.signal(signal.SIGTERM, _cancel)
    try:
        _Job(workdir, job, spec).run()
    except DeviceError as error:
        return finish(job, "failed", error.info)
    except _Cancelled:
        return finish(job, "cancelled")
    except OSError as error:
        return finish(job, "failed", io_error(error, "result", job))
    except Exception as error:  # noqa: BLE001 - whatever it is, the reason must get home
        traceback.print_exc()
        message = f"the agent failed ({type(error).__name__}: {str(error)[:300]})"
        return finish(job, "failed", ErrorInfo("agent_failed", "run", message, where=str(job / "log")))
    return finish(job, "done")


def finish(job: Path, name: str, error: Optional[ErrorInfo] = None) -> int:
    """Write the job's last status, making room first when there is none; returns the supervisor's exit code."""
    _tidy(job, keep_result=name == "done")
    status.write(job, JobStatus(job.name, name, error=error))
    return 0 if name == "done" else 1


class _Job:
    def __init__(self, workdir: Path, job: Path, spec: JobSpec) -> None:
        self._folder = job
        self._spec = spec
        self._artifact = workdir / "artifacts" / spec.artifact
        self._begin = time.monotonic()
        self._deadline = float("inf")  # counted from the lock: waiting for the accelerator has a limit of its own
        boot_id, ticks = status.process_identity(os.getpid())
        self._status = JobStatus(spec.job, "queued", os.getpid(), ticks, boot_id)

    def run(self) -> None:
        self._say("queued", "waiting for the accelerator")
        system = System.here()
        kind, identity, context = state.describe(system)
        lock = self._lock_accelerator(kind, identity)
        self._deadline = time.monotonic() + self._spec.deadline_s
        started_at = locks.now()
        waited_s = time.monotonic() - self._begin
        self._say("running", "checking the artifact")
        verify(self._artifact, self._spec.files)
        verify_s = time.monotonic() - self._begin - waited_s
        processes, samples = [], b""
        for index in range(self._spec.timing.processes):
            self._say("running", f"process {index + 1} of {self._spec.timing.processes}")
            before = {"busy_share_idle_window": busy_share(system), **state.snapshot(system)}
            found = self._run_worker(index, lock)
            after = state.snapshot(system)
            offset = len(samples) // 8
            samples += (self._folder / f"process-{index}.i64le").read_bytes()
            readings = {**_named(before, "before"), **_named(after, "after")}
            processes.append(replace(_shift(found, offset), state=readings))
        self._say("running", "writing the result")
        write_atomic(self._folder / "samples.i64le", samples)
        result = JobResult(
            schema=SCHEMA,
            job=self._spec.job,
            artifact=self._spec.artifact,
            backend=self._spec.backend,
            started_at=started_at,
            switches=loads((self._folder / "process-0.switches.json").read_bytes()),
            identity=identity,
            context=context,
            processes=tuple(processes),
            samples_count=len(samples) // 8,
            samples_sha256=hashlib.sha256(samples).hexdigest(),
            seconds={"waited": waited_s, "verify": verify_s, "total": time.monotonic() - self._begin},
        )
        write_atomic(self._folder / "result.json", dumps(result).encode())

    def _say(self, name: str, phase: str) -> None:
        status.write(self._folder, replace(self._status, state=name, phase=phase))

    def _lock_accelerator(self, kind: str, identity: Dict[str, Reading]) -> int:
        uuid = identity.get("gpu_uuid")
        key = {"cpu": "cpu", "jetson": "gpu0"}.get(kind) or str(uuid.value if uuid and uuid.value else "gpu0")
        lock = locks.open_lock(locks.accelerator_path(key))
        try:
            locks.acquire(lock, self._spec.lock_timeout_s)
        except locks.Busy as busy:
            who, since = busy.holder.get("user", "somebody"), busy.holder.get("since", "an unknown time")
            message = f"the {key} is held by {who} (job {busy.holder.get('job', '?')}) since {since}"
            raise DeviceError("busy", "lock", message, fix="wait, or cancel that job") from None
        with contextlib.suppress(OSError):  # another user's file in a sticky folder: the lock counts, not the name
            locks.sign(lock, {"user": _user(), "job": self._spec.job, "pid": os.getpid(), "since": locks.now()})
        return lock

    def _run_worker(self, index: int, lock: int) -> ProcessResult:
        argv = worker.command(self._folder, self._artifact, index)
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, pass_fds=(lock,)) as child:
            try:
                # not wait(timeout=): that looks 20 times a second, beside the measurement
                with locks.alarm(max(1e-3, self._deadline - time.monotonic())):
                    code = child.wait()
            except locks.Expired:
                child.kill()
                message = f"the job ran past its deadline of {self._spec.deadline_s:g} s"
                raise DeviceError("deadline", "run", message, fix="raise the timeout or time less") from None
            except BaseException:
                child.kill()
                raise
        path = self._folder / f"process-{index}.json"
        if not path.exists():
            raise self._died(index, code)
        outcome = loads(path.read_bytes())
        if "error" in outcome:
            info = from_json(ErrorInfo, outcome["error"])
            raise DeviceError(info.code, info.stage, info.message, where=info.where, fix=info.fix)
        return from_json(ProcessResult, outcome)

    def _died(self, index: int, code: int) -> DeviceError:
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        tail = _tail(self._folder / "log")
        hint = " (often: out of memory)" if code == -signal.SIGKILL else ""
        last = f"; its last words: {tail}" if tail else ""
        return DeviceError("worker_died", "run", f"worker {index} ended {how}{hint}{last}", where=str(self._folder))


def _tidy(job: Path, keep_result: bool) -> None:
    leftovers: List[Path] = [*job.glob("process-*"), *job.glob("*.part")]
    if not keep_result:
        leftovers += [job / "samples.i64le", job / "result.json"]
    for path in leftovers:
        path.unlink(missing_ok=True)


def _shift(result: ProcessResult, offset: int) -> ProcessResult:
    warmup = SampleRange(result.warmup.offset + offset, result.warmup.count)
    return replace(result, warmup=warmup, timed=SampleRange(result.timed.offset + offset, result.timed.count))


def _named(readings: Readings, when: str) -> Readings:
    return {f"{name}_{when}": reading for name, reading in readings.items()}


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1][:300] if lines else ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, as in containers
        return str(os.getuid())


def _cancel(_signum: int, _frame: Optional[FrameType]) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the group's other members end by it; this one tidies up
    raise _Cancelled
