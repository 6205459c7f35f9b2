"""What every thread that works on a device has: a connection that another thread can close, and the job under way."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from device_agents.contract import FileEntry, Scalar
from edge import version
from edge.agent import bundle
from edge.agent.finding import Found, how_to_install
from edge.agent.serials import check_board
from edge.agent.session import Session
from edge.inventory.devices import Device
from edge.planning import sizes
from edge.planning.choosing import Survey
from edge.planning.classes import Build
from edge.planning.plan import Cell
from edge.results.judged import Judged
from edge.results.store import LabelledImages, Measurement, Origin, OwnInputs, Store
from edge.results.verdict import Verdict
from edge.running.journal import Journal, Task
from edge.running.policy import Failures, Patience, Policy, link_may_return, passes_by_itself
from edge.running.watching import Watch
from edge.transport.allowance import Allowance
from edge.transport.base import Transport
from export.artifact import Artifact
from export.artifact import Store as Artifacts
from profiles.errors import ConnectError, EdgebenchError, RunError, Timeout, TransportError
from profiles.progress import Progress, silent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge.planning.data import Prepared
    from edge.planning.labelled import PreparedImages


def _judge(measurement: Measurement, samples: NDArray[np.int64]) -> Verdict:
    return Judged.from_samples(measurement, samples).verdict


@dataclass(frozen=True)
class Tools:
    """What a run needs from outside: artifacts for cells, connections to devices, places for results and engines, what
    the devices were found to have, and the operator's own data and labelled images for the cells that take them.
    `rebuild` passes over the engines that are cached. `policy` is what the run puts up with, `failures` counts its
    failed cells, `watch` is told how cells end, `judge` gets each measurement that came, with all of its samples, in
    the thread of its device."""

    artifact: Callable[[Cell], Artifact]
    connect: Callable[[Device], Transport]
    results: Store
    artifacts: Artifacts
    progress: Progress = silent
    data: Callable[[Cell], Prepared] | None = None
    survey: Survey = field(default_factory=Survey)
    rebuild: bool = False
    policy: Policy = Policy()
    failures: Failures = field(default_factory=Failures)
    watch: Watch = Watch()
    judge: Callable[[Measurement, NDArray[np.int64]], Verdict] = _judge
    labelled: Callable[[Cell], PreparedImages] | None = None


class DeviceWork:
    """Work on one device, in a thread of its own. `stop` and `cancel` come from another one."""

    def __init__(self, device: Device, journal: Journal, tools: Tools) -> None:
        self.device = device
        self._journal = journal
        self._tools = tools
        self._shipped: set[str] = set()
        self.bytes_sent = 0
        self._allowance: Allowance | None = None
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._transport: Transport | None = None
        self._session: Session | None = None
        self._under_way: tuple[Task, str] | None = None
        self._retried: Counter[str] = Counter()

    def run(self) -> None:
        """Do the work. Whatever goes wrong is kept with what it is about, and not raised."""
        raise NotImplementedError

    def stop(self) -> None:
        """End the thread's calls at once, and let it begin nothing more."""
        with self._lock:
            self._stopping.set()
            if self._transport is not None:
                self._transport.close()

    def cancel(self) -> list[str]:
        """End the job that runs, over a connection of its own. Returns what to tell of it."""
        if self._under_way is None or self._session is None:
            return []
        task, job = self._under_way
        try:
            with contextlib.closing(self._tools.connect(self.device)) as transport:
                ended = self._session.reconnect(transport).cancel(job)
        except EdgebenchError as error:
            if error.code != "no_job":
                return [f"the job on {self.device.name} goes on ({error.message})"]
        else:
            if ended.state == "done":
                return [f"the job on {self.device.name} had just ended"]
        self._journal.cancelled(task)
        return [f"the job on {self.device.name} was cancelled"]

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Session]:
        self._tell("connecting")
        limits = [most for most in (self._tools.policy.max_bytes, self.device.max_bytes) if most is not None]
        spent = self._journal.spent.get(self.device.name, 0)
        self._allowance = self._allowance or Allowance(min(limits, default=None), spent)
        with contextlib.closing(self._tools.connect(self.device)) as transport:
            with self._lock:
                self._check_stopped()
                self._transport = transport
                self._session = Session(self.device, transport, self._allowance)
            yield self._session

    def _patiently(self, work: Callable[[Session], None], ended: Callable[[], int]) -> None:
        """Work over a connection, and where that breaks or is not there yet, come back as often as the run puts up
        with. `ended` counts what is over. Errors: those of `work`, ConnectError and Timeout when patience is."""
        patience = Patience(self._tools.policy)
        while True:
            before = ended()
            try:
                with self._connected() as session:
                    patience.returned()
                    work(session)
                return
            except (ConnectError, Timeout) as error:
                if ended() > before:
                    patience.progressed()
                pause_s = patience.pause_s() if link_may_return(error) and not self._stopped else None
                if pause_s is None:
                    raise
                self._say(f"{error.message}; trying again in {pause_s:.0f} s")
                self._stopping.wait(pause_s)
                self._check_stopped()

    def _once_more(self, task: Task, error: EdgebenchError) -> bool:
        """Whether the task is to be begun again, as often as the run puts up with what passes by itself, however often
        the link broke in between; its failure is noted then."""
        if not passes_by_itself(error) or self._retried[task.id] >= self._tools.policy.run_retries:
            return False
        self._retried[task.id] += 1
        self._under_way = None
        self._journal.failed(task, error.info())
        self._say(f"{task.label}: {error.message}; once more")
        return True

    @property
    def _stopped(self) -> bool:
        return self._stopping.is_set()

    def _check_stopped(self) -> None:
        if self._stopped:
            raise TransportError("stopped", where=self.device.name)

    def _found(self, session: Session, cells: list[Cell]) -> dict[str, Found]:
        """The agent installed, and the backends of the cells found, second opinions included.

        Errors: as Session.prepare; RunError on another board than fleet.toml names.
        """
        wanted = {cell.backend for cell in cells} | {cell.check_with for cell in cells if cell.check_with}
        known = self._tools.survey.found.get(self.device.name, {})
        found = session.prepare(sorted(wanted), self._tell, known=known)
        check_board(self.device, found)
        return found

    def _join(self, session: Session, task: Task) -> str | None:
        """The job of the task that an earlier controller began, or we did before the link broke, waited for, if the
        device still has something of it. Errors: as Session.wait; RunError also where the device has lost a job of
        ours."""
        known = self._journal.of(task)
        if known.job is None or known.origin is None:
            return None
        ours = self._under_way == (task, known.job)
        self._under_way = (task, known.job)
        doing = f"taking up {task.label}, which was begun earlier"
        self._say(doing)
        try:
            session.wait(known.job, self._follower(doing, task))
        except RunError as error:
            if error.code not in ("no_job", "lost", "cancelled") or (ours and error.code == "lost"):
                raise
            self._journal.failed(task, error.info())
            return None
        return known.job

    def _follower(self, doing: str, task: Task) -> Callable[[str], None]:
        """Tells what a job waits for; once it waits for nothing, what is done."""
        return lambda why: self._say(f"{task.label}: {why}" if why else doing)

    def _ship(self, session: Session, artifact: Artifact) -> None:
        if artifact.id not in self._shipped:
            self._send(session, artifact.id, artifact.path, artifact.files)
            self._shipped.add(artifact.id)

    def _send(self, session: Session, payload: str, folder: Path, files: Sequence[FileEntry]) -> None:
        """Errors: TransferError, also where the device's link has not so many bytes left in this run."""
        try:
            self.bytes_sent += session.ship(payload, folder, files, self._tell)
        finally:
            self._note_spent()

    def _note_spent(self) -> None:
        """A run that is taken up goes on counting."""
        if self._allowance is not None and self._allowance.most is not None:
            self._journal.sent(self.device.name, self._allowance.spent)

    def _anew(self, build: Build) -> bool:
        """Whether to pass over a cached engine: once a run, as cells share engines and a run may be taken up."""
        return self._tools.rebuild and self._journal.of(build).done is None

    def _origin(
        self, cell: Cell, artifact: Artifact, inputs: OwnInputs | None = None, labelled: LabelledImages | None = None
    ) -> Origin:
        return Origin(
            device_profile=self.device.profile.name,
            power_mode=cell.power_mode or self.device.expected_power_mode,
            thresholds=self.device.profile.thresholds,
            artifact=artifact.id,
            weights=artifact.weights,
            agent_sha256=bundle.build().sha256,
            edgebench=version(),
            produced_by=artifact.produced_by,
            inputs=inputs,
            size=sizes.measured(artifact, cell.size, cell.pattern),
            price=self.device.price,
            labelled=labelled,
        )

    def _say(self, what: str) -> None:
        self._tell(what)

    def _tell(self, what: str, done: int = 0, total: int = 0) -> None:
        self._tools.progress(f"{self.device.name}: {what}", done, total)


def check_request(cell: Cell, found: Mapping[str, Found], device: str) -> None:
    """Refuse before anything is shipped what the backend said it cannot do. Errors: RunError."""
    for backend in filter(None, (cell.backend, cell.check_with)):
        absent = found[backend].report.version.unknown
        if absent is not None:
            message = f"{backend} is not there ({absent})"
            raise RunError(message, where=device, stage="probe", fix=how_to_install(backend, found[backend].python))
    report = found[cell.backend].report
    if cell.pattern.loop not in report.patterns:
        message = f"{cell.backend} cannot run the load pattern {cell.pattern}"
        raise RunError(message, where=device, stage="probe", fix=f"use one of: {', '.join(report.patterns)}")
    _check_options(cell.options, {**report.options, **report.build_options}, f"{cell.backend}", device)


def _check_options(options: Mapping[str, Scalar], allowed: Mapping[str, str], backend: str, device: str) -> None:
    for name in options:
        if name not in allowed:
            known = ", ".join(sorted(allowed)) or "none"
            raise RunError(f"{backend} has no option {name!r}; it has: {known}", where=device, stage="probe")
