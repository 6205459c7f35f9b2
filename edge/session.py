"""One device: install the agent, find a Python that has the runtime, ship, start, wait, collect."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from device_agents.contract import (
    ErrorInfo,
    FileEntry,
    JobResult,
    JobSpec,
    JobStatus,
    ProbeReport,
    SchemaViolation,
    dumps,
    from_json,
    loads,
)
from edge import bundle
from edge.inventory import Device
from edge.results.store import check_samples
from edge.transport.base import Completed, Transport
from profiles.errors import AgentError, BuildError, ResultError, RunError, SchemaError
from profiles.progress import Progress, silent

PYTHONS = ("/usr/bin/python3", "python3")
"""Tried in this order where fleet.toml names none: on a Jetson the runtime belongs to the system's Python."""

_CALL_S = 60.0
_WAIT_S = 300.0
_RESULT_LIMIT = 32 << 20
_SAMPLES_LIMIT = 1 << 30
_SLOWEST_LINK = 50_000  # bytes a second under which an upload is given up

# Home, machine id and where this is: one round trip. machine-id is missing in some containers.
_PLACE = 'printf "%s\\n%s\\n" "$HOME" "$(cat /etc/machine-id 2>/dev/null || uname -n)"'

T = TypeVar("T")


@dataclass(frozen=True)
class Found:
    """A device made ready: the interpreter that was chosen and what the agent said of the device."""

    python: str
    probe: ProbeReport


