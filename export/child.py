"""Running one job of a framework in a child process: bounded in time and memory, and gone when this returns.

The child (export.worker) gets the job as one JSON line on stdin, which stays open: its end tells the child that the
parent is gone. It answers in JSON lines on a pipe of its own; what frameworks print goes to a log file, which is kept
only when the job failed.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import site
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_agents import endings
from profiles.errors import ConfigError, ExportError, ParityError
from profiles.progress import Progress

THREADS = 2
"""Numerics depend on how many threads share a sum, so every export computes with as many, whatever the machine."""

_POLL_S = 0.2
_MAX_LINE = 4 << 20
_PACKAGE_ROOT = Path(__file__).resolve().parent.parent
_ERRORS = {kind.code: kind for kind in (ConfigError, ExportError, ParityError)}

# sys.path[0] is the working folder under -c: it goes. The root comes by hand, as PYTHONPATH is not passed on.
_BOOTSTRAP = """
import sys
sys.path[:] = [p for p in sys.path if p]
root = sys.argv[1]
if root not in sys.path: sys.path.insert(0, root)
from export.worker import main
main(int(sys.argv[2]))
"""


class _UpstreamError(ExportError):
    """A failure that is not of our own wording: the log says more, so it is kept."""


@dataclass(frozen=True)
class Run:
    """Where a child works, who hears of its progress, and what it may use: seconds, and bytes of resident memory of
    its whole process group. `log` is where its log is kept when it fails."""

    workspace: Path
    log: Path
    progress: Progress
    timeout_s: float
    memory_bytes: int


def run_job(job: Mapping[str, Any], run: Run) -> dict[str, Any]:
    """The job's result. Errors: what the child raised, as the same class; ExportError when it died or broke a bound.

    Whatever happens, Ctrl-C included, no process of the child's group is left when this returns.
    """
    log = run.workspace / "log"
    read_fd, write_fd = os.pipe()
    with log.open("ab") as sink:
        child = _start(job, run.workspace, write_fd, sink.fileno())
    os.close(write_fd)
    try:
        answer = _listen(child, read_fd, run)
    except _UpstreamError as error:
        raise _with_log(error, log, run.log) from None
    finally:
        _kill(child)
        os.close(read_fd)
    return answer


def _start(job: Mapping[str, Any], workspace: Path, write_fd: int, log_fd: int) -> subprocess.Popen[bytes]:
    scratch = workspace / "tmp"
    scratch.mkdir(exist_ok=True)
    flags = [] if site.ENABLE_USER_SITE else ["-s"]
    child = subprocess.Popen(
        [sys.executable, *flags, "-c", _BOOTSTRAP, str(_PACKAGE_ROOT), str(write_fd)],
        stdin=subprocess.PIPE,
        stdout=log_fd,
        stderr=log_fd,
        pass_fds=(write_fd,),
        cwd=scratch,
        env=_environment(scratch),
        start_new_session=True,  # a group of its own, so that all of it can be killed, and Ctrl-C is ours to handle
    )
    assert child.stdin is not None  # noqa: S101  PIPE
    with contextlib.suppress(BrokenPipeError):  # it died at once: the listener says so
        child.stdin.write(json.dumps(job).encode() + b"\n")
        child.stdin.flush()
    return child


def _environment(scratch: Path) -> dict[str, str]:
    """The parent's environment without Python's own variables (as -I would), on the CPU, with a fixed hash seed:
    tf2onnx walks sets, and the same request must give the same bytes. -I itself would drop that seed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "TF_USE_LEGACY"))}
    threads = str(THREADS)
    return {
        **kept,
        "PYTHONHASHSEED": "0",
        "PYTHONIOENCODING": "utf-8",
        "TMPDIR": str(scratch),
        "CUDA_VISIBLE_DEVICES": "",
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
    }


def _listen(child: subprocess.Popen[bytes], read_fd: int, run: Run) -> dict[str, Any]:
    deadline = time.monotonic() + run.timeout_s
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(read_fd, selectors.EVENT_READ)
        while True:
            # The end of the pipe says it too, but not where the child left a process behind, which holds the pipe.
            ended = child.poll() is not None
            if selector.select(_POLL_S):
                block = os.read(read_fd, 1 << 16)
                if not block:
                    raise _died(child)
                *lines, pending = (pending + block).split(b"\n")
                for line in lines:
                    answer = _event(line, run.progress)
                    if answer is not None:
                        return answer
            elif ended:
                raise _died(child)
            _check_bounds(child.pid, deadline, len(pending), run)


def _event(line: bytes, progress: Progress) -> dict[str, Any] | None:
    """Hand on a progress event; return a result; raise an error."""
    event = json.loads(line)
    if "progress" in event:
        progress(**event["progress"])
        return None
    if "error" in event:
        error = event["error"]
        kind = _UpstreamError if error["foreign"] else _ERRORS[error["code"]]
        raise kind(error["message"], where=error["where"], fix=error["fix"], stage=error["stage"])
    result: dict[str, Any] = event["result"]
    return result


def _check_bounds(pid: int, deadline: float, pending: int, run: Run) -> None:
    if time.monotonic() > deadline:
        message = f"the export took longer than {run.timeout_s:g} s and was stopped"
        raise ExportError(message, fix="give it longer: edgebench export --timeout 2h", stage="export")
    if pending > _MAX_LINE:
        raise ExportError("the exporter's answer is longer than any real one", stage="export")
    used = group_rss(pid)
    if used > run.memory_bytes:
        message = f"the export used {used / 2**30:.1f} GiB, over its limit of {run.memory_bytes / 2**30:.1f} GiB"
        raise ExportError(message, fix="export on a machine with more memory, or give fewer images", stage="export")


def memory_limit() -> int:
    """80 % of this machine's memory, in bytes: a child that needs more would make everything else swap."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 8 // 10


def group_rss(group: int) -> int:
    """Resident bytes of every process in this group, from /proc; 0 where there is no /proc. (A limit on address space
    would not do: CUDA builds of torch reserve tens of gigabytes.)"""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):  # it ended while we looked
            # pid (command) state ppid pgrp …: the command may hold spaces and brackets, so read from the last one.
            fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[2]) == group:
                total += int((folder / "statm").read_text().split()[1])
    return total * os.sysconf("SC_PAGE_SIZE")


def _died(child: subprocess.Popen[bytes]) -> _UpstreamError:
    code = child.wait()
    if code == -signal.SIGKILL:
        return _UpstreamError("the exporter was killed, as the system does when memory runs out", stage="export")
    return _UpstreamError(f"the exporter died {endings.told(code)}", stage="export")


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End the whole group and reap the child."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    if child.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            child.stdin.close()
    child.wait()


def _with_log(error: _UpstreamError, log: Path, kept: Path) -> ExportError:
    """The error as it leaves here, saying where the framework's own words can be read."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(log, kept)
    return ExportError(error.message, where=error.where, fix=f"the log is {kept}", stage=error.stage)
