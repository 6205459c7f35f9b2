"""One device's part of a run: its cells one after another, in a thread of its own, each ending as Ok or Failed."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from device_agents.contract import ErrorInfo
from edge import bundle, version
from edge.inventory import Device
from edge.jobspec import job_spec
from edge.journal import Journal
from edge.plan import Cell
from edge.results.store import Measurement, Origin, Store
from edge.session import Found, Session
from edge.transport.base import Transport
from export.artifact import Artifact
from profiles.errors import ConnectError, EdgebenchError, HostKeyError, RunError, Timeout, TransportError
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
    """A cell that has no measurement. `link`: its device was not reached, so the same command tries again what failed.
    `goes_on`: the link broke, the job did not; the same command collects it."""

    cell: Cell
    attempt: int
    error: ErrorInfo
    link: bool = False
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
        self.pythons: list[str] = []
        self._cells = cells
        self._artifacts = artifacts
        self._journal = journal
        self._tools = tools
        self._shipped: set[str] = set()
        self._lock = threading.Lock()
        self._stopped = False
        self._place = (0, len(cells))  # in the queue, for the progress
        self._transport: Transport | None = None
        self._session: Session | None = None
        self._under_way: tuple[Cell, str] | None = None

    def run(self) -> None:
        """Measure the cells. Whatever goes wrong ends in `outcomes`: another device's results do not depend on it."""
        try:
            with self._connected() as session:
                self._measure_all(session)
        except EdgebenchError as error:
            self._fail_rest(error)
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not hide what was measured
            failure = RunError(f"edgebench failed ({type(error).__name__}: {error})", where=self.device.name)
            failure.__cause__ = error
            self._fail_rest(failure)

    def stop(self) -> None:
        """End the thread's calls at once, and let it begin nothing more."""
        with self._lock:
            self._stopped = True
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
            if error.code != "no_job":
                return [f"the job on {self.device.name} goes on ({error.message})"]
        else:
            if ended.state == "done":
                return [f"the job on {self.device.name} had just ended"]
        self._journal.cancelled(cell)
        return [f"the job on {self.device.name} was cancelled"]

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Session]:
        self._tell("connecting")
        with contextlib.closing(self._tools.connect(self.device)) as transport:
            with self._lock:
                self._check_stopped()
                self._transport = transport
                self._session = Session(self.device, transport)
            yield self._session

    def _measure_all(self, session: Session) -> None:
        found = session.prepare(sorted({cell.backend for cell in self._cells}), self._tell)
        self.pythons = sorted({f"{item.python} ({item.version})" for item in found.values()})
        for index, cell in enumerate(self._cells):
            self._check_stopped()
            self._place = (index, len(self._cells))
            self._one(session, cell, found[cell.backend])
        session.tidy(_KEEP_DAYS)

    def _check_stopped(self) -> None:
        if self._stopped:
            raise TransportError("stopped", where=self.device.name)

    def _one(self, session: Session, cell: Cell, found: Found) -> None:
        try:
            measurement = self._join(session, cell) or self._measure(session, cell, found)
        except (ConnectError, HostKeyError, Timeout):
            raise  # the rest of this device's cells share its fate
        except EdgebenchError as error:
            if self._stopped:
                raise
            self._fail(cell, error)
        else:
            self._journal.done(cell, measurement)
            self.outcomes.append(Ok(cell, measurement))

    def _join(self, session: Session, cell: Cell) -> str | None:
        """Collect the job that an earlier controller began, if the device still has something of it."""
        known = self._journal.of(cell)
        if known.job is None or known.origin is None:
            return None
        self._under_way = (cell, known.job)
        self._tell(f"taking up {cell.label}, which was begun earlier", *self._place)
        try:
            session.wait(known.job)
        except RunError as error:
            if error.code not in ("no_job", "lost", "cancelled"):
                raise
            self._journal.failed(cell, error.info())
            return None
        return self._collect(session, cell, known.job, known.origin)

    def _measure(self, session: Session, cell: Cell, found: Found) -> str:
        _check_request(cell, found, self.device.name)
        artifact = self._artifacts[cell.id]
        if artifact.id not in self._shipped:
            self.bytes_sent += session.ship(artifact.id, artifact.path, artifact.files, self._tell)
            self._shipped.add(artifact.id)
        job, origin = self._journal.begin(cell, self._origin(artifact))
        self._under_way = (cell, job)
        self._tell(f"measuring {cell.label}", *self._place)
        session.run(job_spec(job, cell, artifact))
        return self._collect(session, cell, job, origin)

    def _collect(self, session: Session, cell: Cell, job: str, origin: Origin) -> str:
        result, samples = session.collect(job, origin.artifact)
        self._under_way = None
        collected_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._tools.results.add(Measurement(job, self._journal.run, cell, origin, collected_at, result), samples)
        return job

    def _origin(self, artifact: Artifact) -> Origin:
        return Origin(
            device_profile=self.device.profile.name,
            power_mode=self.device.expected_power_mode,
            thresholds=self.device.profile.thresholds,
            artifact=artifact.id,
            weights=artifact.weights,
            agent_sha256=bundle.build().sha256,
            edgebench=version(),
            produced_by=artifact.produced_by,
        )

    def _fail(self, cell: Cell, error: EdgebenchError, *, link: bool = False) -> None:
        self._under_way = None
        self._journal.failed(cell, error.info())
        self.outcomes.append(Failed(cell, self._journal.of(cell).attempts, error.info(), link=link))

    def _fail_rest(self, error: EdgebenchError) -> None:
        """The device is lost: its cells fail, except for a job under way, which goes on without us."""
        if self._stopped:
            return
        link = isinstance(error, TransportError)
        known = {outcome.cell.id for outcome in self.outcomes}
        for cell in self._cells:
            if cell.id in known:
                continue
            progress = self._journal.of(cell)
            if progress.job is not None:
                self.outcomes.append(Failed(cell, progress.attempts, error.info(), link=True, goes_on=True))
            else:
                self._fail(cell, error, link=link)

    def _tell(self, what: str, done: int = 0, total: int = 0) -> None:
        self._tools.progress(f"{self.device.name}: {what}", done, total)


def _check_request(cell: Cell, found: Found, device: str) -> None:
    """Refuse before anything is shipped what the backend said it cannot do. Errors: RunError."""
    report = found.report
    if report.version.unknown is not None:
        message = f"{cell.backend} is not there ({report.version.unknown})"
        raise RunError(message, where=device, stage="probe", fix=f"install it for {found.python}")
    if cell.pattern.kind not in report.patterns:
        message = f"{cell.backend} cannot run the load pattern {cell.pattern}"
        raise RunError(message, where=device, stage="probe", fix=f"use one of: {', '.join(report.patterns)}")
    for name in cell.options:
        if name not in report.options:
            known = ", ".join(sorted(report.options)) or "none"
            message = f"{cell.backend} has no option {name!r}; it has: {known}"
            raise RunError(message, where=device, stage="probe")
