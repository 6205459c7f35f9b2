"""One device: install the agent, find a Python that has the runtime, ship, start, wait, collect."""

from __future__ import annotations

import re
import secrets
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from device_agents.contract import (
    ENGINE_FILE,
    ENGINE_MANIFEST,
    BackendReport,
    Container,
    EngineReport,
    ErrorInfo,
    FileEntry,
    JobResult,
    JobSpec,
    JobStatus,
    ProbeReport,
    Reading,
    SchemaViolation,
    dumps,
    from_json,
    loads,
)
from edge.agent import bundle
from edge.agent.runtime import (
    NEVER_STARTED,
    container,
    host_pythons,
    look_at_image,
    merged,
    on_host,
    pythons,
    shown,
    told_of,
    trouble,
    unanswered,
)
from edge.inventory.devices import Device
from edge.inventory.runtime_keys import ContainerKey
from edge.results.samples import check_samples
from edge.transport.allowance import Allowance
from edge.transport.base import MAX_OUTPUT, Completed, Transport
from edge.transport.files import Upload
from export.artifact import sha256_file
from profiles.errors import AgentError, BuildError, ResultError, RunError, SchemaError, TransferError
from profiles.progress import Progress, silent

# Backends that are no module of a Python, with what mends that they are missing.
_PROGRAMS = {"trtexec": "install the package libnvinfer-bin there, or name the program with EDGEBENCH_TRTEXEC"}

_CALL_S = 60.0
_WAIT_S = 300.0
_LOOK_S = 10.0  # while nothing is timed: how often to ask how far a build is
_WAITING = ("--timeout", f"{_WAIT_S:g}", "--preparing", f"{_LOOK_S:g}")
_RESULT_LIMIT = 32 << 20
_SAMPLES_LIMIT = 1 << 30
_ANSWER_LIMIT = 64 << 20  # bytes of JSON: every engine's manifest with its layers, every release's
_MARGIN_S = 120.0
_DAY_S = 86_400.0
_TOLD = 2000  # characters of what a device says of a failure
_ASKED = 3
_KILLED = (-1, -9, -15, 128 + 9, 128 + 15)  # by a signal: as SSH tells it, as this machine does, as a shell does
_SLOWEST_LINK = 50_000  # bytes a second under which a transfer is given up
_MACHINE = re.compile(r"[\w-][\w.-]*\Z")
_ENGINE_KEY = re.compile(r"[0-9a-f]{16,64}\Z")

# Home, machine id and where this is: one round trip. machine-id is missing in some containers.
_PLACE = 'printf "%s\\n%s\\n" "$HOME" "$(cat /etc/machine-id 2>/dev/null || uname -n)"'

T = TypeVar("T")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Found:
    """A backend on a device: the interpreter that imports it (or the first that was asked), and what the agent said
    there of the backend and of the device."""

    python: str
    probe: ProbeReport
    report: BackendReport

    @property
    def version(self) -> str:
        """Of the interpreter."""
        return str(self.probe.identity.get("python", "version unknown"))


def _nobody(_what: str) -> None:
    pass


# Devices that are GPUs of one host get the same files: what one sends, the others find there.
_sending: dict[str, threading.Lock] = defaultdict(threading.Lock)


def how_to_install(backend: str, python: str) -> str:
    """What mends that a backend is not there for the interpreter `python`."""
    return _PROGRAMS.get(backend, f"install it for {python}")


@dataclass(frozen=True)
class _Engines:
    engines: tuple[EngineReport, ...]