class Session:
    """The agent of one device, over a transport that the caller closes. Not for several threads at once."""

    def __init__(self, device: Device, transport: Transport) -> None:
        self.device = device
        self._transport = transport
        self._workdir: PurePosixPath | None = device.workdir
        self._python = ""
        self._agent = PurePosixPath()

    def prepare(self, backends: Sequence[str], progress: Progress = silent) -> Found:
        """Install the agent and choose the first Python that imports one of `backends`.

        Errors: TransportError; RunError that says what every Python answered when none will do.
        """
        workdir = self._find_workdir()
        agent = bundle.build()
        self._agent = workdir / "agents" / f"{agent.sha256}.pyz"
        with tempfile.TemporaryDirectory(prefix="edgebench-") as folder:
            local = Path(folder) / self._agent.name
            local.write_bytes(agent.data)
            self._transport.put(local, self._agent, sha256=agent.sha256, timeout=_CALL_S, progress=progress)
        return self._choose_python(backends)

    def ship(self, artifact: str, folder: Path, files: Sequence[FileEntry], progress: Progress = silent) -> int:
        """Put an artifact's files on the device, where they are not there already. Returns the bytes sent."""
        home = self._find_workdir() / "artifacts" / artifact
        return sum(
            self._transport.put(
                folder / entry.name,
                home / entry.name,
                sha256=entry.sha256,
                timeout=_CALL_S + entry.size / _SLOWEST_LINK,
                progress=progress,
            )
            for entry in files
        )

    def run(self, spec: JobSpec) -> None:
        """Start the job, or join the one of this id that was started before, and wait for its end.

        Errors: RunError when the device could not measure; TransportError when the link broke: the job goes on.
        """
        status = self._job_status("run", "--timeout", f"{_WAIT_S:g}", stdin=dumps(spec).encode(), timeout=_WAIT_S)
        while status.state in ("queued", "running"):
            arguments = ("--job", spec.job, "--timeout", f"{_WAIT_S:g}")
            status = self._job_status("wait", *arguments, timeout=_WAIT_S)
        if status.state == "done":
            return
        error = status.error or ErrorInfo(status.state, "run", f"the job was {status.state}")
        raise self._error(error)

    def collect(self, job: str, artifact: str) -> tuple[JobResult, bytes]:
        """The result of a finished job and its raw samples (int64 little-endian), checked against each other.

        Errors: SchemaError when the device answers something else; ResultError when the samples are not the result's.
        """
        home = self._find_workdir() / "jobs" / job
        with tempfile.TemporaryDirectory(prefix="edgebench-") as folder:
            path, samples = Path(folder) / "result.json", Path(folder) / "samples.i64le"
            self._transport.get(home / path.name, path, limit=_RESULT_LIMIT, timeout=_CALL_S)
            result = self._read(JobResult, path.read_bytes(), "result.json")
            if (result.job, result.artifact) != (job, artifact):
                raise SchemaError("result.json belongs to another job", where=self.device.name, fix="measure again")
            limit = min(8 * result.samples_count, _SAMPLES_LIMIT)
            self._transport.get(home / samples.name, samples, limit=limit, timeout=_CALL_S + limit / _SLOWEST_LINK)
            data = samples.read_bytes()
        try:
            check_samples(result, data, where=f"{self.device.name}: {home / samples.name}")
        except ResultError as error:
            error.stage = "collect"
            raise
        return result, data

    def cancel(self, job: str) -> JobStatus:
        """End a job that was started here."""
        return self._job_status("cancel", "--job", job, timeout=_CALL_S)

    def tidy(self, keep_days: float) -> None:
        """Remove from the device what nothing has used for `keep_days`."""
        arguments = ("--workdir", str(self._find_workdir()), "--keep-days", f"{keep_days:g}")
        self._answer(self._transport.run([self._python, str(self._agent), "gc", *arguments], timeout=_CALL_S))

    def reconnect(self, transport: Transport) -> Session:
        """The same prepared device over another connection."""
        other = Session(self.device, transport)
        other._workdir, other._python, other._agent = self._workdir, self._python, self._agent
        return other

    def _find_workdir(self) -> PurePosixPath:
        if self._workdir is None:
            done = self._transport.run(["sh", "-c", _PLACE], timeout=_CALL_S)
            lines = done.stdout.decode("utf-8", "replace").splitlines()
            if not done.ok or len(lines) != 2 or not lines[0].startswith("/") or "/" in lines[1]:
                fix = "set `workdir =` for it in fleet.toml"
                raise AgentError(f"its home folder is not known ({done.complaint})", where=self.device.name, fix=fix)
            self._workdir = PurePosixPath(lines[0]) / ".cache" / "edgebench" / lines[1]
        return self._workdir

    def _choose_python(self, backends: Sequence[str]) -> Found:
        answers = []
        for python in (self.device.python,) if self.device.python else PYTHONS:
            self._python = python
            arguments = ("--workdir", str(self._find_workdir()), "--backend", ",".join(backends))
            done = self._transport.run([python, str(self._agent), "probe", *arguments], timeout=_CALL_S)
            if done.returncode in (126, 127):
                answers.append(f"{python}: not there")
                continue
            try:
                probe = self._read(ProbeReport, self._answer(done), "probe")
            except RunError as error:
                answers.append(f"{python}: {error.message}")
                continue
            if any(report.version.unknown is None for report in probe.backends.values()):
                return Found(python, probe)
            reasons = "; ".join(f"{report.version.unknown}" for report in probe.backends.values())
            answers.append(f"{python} ({probe.identity['python']}): {reasons}")
        names = " or ".join(backends)
        fix = f"install {names} for one of them, or name another interpreter with `python =` in fleet.toml"
        message = f"no Python there imports {names} ({' | '.join(answers)})"
        raise RunError(message, where=self.device.name, stage="probe", fix=fix)

    def _job_status(self, command: str, *arguments: str, stdin: bytes = b"", timeout: float) -> JobStatus:
        argv = [self._python, str(self._agent), command, "--workdir", str(self._find_workdir()), *arguments]
        done = self._transport.run(argv, stdin=stdin, timeout=timeout + _CALL_S)
        return self._read(JobStatus, self._answer(done), command)

    def _answer(self, done: Completed) -> bytes:
        """The agent's JSON. Errors: the failure it reports, or SchemaError for anything that is not an answer."""
        try:
            answer = loads(done.stdout)
        except SchemaViolation:
            said = done.stdout[-200:].decode("utf-8", "replace").strip() or done.complaint
            message = f"the agent answered {said!r}, which is not JSON"
            raise SchemaError(message, where=self.device.name, stage="agent") from None
        if isinstance(answer, dict) and "error" in answer:
            raise self._error(self._read(ErrorInfo, dumps(answer["error"]).encode(), "error"))
        return done.stdout

    def _read(self, kind: type[T], data: bytes, what: str) -> T:
        try:
            return from_json(kind, loads(data))
        except SchemaViolation as error:
            fix = "its agent or file is not what this edgebench sent: measure again"
            raise SchemaError(f"{what} is not understood ({error})", where=self.device.name, fix=fix) from None

    def _error(self, info: ErrorInfo) -> AgentError:
        kind: Any = BuildError if info.stage == "build" else RunError
        where = f"{self.device.name}, {info.where}" if info.where else self.device.name
        error: AgentError = kind(info.message, where=where, fix=info.fix, stage=info.stage)
        error.code = info.code
        return error
