"""Jobs on the device: a folder each, a supervisor that outlives the connection, fresh workers, one result.

jobs/<id>/lock          held by the supervisor while it lives
         /preparing     locked by it until it begins to measure; then it is left in peace
         /spec.json     what to measure
         /status.json   where it stands
         /result.json + samples.i64le     written whole, at the end
         /log           what workers and runtimes printed
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Optional

from device_agents import locks, supervisor
from device_agents import status as status_file
from device_agents.contract import ErrorInfo, JobSpec, JobStatus, dumps
from device_agents.control.record import Shelf
from device_agents.errors import DeviceError
from device_agents.files import write_atomic
from device_agents.status import FINISHED
from device_agents.supervisor import PREPARING
from device_agents.tasks import BUILDING

_SOON_S = 5.0  # for a lock that nobody holds for long
_PUT_BACK_S = 45.0  # less than a caller waits for an answer


def folder(workdir: Path, job: str) -> Path:
    return workdir / "jobs" / job


def start(workdir: Path, spec: JobSpec) -> JobStatus:
    """Start the job detached, or say where it stands if it was started before. Errors: DeviceError."""
    job = folder(workdir, spec.job)
    job.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = locks.open_lock(job / "lock")
    try:
        if not _acquire_unless_started(lock, job):
            return status(workdir, spec.job)
        before = status_file.read(job)
        if before is not None:
            return _settle(before)
        write_atomic(job / "spec.json", dumps(spec, indent=1).encode())
        queued = JobStatus(spec.job, "queued")
        preparing = locks.open_lock(job / PREPARING)
        try:
            locks.acquire(preparing, _SOON_S)
            status_file.write(job, queued)
            _touch(*(workdir / "artifacts" / name for name in spec.folders), Path(sys.argv[0]))
            _detach(workdir, job, spec, preparing)
        finally:
            os.close(preparing)
        return queued
    finally:
        os.close(lock)  # the supervisor's copy keeps it locked


def status(workdir: Path, job: str) -> JobStatus:
    """Where a job stands. A job that says it runs, while nothing holds its lock, is lost."""
    found = status_file.read(folder(workdir, job))
    if found is None:
        raise DeviceError("no_job", "collect", f"there is no job {job}", fix="run the same command again")
    if found.state in FINISHED:
        return found
    lock = locks.open_lock(folder(workdir, job) / "lock")
    try:
        locks.acquire(lock, 0)
    except locks.Busy:
        return found
    finally:
        os.close(lock)
    latest = status_file.read(folder(workdir, job))  # it may have finished between the two looks
    return _settle(latest or found)


def wait(
    workdir: Path, job: str, timeout_s: float, preparing_s: Optional[float] = None, *, began_here: bool = False
) -> JobStatus:
    """Block on the job's lock until it ends, at most `timeout_s`; nothing is polled. Returns where it stands then.

    With `preparing_s`, a job that has yet to measure (it waits for the accelerator, it builds an engine) is told of
    after so long, and once more when it begins to measure, unless it was `began_here` less than `preparing_s` ago.
    """
    end = time.monotonic() + timeout_s
    found = status(workdir, job)
    if found.state in FINISHED:
        return found
    if preparing_s is not None and _prepares(folder(workdir, job), 0):
        goes_on = _prepares(folder(workdir, job), min(preparing_s, timeout_s))
        if goes_on or not began_here:
            return _with_progress(workdir, status(workdir, job))
    lock = locks.open_lock(folder(workdir, job) / "lock")
    try:
        locks.acquire(lock, end - time.monotonic())
    except locks.Busy:
        return status(workdir, job)
    finally:
        os.close(lock)
    return status(workdir, job)


def cancel(workdir: Path, job: str, grace_s: float = 5.0) -> JobStatus:
    """End a job: ask its supervisor, then kill its process group. A job that has ended stays as it is; one that has
    changed something on the device gets the time to put it back."""
    found = status(workdir, job)
    if found.state in FINISHED:
        return found
    if Shelf(workdir).path(job).exists():
        grace_s = _PUT_BACK_S
    _signal_group(found, signal.SIGTERM)
    ended = wait(workdir, job, grace_s)
    if ended.state not in FINISHED:
        _signal_group(ended, signal.SIGKILL)
        ended = wait(workdir, job, grace_s)
    if ended.state == "lost":
        supervisor.finish(folder(workdir, job), "cancelled")
    return status(workdir, job)


def _prepares(job: Path, patience_s: float) -> bool:
    """Whether the job has yet to measure, after waiting for the end of that."""
    try:
        lock = os.open(str(job / PREPARING), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        locks.acquire(lock, patience_s)
    except locks.Busy:
        return True
    finally:
        os.close(lock)
    return False


def _with_progress(workdir: Path, found: JobStatus) -> JobStatus:
    """While an engine is built: with what its builder told last, which is in the log."""
    if not found.phase.startswith("building"):
        return found
    with contextlib.suppress(OSError):
        log = (folder(workdir, found.job) / "log").read_text(encoding="utf-8", errors="replace")
        told = [line[len(BUILDING) :] for line in log.splitlines() if line.startswith(BUILDING)]
        if told:
            return replace(found, phase=f"{found.phase}: {told[-1][:200]}")
    return found


def _settle(found: JobStatus) -> JobStatus:
    """The job's lock is free: a state that needs a living supervisor is not true any more."""
    if found.state in FINISHED:
        return found
    message = "its supervisor is gone: killed, out of memory, or the device was restarted"
    error = ErrorInfo("lost", "run", message, fix="run the same command again")
    return JobStatus(found.job, "lost", error=error)


def _acquire_unless_started(lock: int, job: Path) -> bool:
    """Take the job's lock. False once somebody else has it and a status: before that they may be about to start it."""
    while True:
        try:
            locks.acquire(lock, 0.05)
        except locks.Busy:
            if status_file.read(job) is not None:
                return False
        else:
            return True


def _touch(*paths: Path) -> None:
    """Mark what a job uses as used, for `gc`."""
    for path in paths:
        with contextlib.suppress(OSError):
            os.utime(str(path))


def _detach(workdir: Path, job: Path, spec: JobSpec, preparing: int) -> None:
    """Fork a supervisor in a session of its own. The caller's lock descriptors live on in it."""
    sys.stdout.flush()
    if os.fork():
        return
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        log = os.open(str(job / "log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        for target, source in ((0, null), (1, log), (2, log)):
            os.dup2(source, target)
        code = supervisor.main(workdir, job, spec, preparing)
    finally:
        os._exit(code)


def _signal_group(found: JobStatus, number: int) -> None:
    """Signal the job's process group, if its leader is still the process that wrote the status."""
    if found.pid and (found.boot_id, found.started_ticks) == status_file.process_identity(found.pid):
        os.killpg(found.pid, number)