class Session:
    """The agent of one device, over a transport that the caller closes. Not for several threads at once."""

    def __init__(self, device: Device, transport: Transport, allowance: Allowance | None = None) -> None:
        self.device = device
        self.allowance = allowance or Allowance()
        self._transport = transport
        self._workdir: PurePosixPath | None = device.workdir
        self._python = ""  # any that runs the agent, on the host
        self._python_of: dict[str, str] = {}
        self._within: dict[str, Container] = {}  # by backend, where the device has a container
        self._host: ProbeReport | None = None
        self._looked = ""  # what look_at_image printed
        self._agent = PurePosixPath()

    def prepare(
        self,
        backends: Sequence[str],
        progress: Progress = silent,
        *,
        only_look: bool = False,
        known: Mapping[str, Found] | None = None,
    ) -> dict[str, Found]:
        """Install the agent and find for each backend the first Python that imports it. `known` is what was found there
        just before: what is in it and there is not looked for again. Without backends, a Python that runs the agent is
        all that is looked for: it lists engines and waits for jobs.

        Errors: TransportError; RunError that says what every Python answered when none imports any, or, with
        `only_look`, when none runs the agent.
        """
        workdir = self._find_workdir()
        agent = bundle.build()
        self._agent = workdir / "agents" / f"{agent.sha256}.pyz"
        with tempfile.TemporaryDirectory(prefix="edgebench-") as folder:
            local = Path(folder) / "agent.pyz"
            local.write_bytes(agent.data)
            with _sending[self.device.entry]:
                self._transport.put(local, self._agent, sha256=agent.sha256, timeout=_CALL_S, progress=progress)
        if self.device.container is not None or not backends:
            self._host = self._find_host()
        if self.device.container is not None and backends:
            self._look_at(self.device.container)
        there = {name: item for name, item in (known or {}).items() if item.report.version.unknown is None}
        for name, item in there.items():
            self._choose(name, item)
        missing = [name for name in backends if name not in there]
        looked = self._find_backends(missing, only_look) if missing else {}
        return {name: looked[name] if name in looked else there[name] for name in backends}

    def ship(self, artifact: str, folder: Path, files: Sequence[FileEntry], progress: Progress = silent) -> int:
        """Put an artifact's files on the device, where they are not there already. Returns the bytes sent."""
        home = self._find_workdir() / "artifacts" / artifact
        uploads = [Upload(folder / entry.name, home / entry.name, entry.sha256) for entry in files]
        timeout = _CALL_S + sum(entry.size for entry in files) / _SLOWEST_LINK
        with _sending[self.device.entry]:
            return self._transport.put_all(uploads, timeout=timeout, progress=progress, allowance=self.allowance)

    def run(self, spec: JobSpec, say: Say = _nobody) -> None:
        """Start the job, or join the one of this id that was started before, and wait for its end.

        While it has yet to measure, `say` is told why about every ten seconds, and "" once it begins.

        Errors: RunError when the device could not measure; TransportError when the link broke: the job goes on.
        """
        if self.device.container is None:
            self._python = self._python_of[spec.backend]
        spec = replace(spec, gpu=self.device.gpu, container=self._within.get(spec.backend))
        status = self._job_status("run", *_WAITING, stdin=dumps(spec).encode(), timeout=_WAIT_S)
        self._follow(status, spec.deadline_s + spec.lock_timeout_s, say)

    def wait(self, job: str, say: Say = _nobody) -> None:
        """Wait for a job that was started before. As for `run`; the error's code is no_job when there is none."""
        self._follow(self._job_status("wait", "--job", job, *_WAITING, timeout=_WAIT_S), _DAY_S, say)

    def collect(self, job: str, artifact: str) -> tuple[JobResult, bytes]:
        """The result of a finished job and its raw samples (int64 little-endian), checked against each other.

        Errors: SchemaError when the device answers something else; ResultError when the samples are not the result's.
        """
        home = self._find_workdir() / "jobs" / job
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
            self._transport.get(home / path.name, path, limit=_RESULT_LIMIT, timeout=_CALL_S)
            result = self._read(JobResult, path.read_bytes(), "result.json")
            if (result.job, result.artifact) != (job, artifact):
                raise SchemaError("result.json belongs to another job", where=self.device.name, fix="measure again")
            limit = min(8 * result.samples_count, _SAMPLES_LIMIT)
            self._transport.get(home / samples.name, samples, limit=limit, timeout=_CALL_S + limit / _SLOWEST_LINK)
            self.allowance.spend(path.stat().st_size + samples.stat().st_size)
            return result, samples.read_bytes()

    def gpus(self) -> tuple[str, ...]:
        """What work on this host can be pinned to: boards by index, MIG instances by UUID. Errors: as of `prepare`."""
        self.prepare(())
        gpus = self._host.gpus if self._host else ()
        return tuple(gpu.uuid if gpu.is_instance else str(gpu.index) for gpu in gpus)

    def engines(self) -> list[EngineReport]:
        """The engines that this device built, newest first. Call `prepare` before. Errors: AgentError."""
        return list(self.ask("engines", _Engines, timeout=_CALL_S).engines)

    def pull_engine(self, report: EngineReport, folder: Path) -> None:
        """Bring an engine that this device built into `folder` as model.engine and engine.json, its hash checked.

        Errors: TransferError; SchemaError when it is not what `report` says, and nothing is left then.
        """
        if not _ENGINE_KEY.match(report.key) or report.file.name != ENGINE_FILE:
            raise SchemaError(f"{report.key[:60]!r} names no engine", where=self.device.name, stage="collect")
        home = self._find_workdir() / "engines" / report.key
        engine = folder / ENGINE_FILE
        timeout = _CALL_S + report.file.size / _SLOWEST_LINK
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
        done = self._call(command, stdin=stdin, timeout=timeout, max_output=_ANSWER_LIMIT)
        return self._read(kind, self._answer(done), command)

    def cancel(self, job: str) -> JobStatus:
        """End a job that was started here."""
        return self._job_status("cancel", "--job", job, timeout=_CALL_S)

    def tidy(self, keep_days: float) -> None:
        """Remove from the device what nothing has used for `keep_days`."""
        self._answer(self._call("gc", "--keep-days", f"{keep_days:g}", timeout=_CALL_S))

    def reconnect(self, transport: Transport) -> Session:
        """The same prepared device over another connection."""
        other = Session(self.device, transport, self.allowance)
        other._workdir, other._python, other._agent = self._workdir, self._python, self._agent
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
            raise self._error(status.error or ErrorInfo(status.state, "run", f"the job was {status.state}"))

    def _find_workdir(self) -> PurePosixPath:
        if self._workdir is None:
            done = self._transport.run(["sh", "-c", _PLACE], timeout=_CALL_S)
            lines = done.stdout.decode("utf-8", "replace").splitlines()[-2:]  # a login shell may print before
            if not done.ok or len(lines) != 2 or not lines[0].startswith("/") or not _MACHINE.match(lines[1]):
                fix = "set `workdir =` for it in fleet.toml"
                raise AgentError(f"its home folder is not known ({done.complaint})", where=self.device.name, fix=fix)
            self._workdir = PurePosixPath(lines[0]) / ".cache" / "edgebench" / lines[1]
        return self._workdir

    def _find_backends(self, backends: Sequence[str], only_look: bool) -> dict[str, Found]:
        found: dict[str, Found] = {}
        answers = []
        for python in pythons(self.device):
            missing = [name for name in backends if name not in self._python_of]
            if not missing:
                break
            try:
                probe = self._probe(python, missing)
            except AgentError as error:
                if error.code in NEVER_STARTED:
                    raise
                answers.append(f"{shown(self.device, python)}: {error.message}")
                continue
            self._python = self._python or python
            for name in missing:
                report = probe.backends.get(name) or BackendReport(Reading(unknown="the agent does not say"), (), {})
                found.setdefault(name, Found(python, probe, report))
                if report.version.unknown is None:
                    found[name] = Found(python, probe, report)
                    self._choose(name, found[name])
                else:
                    where = shown(self.device, python)
                    answers.append(f"{where} ({probe.identity.get('python')}): {report.version.unknown}")
        if found and (self._python_of or only_look):
            return found
        names = " or ".join(backends)
        if set(backends) <= set(_PROGRAMS):
            message, fix = f"{names} is not there ({answers[-1]})", how_to_install(backends[0], "")
        else:
            another = "interpreter with `python =`" if self.device.container is None else "image with `container =`"
            fix = f"install {names} for one of them, or name another {another} in fleet.toml"
            message = f"no Python there imports {names} ({' | '.join(answers)})"
        raise RunError(message, where=self.device.name, stage="probe", fix=fix)

    def _choose(self, backend: str, found: Found) -> None:
        """From here on the backend is that of this interpreter."""
        self._python_of[backend] = found.python
        if self.device.container is None:
            self._python = found.python
        else:
            self._within[backend] = told_of(self._container(self.device.container, found.python), found.probe)

    def _find_host(self) -> ProbeReport:
        """The host as its first Python that runs the agent tells it. Errors: RunError."""
        answers = []
        for python in host_pythons(self.device):
            try:
                told = self._told_by(self._agent_call("probe", "--gpu", self.device.gpu, python=python))
            except AgentError as error:
                if error.code in NEVER_STARTED:
                    raise
                answers.append(f"{python}: {error.message}")
            else:
                self._python = python
                return told
        message = f"no Python of the host runs the agent ({' | '.join(answers)})"
        fix = "install python3 there, 3.8 or newer: it needs no packages"
        raise RunError(message, where=self.device.name, stage="probe", fix=fix)

    def _look_at(self, key: ContainerKey) -> None:
        """Whether the engine has the image, before anything is started in it. Errors: RunError."""
        done = self._transport.run(look_at_image(self.device, key), timeout=_CALL_S)
        self._looked = done.stdout.decode("utf-8", "replace")
        if not done.ok:
            raise unanswered(self.device, key, done)

    def _container(self, key: ContainerKey, python: str) -> Container:
        return container(self.device, key, self._looked, self._find_workdir(), python)

    def _probe(self, python: str, backends: Sequence[str]) -> ProbeReport:
        """Errors: AgentError when there is no such interpreter, or the agent does not run there."""
        key = self.device.container
        if key is None or self._host is None:
            argv = self._agent_call("probe", "--backend", ",".join(backends), "--gpu", self.device.gpu, python=python)
            return self._told_by(argv)
        within, name = self._container(key, python), f"edgebench-probe-{secrets.token_hex(4)}"
        agent = self._agent_call("probe", "--backend", ",".join(backends), python=python)[1:]
        return merged(self._host, self._told_by(within.argv(agent, name, {})), within)

    def _told_by(self, argv: Sequence[str]) -> ProbeReport:
        done = self._transport.run(on_host(self.device, argv), timeout=_CALL_S)
        if done.returncode in (126, 127):
            raise AgentError("not there", where=self.device.name, stage="probe")
        return self._read(ProbeReport, self._answer(done), "probe")

    def _job_status(self, command: str, *arguments: str, stdin: bytes = b"", timeout: float) -> JobStatus:
        for _ in range(_ASKED):  # to ask again is harmless, and joins the job: who waited for it is not the job
            done = self._call(command, *arguments, stdin=stdin, timeout=timeout + _CALL_S)
            if done.stdout or done.returncode not in _KILLED:
                return self._read(JobStatus, self._answer(done), command)
        error = RunError("the agent was killed there, several times", where=self.device.name, stage="agent")
        error.code, error.fix = "agent_killed", "look who kills it: dmesg, when it was for want of memory"
        raise error

    def _call(
        self, command: str, *arguments: str, stdin: bytes = b"", timeout: float, max_output: int = MAX_OUTPUT
    ) -> Completed:
        """Run a command of the agent on the host, which reads and writes nothing but files, and starts jobs."""
        argv = on_host(self.device, self._agent_call(command, *arguments, python=self._python))
        return self._transport.run(argv, stdin=stdin, timeout=timeout, max_output=max_output)

    def _agent_call(self, command: str, *arguments: str, python: str) -> list[str]:
        return [python, str(self._agent), command, "--workdir", str(self._find_workdir()), *arguments]

    def _answer(self, done: Completed) -> bytes:
        """The agent's JSON. Errors: the failure it reports, or SchemaError for anything that is not an answer."""
        text = done.stdout.strip().rpartition(b"\n")[2]  # a login shell may print before
        try:
            answer = loads(text)
        except SchemaViolation:
            why = trouble(self.device, done)
            if why is not None:
                raise why from None
            said = done.stdout[-200:].decode("utf-8", "replace").strip() or done.complaint
            message = f"the agent answered {said!r}, which is not JSON"
            fix = "run the Python that fleet.toml names there by hand, and look what it prints"
            raise SchemaError(message, where=self.device.name, stage="agent", fix=fix) from None
        if isinstance(answer, dict) and "error" in answer:
            raise self._error(self._read(ErrorInfo, dumps(answer["error"]).encode(), "error"))
        return text

    def _read(self, kind: type[T], data: bytes, what: str) -> T:
        try:
            return from_json(kind, loads(data))
        except SchemaViolation as error:
            fix = "its agent or file is not what this edgebench sent: measure again"
            raise SchemaError(f"{what} is not understood ({error})", where=self.device.name, fix=fix) from None

    def _error(self, info: ErrorInfo) -> AgentError:
        kind: Any = BuildError if info.stage == "build" else RunError
        place = info.where[:_TOLD]
        where = f"{self.device.name}, {place}" if place else self.device.name
        error: AgentError = kind(info.message[:_TOLD], where=where, fix=info.fix[:_TOLD], stage=info.stage[:40])
        error.code = info.code[:40]
        return error
