"""One device: install the agent, find a Python that has the runtime, ship, start, wait, collect."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TypeVar

from device_agents.contract import (
    ENGINE_FILE,
    ENGINE_MANIFEST,
    ControlReport,
    EngineReport,
    ErrorInfo,
    FileEntry,
    JobResult,
    JobSpec,
    JobStatus,
    dumps,
)
from edge.agent.calls import CALL_S, Calls, sending
from edge.agent.finding import Found, Runtimes
from edge.inventory.devices import Device
from edge.results.samples import check_samples
from edge.transport.allowance import Allowance
from edge.transport.base import Transport
from edge.transport.files import Upload
from export.artifact import sha256_file
from profiles.errors import ResultError, RunError, SchemaError, TransferError
from profiles.progress import Progress, silent

_WAIT_S = 300.0
_LOOK_S = 10.0  # while nothing is timed: how often to ask how far a build is
_WAITING = ("--timeout", f"{_WAIT_S:g}", "--preparing", f"{_LOOK_S:g}")
_RESULT_LIMIT = 32 << 20
_SAMPLES_LIMIT = 1 << 30
_ANSWER_LIMIT = 64 << 20  # bytes of JSON: every engine's manifest with its layers, every release's
_MARGIN_S = 120.0
_DAY_S = 86_400.0
_ASKED = 3
_KILLED = (-1, -9, -15, 128 + 9, 128 + 15)  # by a signal: as SSH tells it, as this machine does, as a shell does
_SLOWEST_LINK = 50_000  # bytes a second under which a transfer is given up
_ENGINE_KEY = re.compile(r"[0-9a-f]{16,64}\Z")

T = TypeVar("T")
Say = Callable[[str], None]


def _nobody(_what: str) -> None:
    pass


@dataclass(frozen=True)
class _Engines:
    engines: tuple[EngineReport, ...]


class Session:
    """The agent of one device, over a transport that the caller closes. Not for several threads at once."""

    def __init__(self, device: Device, transport: Transport, allowance: Allowance | None = None) -> None:
        self.device = device
        self.allowance = allowance or Allowance()
        self._transport = transport
        self._calls = Calls(device, transport)
        self._runtimes = Runtimes(self._calls)
        self._python = ""  # of the host, that runs the agent

    def prepare(
        self,
        backends: Sequence[str],
        progress: Progress = silent,
        *,
        only_look: bool = False,
        known: Mapping[str, Found] | None = None,
    ) -> dict[str, Found]:
        """Install the agent and find for each backend the first Python that imports it, as Runtimes.find. Errors: of
        that."""
        self._calls.install(progress)
        found = self._runtimes.find(backends, known or {}, only_look=only_look)
        self._python = self._runtimes.python
        return found

    def ship(self, artifact: str, folder: Path, files: Sequence[FileEntry], progress: Progress = silent) -> int:
        """Put an artifact's files on the device, where they are not there already. Returns the bytes sent."""
        home = self._calls.workdir / "artifacts" / artifact
        uploads = [Upload(folder / entry.name, home / entry.name, entry.sha256) for entry in files]
        timeout = CALL_S + sum(entry.size for entry in files) / _SLOWEST_LINK
        with sending[self.device.entry]:
            return self._transport.put_all(uploads, timeout=timeout, progress=progress, allowance=self.allowance)

    def run(self, spec: JobSpec, say: Say = _nobody) -> None:
        """Start the job, or join the one of this id that was started before, and wait for its end.

        While it has yet to measure, `say` is told why about every ten seconds, and "" once it begins.

        Errors: RunError when the device could not measure; TransportError when the link broke: the job goes on.
        """
        self._python = self._runtimes.python_for(spec.backend)
        spec = replace(spec, gpu=self.device.gpu, container=self._runtimes.within.get(spec.backend))
        status = self._job_status("run", *_WAITING, stdin=dumps(spec).encode(), timeout=_WAIT_S)
        self._follow(status, spec.deadline_s + spec.lock_timeout_s, say)

    def wait(self, job: str, say: Say = _nobody) -> None:
        """Wait for a job that was started before. As for `run`; the error's code is no_job when there is none."""
        self._follow(self._job_status("wait", "--job", job, *_WAITING, timeout=_WAIT_S), _DAY_S, say)

    def collect(self, job: str, artifact: str) -> tuple[JobResult, bytes]:
        """The result of a finished job and its raw samples (int64 little-endian), checked against each other.

        Errors: SchemaError when the device answers something else; ResultError when the samples are not the result's.
        """
        home = self._calls.workdir / "jobs" / job
        try:
            result, data = self._fetch(home, job, artifact)
        except TransferError as error:
            raise ResultError(error.message, where=error.where, stage="collect", fix="measure again") from None
        try:
            check_samples(result, data, where=f"{self.device.name}: {home}")
        except ResultError as error:
            error.stage = "collect"
            raise
        return result, data

    def _fetch(self, home: PurePosixPath, job: str, artifact: str) -> tuple[JobResult, bytes]:
        with tempfile.TemporaryDirectory(prefix="edgebench-") as folder:
            path, samples = Path(folder) / "result.json", Path(folder) / "samples.i64le"
            self._transport.get(home / path.name, path, limit=_RESULT_LIMIT, timeout=CALL_S)
            result = self._calls.read(JobResult, path.read_bytes(), "result.json")
            if (result.job, result.artifact) != (job, artifact) or result.task not in JobSpec.TASKS:
                raise SchemaError("result.json belongs to another job", where=self.device.name, fix="measure again")
            limit = min(8 * result.samples_count, _SAMPLES_LIMIT)
            self._transport.get(home / samples.name, samples, limit=limit, timeout=CALL_S + limit / _SLOWEST_LINK)
            self.allowance.spend(path.stat().st_size + samples.stat().st_size)
            return result, samples.read_bytes()

    def gpus(self) -> tuple[str, ...]:
        """What work on this host can be pinned to: boards by index, MIG instances by UUID. Errors: as of `prepare`."""
        self.prepare(())
        gpus = self._runtimes.host.gpus if self._runtimes.host else ()
        return tuple(gpu.uuid if gpu.is_instance else str(gpu.index) for gpu in gpus)

    def engines(self) -> list[EngineReport]:
        """The engines that this device built, newest first. Call `prepare` before. Errors: AgentError."""
        return list(self.ask("engines", _Engines, timeout=CALL_S).engines)

    def control(self) -> ControlReport:
        """What a job may change there, and what its user is missing for it. Call `prepare` before. Errors: AgentError,
        TransportError."""
        gpu = ("--gpu", self.device.gpu)
        done = self._calls.run("control", *gpu, python=self._python, timeout=CALL_S, max_output=_ANSWER_LIMIT)
        return self._calls.read(ControlReport, self._calls.answer(done), "control")

    def pull_engine(self, report: EngineReport, folder: Path) -> None:
        """Bring an engine that this device built into `folder` as model.engine and engine.json, its hash checked.

        Errors: TransferError; SchemaError when it is not what `report` says, and nothing is left then.
        """
        if not _ENGINE_KEY.match(report.key) or report.file.name != ENGINE_FILE:
            raise SchemaError(f"{report.key[:60]!r} names no engine", where=self.device.name, stage="collect")
        home = self._calls.workdir / "engines" / report.key
        engine = folder / ENGINE_FILE
        timeout = CALL_S + report.file.size / _SLOWEST_LINK
        self._transport.get(home / ENGINE_FILE, engine, limit=report.file.size, timeout=timeout)
        self.allowance.spend(engine.stat().st_size)
        if engine.stat().st_size != report.file.size or sha256_file(engine) != report.file.sha256:
            engine.unlink()
            fix = "build it again: deploy with --rebuild"
            message = f"engine {report.key[:12]} is not the one that its manifest describes"
            raise SchemaError(message, where=self.device.name, stage="collect", fix=fix)
        (folder / ENGINE_MANIFEST).write_text(dumps(report, indent=1) + "\n", encoding="utf-8")

    def ask(self, command: str, kind: type[T], order: object = None, *, timeout: float) -> T:
        """What a command of the agent answers to an order, which goes to its stdin as JSON. Call `prepare` before.
        Errors: AgentError, TransportError."""
        stdin = b"" if order is None else dumps(order).encode()
        calls = self._calls
        done = calls.run(command, python=self._python, stdin=stdin, timeout=timeout, max_output=_ANSWER_LIMIT)
        return calls.read(kind, calls.answer(done), command)

    def cancel(self, job: str) -> JobStatus:
        """End a job that was started here."""
        return self._job_status("cancel", "--job", job, timeout=CALL_S)

    def tidy(self, keep_days: float) -> None:
        """Remove from the device what nothing has used for `keep_days`."""
        done = self._calls.run("gc", "--keep-days", f"{keep_days:g}", python=self._python, timeout=CALL_S)
        self._calls.answer(done)

    def reconnect(self, transport: Transport) -> Session:
        """The same prepared device over another connection."""
        other = Session(self.device, transport, self.allowance)
        other._calls, other._python = self._calls.over(transport), self._python
        return other

    def _follow(self, status: JobStatus, patience_s: float, say: Say) -> None:
        """Until the job ends, at most `patience_s` and a margin: its own supervisor ends it long before."""
        end = time.monotonic() + patience_s + _MARGIN_S
        while status.state in ("queued", "running"):
            if time.monotonic() > end:
                message = f"the job {status.job} did not end, and its supervisor did not end it"
                raise RunError(message, where=self.device.name, stage="run", fix="look at the device: it may hang")
            say("" if status.phase.startswith("process ") else status.phase)
            status = self._job_status("wait", "--job", status.job, *_WAITING, timeout=_WAIT_S)
        if status.state != "done":
            raise self._calls.error(status.error or ErrorInfo(status.state, "run", f"the job was {status.state}"))

    def _job_status(self, command: str, *arguments: str, stdin: bytes = b"", timeout: float) -> JobStatus:
        for _ in range(_ASKED):  # to ask again is harmless, and joins the job: who waited for it is not the job
            timeout_s = timeout + CALL_S
            done = self._calls.run(command, *arguments, python=self._python, stdin=stdin, timeout=timeout_s)
            if done.stdout or done.returncode not in _KILLED:
                return self._calls.read(JobStatus, self._calls.answer(done), command)
        error = RunError("the agent was killed there, several times", where=self.device.name, stage="agent")
        error.code, error.fix = "agent_killed", "look who kills it: dmesg, when it was for want of memory"
        raise error
