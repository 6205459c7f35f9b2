"""The agent on a device: how it is called, and what it answers. Nothing that comes from there is taken on trust."""

from __future__ import annotations

import re
import tempfile
import threading
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from device_agents.contract import ErrorInfo, ProbeReport, SchemaViolation, dumps, from_json, loads
from edge.agent import bundle
from edge.agent.runtime import on_host, trouble
from edge.inventory.devices import Device
from edge.transport.base import MAX_OUTPUT, Completed, Transport
from profiles.errors import AgentError, BuildError, RunError, SchemaError
from profiles.progress import Progress

CALL_S = 60.0
_TOLD = 2000  # characters of what a device says of a failure
_MACHINE = re.compile(r"[\w-][\w.-]*\Z")

# Home and machine id: one round trip. machine-id is missing in some containers, and empty in others.
PLACE = 'id=$(cat /etc/machine-id 2>/dev/null); printf "%s\\n%s\\n" "$HOME" "${id:-$(uname -n)}"'

T = TypeVar("T")

# Devices that are GPUs of one host get the same files: what one sends, the others find there.
sending: dict[str, threading.Lock] = defaultdict(threading.Lock)


class Calls:
    """Commands to the agent over a transport, by whatever Python of the host the caller names."""

    def __init__(self, device: Device, transport: Transport) -> None:
        self.device = device
        self.transport = transport
        self._workdir: PurePosixPath | None = device.workdir
        self._agent = PurePosixPath()

    def over(self, transport: Transport) -> Calls:
        """The same over another connection."""
        other = Calls(self.device, transport)
        other._workdir, other._agent = self._workdir, self._agent
        return other

    @property
    def workdir(self) -> PurePosixPath:
        """The folder of ours on the device, which is asked for its home the first time. Errors: AgentError."""
        if self._workdir is None:
            done = self.transport.run(["sh", "-c", PLACE], timeout=CALL_S)
            lines = done.stdout.decode("utf-8", "replace").splitlines()[-2:]  # a login shell may print before
            if not done.ok or len(lines) != 2 or not lines[0].startswith("/") or not _MACHINE.match(lines[1]):
                fix = "set `workdir =` for it in fleet.toml"
                raise AgentError(f"its home folder is not known ({done.complaint})", where=self.device.name, fix=fix)
            self._workdir = PurePosixPath(lines[0]) / ".cache" / "edgebench" / lines[1]
        return self._workdir

    def install(self, progress: Progress) -> None:
        """Put the agent there, where it is not there already. Errors: TransportError."""
        agent = bundle.build()
        self._agent = self.workdir / "agents" / f"{agent.sha256}.pyz"
        with tempfile.TemporaryDirectory(prefix="edgebench-") as folder:
            local = Path(folder) / "agent.pyz"
            local.write_bytes(agent.data)
            with sending[self.device.entry]:
                self.transport.put(local, self._agent, sha256=agent.sha256, timeout=CALL_S, progress=progress)

    def argv(self, command: str, *arguments: str, python: str) -> list[str]:
        return [python, str(self._agent), command, "--workdir", str(self.workdir), *arguments]

    def run(
        self,
        command: str,
        *arguments: str,
        python: str,
        stdin: bytes = b"",
        timeout: float,
        max_output: int = MAX_OUTPUT,
    ) -> Completed:
        """Run a command of the agent on the host, which reads and writes nothing but files, and starts jobs."""
        argv = on_host(self.device, self.argv(command, *arguments, python=python))
        return self.transport.run(argv, stdin=stdin, timeout=timeout, max_output=max_output)

    def probe(self, argv: Sequence[str]) -> ProbeReport:
        """What a `probe`, called so on the host, tells. Errors: AgentError when there is no such interpreter, or the
        agent does not run there."""
        done = self.transport.run(on_host(self.device, argv), timeout=CALL_S)
        if done.returncode in (126, 127):
            raise AgentError("not there", where=self.device.name, stage="probe")
        return self.read(ProbeReport, self.answer(done), "probe")

    def answer(self, done: Completed) -> bytes:
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
            raise self.error(self.read(ErrorInfo, dumps(answer["error"]).encode(), "error"))
        return text

    def read(self, kind: type[T], data: bytes, what: str) -> T:
        """Errors: SchemaError."""
        try:
            return from_json(kind, loads(data))
        except SchemaViolation as error:
            fix = "its agent or file is not what this edgebench sent: measure again"
            raise SchemaError(f"{what} is not understood ({error})", where=self.device.name, fix=fix) from None

    def error(self, info: ErrorInfo) -> AgentError:
        """What the device says of a failure, as an error of ours."""
        kind: Any = BuildError if info.stage == "build" else RunError
        place = info.where[:_TOLD]
        where = f"{self.device.name}, {place}" if place else self.device.name
        error: AgentError = kind(info.message[:_TOLD], where=where, fix=info.fix[:_TOLD], stage=info.stage[:40])
        error.code = info.code[:40]
        return error
