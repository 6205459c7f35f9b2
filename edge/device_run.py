"""One device's part of a run: its cells one after another, in a thread of its own, each ending as Ok or Failed."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from device_agents.contract import ErrorInfo, JobResult, ProbeReport
from edge import bundle, version
from edge.inventory import Device
from edge.jobspec import job_spec
from edge.journal import Journal
from edge.plan import Cell
from edge.results.store import Measurement, Store
from edge.session import Session
from edge.transport.base import Transport
from export.artifact import Artifact
from profiles.errors import EdgebenchError, RunError, SchemaError, TransportError
from profiles.progress import Progress, silent

_KEEP_DAYS = 30.0


@dataclass(frozen=True)
class Ok:
    """A cell whose measurement is stored. `earlier` says that an earlier process of this run had finished it."""

    cell: Cell
    measurement: str
    earlier: bool = False


@dataclass(frozen=True)
class Failed:
    """A cell that has no measurement. `goes_on`: the link broke, the job did not; the same command collects it."""

    cell: Cell
    attempt: int
    error: ErrorInfo
    goes_on: bool = False


Outcome = Ok | Failed


@dataclass(frozen=True)
class Tools:
    """What a run needs from outside: artifacts for cells, connections to devices, places for results."""

    artifact: Callable[[Cell], Artifact]
    connect: Callable[[Device], Transport]
    results: Store
    progress: Progress = silent


class DeviceRun:
    """The cells of one device, in a thread of its own. `stop` and `cancel` come from another one."""

    def __init__(
        self, device: Device, cells: list[Cell], artifacts: Mapping[str, Artifact], journal: Journal, tools: Tools
    ) -> None:
        self.device = device
        self.outcomes: list[Outcome] = []
        self.bytes_sent = 0
        self.python = ""
        self._cells = cells
        self._artifacts = artifacts
        self._journal = journal
        self._tools = tools
        self._stopped = threading.Event()
        self._transport: Transport | None = None
        self._session: Session | None = None
        self._under_way: tuple[Cell, str] | None = None

    def run(self) -> None:
        try:
            with self._connected() as session:
                found = session.prepare(sorted({cell.backend for cell in self._cells}), self._tell)
                self.python = f"{found.python} ({found.probe.identity['python']})"
                for index, cell in enumerate(self._cells):
                    self._tell(f"measuring {cell.label}", index, len(self._cells))
                    self._one(session, cell, found.probe)
                session.tidy(_KEEP_DAYS)
        except EdgebenchError as error:
            self._fail_rest(error)

    def stop(self) -> None:
        self._stopped.set()
        if self._transport is not None:
            self._transport.close()

    def cancel(self) -> list[str]:
        """End the job that runs, over a connection of its own. Returns what to tell of it."""
        if self._under_way is None or self._session is None:
            return []
        cell, job = self._under_way
        try:
            with contextlib.closing(self._tools.connect(self.device)) as transport:
                ended = self._session.reconnect(transport).cancel(job)
        except EdgebenchError as error:
            return [f"the job on {self.device.name} goes on ({error.message})"]
        if ended.state == "done":
            return [f"the job on {self.device.name} had just ended"]
        self._journal.cancelled(cell)
        return [f"the job on {self.device.name} was cancelled"]

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Session]:
        self._tell("connecting")
        with contextlib.closing(self._tools.connect(self.device)) as transport:
            self._transport = transport
            self._session = Session(self.device, transport)
            yield self._session

    def _one(self, session: Session, cell: Cell, probe: ProbeReport) -> None:
        try:
            _check_backend(cell, probe, self.device.name)
            artifact = self._artifacts[cell.id]
            self.bytes_sent += session.ship(artifact.id, artifact.path, artifact.files, self._tell)
            measurement = self._measure(session, cell, artifact)
        except TransportError:
            raise  # the rest of this device's cells share its fate
        except EdgebenchError as error:
            self._fail(cell, error)
        else:
            self._journal.done(cell, measurement)
            self.outcomes.append(Ok(cell, measurement))

    def _measure(self, session: Session, cell: Cell, artifact: Artifact) -> str:
        joined = self._journal.of(cell).job is not None
        job = self._begin(cell)
        try:
            session.run(job_spec(job, cell, artifact))
        except RunError as error:
            if not (joined and error.code in ("lost", "cancelled")):
                raise
            self._journal.failed(cell, error.info())  # an earlier controller's job: this one may try once more
            job = self._begin(cell)
            session.run(job_spec(job, cell, artifact))
        result, samples = session.collect(job, artifact.id)
        self._under_way = None
        self._tools.results.add(self._measurement(job, cell, artifact, result), samples)
        return job

    def _begin(self, cell: Cell) -> str:
        job = self._journal.begin(cell)
        self._under_way = (cell, job)
        return job

    def _measurement(self, job: str, cell: Cell, artifact: Artifact, result: JobResult) -> Measurement:
        profile = self.device.profile
        return Measurement(
            id=job,
            run=self._journal.run,
            cell=cell,
            device_profile=profile.name,
            power_mode=self.device.expected_power_mode,
            thresholds=profile.thresholds,
            artifact=artifact.id,
            weights=artifact.weights,
            agent_sha256=bundle.build().sha256,
            edgebench=version(),
            collected_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            result=result,
            produced_by=artifact.produced_by,
        )

    def _fail(self, cell: Cell, error: EdgebenchError) -> None:
        self._under_way = None
        self._journal.failed(cell, error.info())
        self.outcomes.append(Failed(cell, self._journal.of(cell).attempts, error.info()))

    def _fail_rest(self, error: EdgebenchError) -> None:
        """The device is lost: its cells fail, except for a job under way, which goes on without us."""
        if self._stopped.is_set():
            return
        known = {outcome.cell.id for outcome in self.outcomes}
        for cell in self._cells:
            if cell.id in known:
                continue
            progress = self._journal.of(cell)
            if progress.job is not None:
                self.outcomes.append(Failed(cell, progress.attempts, error.info(), goes_on=True))
            else:
                self._fail(cell, error)

    def _tell(self, what: str, done: int = 0, total: int = 0) -> None:
        self._tools.progress(f"{self.device.name}: {what}", done, total)


def _check_backend(cell: Cell, probe: ProbeReport, device: str) -> None:
    """Refuse before anything is shipped what the backend said it cannot do. Errors: RunError."""
    report = probe.backends.get(cell.backend)
    if report is None:
        raise SchemaError(f"the agent says nothing of {cell.backend}", where=device, stage="probe")
    if report.version.unknown is not None:
        message = f"{cell.backend} is not there ({report.version.unknown})"
        raise RunError(message, where=device, stage="probe", fix=f"install it for {probe.python}")
    if cell.pattern.kind not in report.patterns:
        fix = f"use one of: {', '.join(report.patterns)}"
        raise RunError(
            f"{cell.backend} cannot run the load pattern {cell.pattern}", where=device, stage="probe", fix=fix
        )
    for name in cell.options:
        if name not in report.options:
            known = ", ".join(sorted(report.options)) or "none"
            message = f"{cell.backend} has no option {name!r}; it has: {known}"
            raise RunError(message, where=device, stage="probe")
