"""A fresh process for one task of a job: build the engine, look at the page cache, time one trial, profile
the layers, ask another tool.

It runs as a child of the supervisor, holds the accelerator's lock with it, and dies with it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import List

from device_agents import tasks
from device_agents.backends.base import first_line
from device_agents.contract import ErrorInfo, JobSpec, dumps, from_json, loads, to_json
from device_agents.errors import DeviceError, io_error, with_log
from device_agents.files import write_atomic
from device_agents.parent import signal_at_death

STDIN = "stdin"
"""In place of the supervisor's pid where a worker is in another pid namespace."""


def main(job: Path, task: str, index: int) -> int:
    """Do one task of the job; writes what came of it as `process-<task>-<index>.json`: its outcome, or `failed`."""
    spec = from_json(JobSpec, loads((job / "spec.json").read_bytes()))
    try:
        outcome = to_json(tasks.load(task)(tasks.Work(spec, job, index)))
    except DeviceError as error:
        outcome = {"failed": to_json(with_log(error.info, job))}
    except MemoryError:
        outcome = {"failed": to_json(_out_of_memory())}
    except OSError as error:
        outcome = {"failed": to_json(io_error(error, "result", job))}
    except Exception as error:  # noqa: BLE001 - every runtime raises its own, and the reason must get home
        traceback.print_exc()
        message = f"{spec.backend} failed ({type(error).__name__}: {first_line(error)})"
        stage = "build" if task == "build" else "run"
        outcome = {"failed": to_json(ErrorInfo(f"{stage}_failed", stage, message, where=str(job / "log")))}
    write_atomic(tasks.outcome_path(job, task, index), dumps(outcome).encode())
    return 0 if "failed" not in outcome else 1


def die_with(supervisor: int) -> None:
    """Have the kernel kill this process when its parent dies, so that no measurement outlives its supervisor."""
    signal_at_death(signal.SIGKILL)
    if os.getppid() != supervisor:  # it died before the kernel was asked
        sys.exit("the supervisor is gone")


def die_with_stdin() -> None:
    """The same for a worker in a container, whose parent is another: the supervisor holds the other end of a pipe."""
    threading.Thread(target=_end_with_stdin, daemon=True).start()


def command(job: Path, task: str, index: int) -> List[str]:
    """The argv by which the supervisor, the caller, runs `main` in a fresh interpreter from the same agent."""
    return [sys.executable, *arguments(job, task, index, str(os.getpid()))]


def arguments(job: Path, task: str, index: int, supervisor: str) -> List[str]:
    """What follows the interpreter in that argv."""
    return [program(), "worker", "--job", str(job), "--task", task, "--index", str(index), "--supervisor", supervisor]


def program() -> str:
    """This agent's file."""
    return os.path.abspath(sys.argv[0])  # noqa: PTH100 - a .pyz is a file to Python, whatever pathlib thinks


def _end_with_stdin() -> None:
    """Blocks, at no cost, until the supervisor is gone: it never writes."""
    while os.read(0, 1):
        pass
    os._exit(1)


def _out_of_memory() -> ErrorInfo:
    return ErrorInfo("out_of_memory", "run", "the worker ran out of memory", fix="use a smaller batch")
