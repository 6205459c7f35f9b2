"""The supervisor's side of the sampler: it is started before the first process and asked for what it saw after the
last. A watch that fails costs no measurement: it says why there is none."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Iterator, List, Mapping, Optional, Tuple

from device_agents import endings, sampler, worker
from device_agents.contract import QUANTITIES, Watch, from_json, loads

_READY_S = 20.0  # NVIDIA's driver takes seconds to load where nothing keeps it loaded
_WRITTEN_S = 20.0


class Watcher:
    """Keeps the sampler of a job whose folder this is; `environment` is put beside ours. A context: on leaving it the
    sampler is gone."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = {**os.environ, **environment}
        self._child: "Optional[subprocess.Popen[bytes]]" = None
        self._idle = (0, 0)
        self._problem = ""

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *_: object) -> None:
        if self._child is not None:
            with self._child as child:  # closes the pipes, waits
                child.kill()

    def start(self) -> None:
        """Returns when it looks: what its start costs is over then."""
        pipe = subprocess.PIPE
        try:
            self._child = subprocess.Popen(_command(self._folder), stdin=pipe, stdout=pipe, env=self._environment)
        except OSError as error:
            self._problem = f"the device was not watched: {error.strerror}"
            return
        assert self._child.stdout is not None  # noqa: S101 - for the type checker: it is a pipe
        out = self._child.stdout.fileno()
        ready, _, _ = select.select([out], [], [], _READY_S)
        if not ready:
            self._problem = f"what watches the device was not ready in {_READY_S:g} s"
        elif os.read(out, 1) != sampler.READY:
            self._problem = self._ended()

    @contextlib.contextmanager
    def idle(self) -> Iterator[None]:
        """While the job does nothing."""
        begin = time.perf_counter_ns()
        yield
        self._idle = (begin, time.perf_counter_ns())

    def stop(self, offset: int) -> Tuple[Watch, bytes]:
        """What was seen, and the numbers that its ranges point to once they follow `offset` others."""
        if not self._problem:
            self._problem = self._told()
        found, numbers = Watch((), 0.0, 0.0, unknown=dict.fromkeys(QUANTITIES, self._problem)), b""
        if not self._problem:
            found = from_json(Watch, loads((self._folder / sampler.WATCH).read_bytes()))
            numbers = (self._folder / sampler.NUMBERS).read_bytes()
        series = tuple(
            replace(one, times=one.times.after(offset), values=one.values.after(offset)) for one in found.series
        )
        return replace(found, series=series, idle_from_ns=self._idle[0], idle_until_ns=self._idle[1]), numbers

    def _told(self) -> str:
        """Have it write; "" or why it did not."""
        child = self._child
        if child is None or child.stdin is None:
            return "the device was not watched"
        try:
            os.write(child.stdin.fileno(), sampler.STOP)
            code = child.wait(_WRITTEN_S)
        except BrokenPipeError:
            return self._ended()
        except subprocess.TimeoutExpired:
            return f"what watched the device did not say within {_WRITTEN_S:g} s what it saw"
        if code:
            return self._ended()
        return ""

    def _ended(self) -> str:
        assert self._child is not None  # noqa: S101 - for the type checker: only called of one that was started
        code = self._child.wait()
        return f"what watched the device ended {endings.told(code)} while the job ran"


def _command(folder: Path) -> List[str]:
    return [sys.executable, worker.program(), "sampler", "--job", str(folder), "--supervisor", str(os.getpid())]
