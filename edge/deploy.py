"""`deploy`: a sweep of one plan. Choose, export what is missing, ship, measure, store."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from edge.agent.connect import connect
from edge.inventory.devices import Device
from edge.places import Places
from edge.planning.choosing import Survey
from edge.planning.own_data import data_source, labelled_source
from edge.planning.plan import Plan
from edge.planning.request import Request
from edge.planning.sources import ArtifactSource
from edge.releases import making
from edge.report.rows import Row, Rows
from edge.results.store import Store
from edge.results.verdict import Status
from edge.running import fleet
from edge.running.executors import Executor, Threads
from edge.running.journal import Begin, Journal, open_journal
from edge.running.policy import Failures, Policy
from edge.running.resuming import look_again
from edge.running.watching import Watch
from export.artifact import Store as Artifacts
from profiles.progress import Progress

DONE, FAILED, PARTLY, INVALID = 0, 1, 3, 4


@dataclass(frozen=True)
class Deployment:
    """What came of a deploy. Of `seconds`, `building_s` is what building engines took and `measuring_s` what loading,
    checking, warming up and timing took, on the device that worked longest."""

    run: str
    rows: tuple[Row, ...]
    report: fleet.Report
    seconds: float
    building_s: float
    measuring_s: float
    releases: tuple[making.Outcome, ...] = ()

    @property
    def failures(self) -> tuple[fleet.Failed, ...]:
        return tuple(outcome for outcome in self.report.outcomes if isinstance(outcome, fleet.Failed))

    @property
    def skipped(self) -> tuple[fleet.Skipped, ...]:
        return tuple(outcome for outcome in self.report.outcomes if isinstance(outcome, fleet.Skipped))

    @property
    def exit_code(self) -> int:
        """0 done, 1 every device failed, or none got its release, 3 some did, 4 a measurement is INVALID."""
        released = [one for one in self.releases if isinstance(one, making.Released)]
        unreleased = [one for one in self.releases if isinstance(one, making.NotReleased) and not one.invalid]
        if not self.rows or (unreleased and not released):
            return FAILED
        if self.failures or self.skipped or unreleased:
            return PARTLY
        return INVALID if any(row.verdict.status is Status.INVALID for row in self.rows) else DONE


@contextlib.contextmanager
def _unwatched(_journal: Journal) -> Iterator[Watch]:
    yield Watch()


def deploy(
    request: Request,
    plan: Plan,
    devices: Sequence[Device],
    places: Places,
    progress: Progress,
    *,
    survey: Survey,
    begin: Begin,
    since: float,
    policy: Policy | None = None,
    watch: Callable[[Journal], AbstractContextManager[Watch]] = _unwatched,
    wish: making.Wish | None = None,
    executor: Executor | None = None,
) -> Deployment:
    """Measure the plan that was made of the request, and of the `survey`, and release what is wished. `begin` says
    which run to take up, `since` when the operator began to wait (time.monotonic); `watch` is asked for who follows
    the run of a journal, and `executor` reaches the devices, without it this machine does. Errors: ConfigError,
    fleet.Interrupted."""
    executor = executor or Threads()
    policy = policy or Policy()
    results = Store(places.results)
    made = Rows(results)
    artifacts = Artifacts(places.artifacts)
    journal = open_journal(places.results, plan, begin)
    plan = _planned(plan, journal, begin)
    try:
        survey = look_again(plan, journal, devices, survey, places, progress, executor.probe)
        artifact = ArtifactSource(request, artifacts, progress, survey, plan.cells)
        if wish is not None:
            making.check_shared(plan, artifact, survey)
        tools = fleet.Tools(
            artifact=artifact,
            connect=lambda device: connect(device, places),
            results=results,
            artifacts=artifacts,
            progress=progress,
            data=data_source(request, artifact, artifacts, progress),
            labelled=labelled_source(request, artifact, artifacts, progress),
            survey=survey,
            rebuild=plan.rebuild,
            policy=policy,
            failures=Failures(policy.max_failures),
            judge=made.judge,
        )
        by_name = {device.name: device for device in devices}
        with watch(journal) as watching:
            report = fleet.run(
                plan, by_name, journal, replace(tools, watch=watching), executor, goes_on=wish is not None
            )
        rows = tuple(made.of(outcome.measurement) for outcome in report.outcomes if isinstance(outcome, fleet.Ok))
        releases: tuple[making.Outcome, ...] = ()
        if wish is not None:
            releases = making.release_all(wish, rows, plan, devices, artifacts, places, progress)
            if not report.unfinished and not any(isinstance(one, making.NotReleased) and one.again for one in releases):
                journal.finish()
    except fleet.Interrupted:
        raise
    except KeyboardInterrupt:
        under_way = any(progress.job for progress in journal.cells.values())
        what = (
            "a job under way goes on, and the same command collects it" if under_way else "nothing was being measured"
        )
        raise fleet.Interrupted(f"stopped; {what}") from None
    finally:
        journal.close()
    return Deployment(journal.run, rows, report, time.monotonic() - since, *_longest(rows, report), releases)


def _planned(plan: Plan, journal: Journal, begin: Begin) -> Plan:
    """What a sweep that is taken up goes on with: the cells that it began with, whatever devices answered today; of
    what failed, that alone, with the jobs that a device was lost with."""
    if plan.sweep is None or not journal.resumed:
        return plan
    cells = journal.planned
    if begin is Begin.FAILED:
        known = [(cell, journal.of(cell)) for cell in cells]
        cells = tuple(cell for cell, its in known if its.failed or its.job is not None or its.done is not None)
    return replace(plan, cells=cells)


def _longest(rows: Sequence[Row], report: fleet.Report) -> tuple[float, float]:
    """Seconds of building and of measuring on the device where they were most, without what an earlier process did."""
    building, earlier = dict(report.building_s), report.earlier
    measuring: dict[str, float] = {}
    for row in rows:
        measurement = row.measurement
        if measurement.id not in earlier:
            device, engine = measurement.cell.device, measurement.result.engine
            built_s = 0.0 if engine is None or engine.reused else measurement.result.seconds.get("build", 0.0)
            building[device] = building.get(device, 0.0) + built_s
            measuring[device] = measuring.get(device, 0.0) + row.measuring_s
    parts = [(building.get(device, 0.0), measuring.get(device, 0.0)) for device in {*building, *measuring}]
    return max(parts, key=sum, default=(0.0, 0.0))
