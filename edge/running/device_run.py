"""One device's part of a run: its cells one after another, in a thread of its own, each ending as Ok or Failed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent import futures
from dataclasses import dataclass

import numpy as np

from device_agents.contract import ENGINE_FILE, ErrorInfo, GivenEngine, kind_measured
from edge.agent.finding import Found
from edge.agent.session import Session
from edge.inventory.devices import Device
from edge.planning.ahead import BUILDER, engine_for
from edge.planning.classes import Build, build_of
from edge.planning.control import control_of
from edge.planning.plan import AHEAD, Cell
from edge.results.store import Measurement, Origin
from edge.results.verdict import Status, Verdict
from edge.running.builder_run import BuilderRun
from edge.running.device_work import DeviceWork, Tools, check_request
from edge.running.jobspec import bounded, job_spec
from edge.running.journal import Journal
from edge.running.policy import was_killed
from edge.running.repeating import counting, is_worth_repeating, rules_of
from edge.running.resuming import changed
from edge.running.supply import Supplied, Supply
from export.artifact import Artifact
from profiles.errors import BuildError, ConnectError, EdgebenchError, HostKeyError, RunError, Timeout, TransportError

_KEEP_DAYS = 30.0
_LOOK_S = 0.2  # while a builder builds: nothing is measured then that looking could disturb


@dataclass(frozen=True)
class Ok:
    """A cell whose measurement is stored. `earlier` says that an earlier process of this run had finished it, `others`
    are measurements of it that were INVALID and do not count."""

    cell: Cell
    measurement: str
    earlier: bool = False
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failed:
    """A cell that has no measurement. `link`: its device was not reached, or ours was killed there, so the same command
    tries again what failed.
    `goes_on`: the link broke, the job did not; the same command collects it."""

    cell: Cell
    attempt: int
    error: ErrorInfo
    link: bool = False
    goes_on: bool = False


@dataclass(frozen=True)
class Skipped:
    """A cell that was not begun, and why."""

    cell: Cell
    why: str


Outcome = Ok | Failed | Skipped


@dataclass(frozen=True)
class Orders:
    """The cells of a device, in order; what they need from this machine; by the cell's id the builds of another device
    that they wait for; and the builds that this device makes first, being a builder."""

    cells: list[Cell]
    supply: Supply
    builds: Mapping[str, Build]
    building: BuilderRun | None = None


class DeviceRun(DeviceWork):
    """Measures the cells of one device."""

    def __init__(self, device: Device, orders: Orders, journal: Journal, tools: Tools) -> None:
        super().__init__(device, journal, tools)
        self.outcomes: list[Outcome] = []
        self.pythons: list[str] = []
        self.anew: list[tuple[Cell, str]] = []
        self._orders = orders
        self._verdicts: dict[str, Verdict] = {}  # of measurements that came just now
        self._rested_c: dict[str, float] = {}  # before the first cell that it measured, by the kind of what is measured
        self._place = (0, len(orders.cells))  # in the queue, for the progress

    def run(self) -> None:
        """Measure the cells. Whatever goes wrong ends in `outcomes`: another device's results do not depend on it."""
        try:
            self._let_build()
            self._measure_patiently()
        except EdgebenchError as error:
            self._fail_rest(error)
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not hide what was measured
            failure = RunError(f"edgebench failed ({type(error).__name__}: {error})", where=self.device.name)
            failure.__cause__ = error
            self._fail_rest(failure)

    def _let_build(self) -> None:
        """A builder builds for its class before it measures: on one accelerator, one would disturb the other."""
        building = self._orders.building
        while building is not None and not building.ended.wait(_LOOK_S):
            self._check_stopped()

    def _measure_patiently(self) -> None:
        self._patiently(self._measure_all, lambda: len(self.outcomes))

    def _measure_all(self, session: Session) -> None:
        ended = {outcome.cell.id for outcome in self.outcomes}
        found = self._found(session, self._orders.cells)
        self.pythons = sorted({f"{item.python} ({item.version})" for item in found.values()})
        for index, cell in enumerate(self._orders.cells):
            if cell.id in ended:
                continue
            self._check_stopped()
            self._place = (index, len(self._orders.cells))
            if self._tools.failures.too_many and self._journal.of(cell).job is None:
                self._end(Skipped(cell, f"{self._tools.failures.count} cells have failed"))
            else:
                self._one(session, cell, found)
        session.tidy(_KEEP_DAYS)

    def _one(self, session: Session, cell: Cell, found: Mapping[str, Found]) -> None:
        try:
            measurement = self._take_up(session, cell, found) or self._measure(session, cell, found)
        except _NoEngine as error:
            self._fail(cell, error, link=error.link)
        except (ConnectError, HostKeyError, Timeout):
            raise  # the rest of this device's cells share its fate
        except EdgebenchError as error:
            if self._stopped:
                raise
            if self._once_more(cell, error):
                self._one(session, cell, found)
            else:
                self._fail(cell, error, link=was_killed(error))
        else:
            self._judge(session, cell, found, measurement)

    def _judge(self, session: Session, cell: Cell, found: Mapping[str, Found], measurement: str) -> None:
        """Measure an INVALID cell anew, as often as the run does that; the first that is not INVALID counts."""
        verdict, progress = self._verdicts.pop(measurement), self._journal.of(cell)
        if verdict.status is Status.INVALID and (progress.invalid or self._repeats(cell, verdict)):
            repeats = self._repeats(cell, verdict)
            self._journal.invalid(cell, measurement, rules_of(verdict))
            if repeats:
                self._say(f"{cell.label} is {verdict.short}; measuring it anew")
                self._one(session, cell, found)
                return
            measurement = counting(progress.invalid)
        others = tuple(one for one in progress.invalid if one != measurement)
        self._journal.done(cell, measurement)
        self._end(Ok(cell, measurement, others=others))

    def _repeats(self, cell: Cell, verdict: Verdict) -> bool:
        before = len(self._journal.of(cell).invalid)
        return is_worth_repeating(verdict, before, self._tools.policy.repeat_invalid)

    def _take_up(self, session: Session, cell: Cell, found: Mapping[str, Found]) -> str | None:
        """Collect the job that an earlier controller began, unless the device has changed since it ended."""
        origin = self._journal.of(cell).origin
        job = self._join(session, cell)
        if job is None or origin is None:
            return None
        measurement = self._collect(session, cell, job, origin, _heated(found, cell))
        why = changed(self._tools.results.get(measurement), found[cell.backend])
        if not why:
            return measurement
        self._journal.outdated(cell)
        self.anew.append((cell, why))
        return None

    def _measure(self, session: Session, cell: Cell, found: Mapping[str, Found]) -> str:
        check_request(cell, found, self.device.name)
        supplied = self._supplied(cell)
        artifact, own, labelled = supplied.artifact, supplied.data, supplied.labelled
        given = self._engine(session, cell)
        self._ship(session, artifact)
        for one in supplied.sets:
            self._send(session, one.data.artifact, one.folder, one.files)
        builds = found[cell.backend].report.builds and given is None
        rebuild = builds and self._anew(build_of(cell, artifact, self.device.name))
        used = own.used if own else None, labelled.used if labelled else None
        job, origin = self._journal.begin(cell, self._origin(cell, artifact, *used))
        self._under_way = (cell, job)
        doing, data = f"measuring {cell.label}", own.data if own else None
        self._say(doing)
        control = control_of(cell, self.device)
        spec = job_spec(
            job, cell, artifact, builds=builds, rebuild=rebuild, given=given, data=data, control=control,
            labelled=labelled.data if labelled else None,
        )  # fmt: skip
        heated = _heated(found, cell)
        session.run(bounded(spec, self._tools.policy, self._rested_c.get(heated)), self._follower(doing, cell))
        return self._collect(session, cell, job, origin, heated)

    def _engine(self, session: Session, cell: Cell) -> GivenEngine | None:
        """The engine that this device's builder makes, or this machine made ahead of time, sent there. Errors:
        _NoEngine when the builder did not."""
        if cell.engines == AHEAD:
            return self._given(session, self._ahead(cell), BUILDER)
        build = self._orders.builds.get(cell.id)
        if build is None:
            return None
        if not build.engine.done():
            self._say(f"waiting for {build.device} to build {build.label}")
        while not futures.wait([build.engine], _LOOK_S).done:
            self._check_stopped()
        error = build.engine.exception()
        if error is not None:
            raise _NoEngine(build, error)
        return self._given(session, build.engine.result(), build.device)

    def _ahead(self, cell: Cell) -> Artifact:
        return engine_for(cell, self._tools.artifacts, self._tools.survey)

    def _given(self, session: Session, engine: Artifact, builder: str) -> GivenEngine:
        self._ship(session, engine)
        file = next(entry for entry in engine.files if entry.name == ENGINE_FILE)
        return GivenEngine(engine.id, file, builder)

    def _supplied(self, cell: Cell) -> Supplied:
        """Errors: what went wrong on this machine; TransportError once the run is stopped."""
        return self._orders.supply.of(
            cell, self._check_stopped, lambda: self._say(f"waiting for the export of {cell.label}")
        )

    def _collect(self, session: Session, cell: Cell, job: str, origin: Origin, heated: str) -> str:
        result, samples = session.collect(job, origin.artifact)
        self._note_spent()
        rested = result.context.get("temperature_c")
        if rested is not None and isinstance(rested.value, (int, float)):
            self._rested_c.setdefault(heated, float(rested.value))
        self._under_way = None
        collected_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        made = Measurement(job, self._journal.run, cell, origin, collected_at, result)
        self._tools.results.add(made, samples)
        self._verdicts[job] = self._tools.judge(made, np.frombuffer(samples, dtype="<i8").astype(np.int64))
        if self._tools.rebuild and result.engine is not None and cell.id not in self._orders.builds:
            build = build_of(cell, self._supplied(cell).artifact, self.device.name)
            if self._anew(build):
                self._journal.built(build, result.engine.report.file.sha256)
        return job

    def _fail(self, cell: Cell, error: EdgebenchError, *, link: bool = False) -> None:
        self._under_way = None
        self._journal.failed(cell, error.info())
        self._tools.failures.add(self.device.name, error)
        self._end(Failed(cell, self._journal.of(cell).attempts, error.info(), link=link))

    def _end(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        error = outcome.error if isinstance(outcome, Failed) else None
        self._tools.watch.ended(outcome.cell, error, skipped=isinstance(outcome, Skipped))

    def _fail_rest(self, error: EdgebenchError) -> None:
        """The device is lost: its cells fail, except for a job under way, which goes on without us."""
        if self._stopped:
            return
        link = isinstance(error, TransportError)
        known = {outcome.cell.id for outcome in self.outcomes}
        for cell in self._orders.cells:
            if cell.id in known:
                continue
            progress = self._journal.of(cell)
            if progress.job is not None:
                self._end(Failed(cell, progress.attempts, error.info(), link=True, goes_on=True))
            else:
                self._fail(cell, error, link=link)

    def _say(self, what: str) -> None:
        self._tell(what, *self._place)


class _NoEngine(BuildError):
    """The builder of the class did not deliver. `link`: it was not reached, or was lost."""

    def __init__(self, build: Build, error: BaseException) -> None:
        self.link = isinstance(error, TransportError) or (isinstance(error, EdgebenchError) and was_killed(error))
        message = f"the builder {build.device} made no engine ({getattr(error, 'message', error)})"
        fix = "mend that, or let every device build its own: --engines own"
        super().__init__(message, where=build.device, fix=fix, stage="build")


def _heated(found: Mapping[str, Found], cell: Cell) -> str:
    """The kind of what a job of that cell heats, and is waited for."""
    return kind_measured(found[cell.backend].probe.kind, cell.options)
