"""The processes that a supervisor starts for the tasks of a job: beside it, or each in a container of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Mapping

from device_agents import endings, locks, tasks, worker
from device_agents.contract import ErrorInfo, JobSpec, from_json, loads
from device_agents.errors import DeviceError


class Processes:
    """Starts one at a time. They hold the accelerator's `lock` with us, have `environment` beside ours, and are ended
    at `deadline` (monotonic)."""

    def __init__(self, folder: Path, spec: JobSpec, lock: int, environment: Mapping[str, str]) -> None:
        self.deadline = time.monotonic() + spec.deadline_s
        self._folder = folder
        self._spec = spec
        self._lock = lock
        self._environment = environment
        self._containers = 0

    def work(self, task: str, index: int) -> Any:
        """What a fresh process made of a task, as plain JSON. Errors: DeviceError, its own or of its death."""
        path = tasks.outcome_path(self._folder, task, index)
        path.unlink(missing_ok=True)
        with self._worker(task, index) as child:
            try:
                # not wait(timeout=): that looks 20 times a second, beside the measurement
                with locks.alarm(max(1e-3, self.deadline - time.monotonic())):
                    code = child.wait()
            except locks.Expired:
                self._end(child)
                message = f"the job ran past its deadline of {self._spec.deadline_s:g} s"
                raise DeviceError("deadline", "run", message, fix="raise the timeout or time less") from None
            except BaseException:
                self._end(child)
                raise
        if not path.exists():
            raise self._died(task, index, code)
        outcome = loads(path.read_bytes())
        if "failed" in outcome:
            info = from_json(ErrorInfo, outcome["failed"])
            raise DeviceError(info.code, info.stage, info.message, where=info.where, fix=info.fix)
        return outcome

    def _worker(self, task: str, index: int) -> "subprocess.Popen[bytes]":
        """A worker beside us, or in a container of its own: then the child is the engine's client, which ends with the
        worker, hands on our end of a pipe so that the worker notices ours, and keeps the lock like a worker."""
        if self._spec.container is None:
            argv = worker.command(self._folder, task, index)
            environment = {**os.environ, **self._environment}
            return subprocess.Popen(argv, stdin=subprocess.DEVNULL, pass_fds=(self._lock,), env=environment)
        self._containers += 1
        arguments = worker.arguments(self._folder, task, index, worker.STDIN)
        argv = self._spec.container.argv(arguments, self._container, self._environment)
        return subprocess.Popen(argv, stdin=subprocess.PIPE, pass_fds=(self._lock,))

    @property
    def _container(self) -> str:
        """The name of the container that runs, or ran last."""
        return f"edgebench-{self._spec.job}-{self._containers}"

    def _end(self, child: "subprocess.Popen[bytes]") -> None:
        """Kill a worker. One in a container does not die with the client; that may be at any step of starting it."""
        child.kill()
        if self._spec.container is not None:
            for words in (("kill",), ("rm", "--force")):
                null = subprocess.DEVNULL
                argv = [self._spec.container.engine, *words, self._container]
                subprocess.run(argv, stdin=null, stdout=null, stderr=null, check=False)

    def _died(self, task: str, index: int, code: int) -> DeviceError:
        if self._spec.container is not None:
            code = endings.in_container(code)
        tail = _tail(self._folder / "log")
        hint = " (often: out of memory)" if code == -signal.SIGKILL else ""
        last = f"; its last words: {tail}" if tail else ""
        which = f"worker {index}" if task == "trial" else f"the {task} worker"
        message, stage = f"{which} ended {endings.told(code)}{hint}{last}", "build" if task == "build" else "run"
        if hint:
            fix = "use a smaller batch or free memory there, then run it again"
            return DeviceError("worker_killed", stage, message, where=str(self._folder), fix=fix)
        fix = f"see {self._folder / 'log'}"
        return DeviceError("worker_died", stage, message, where=str(self._folder), fix=fix)


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1][:300] if lines else ""
