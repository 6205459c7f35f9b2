"""`deploy`: a sweep of one plan. Choose, export what is missing, ship, measure, store."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from edge import fleet
from edge.choosing import Survey
from edge.connect import connect
from edge.inventory import Device
from edge.journal import open_journal
from edge.places import Places
from edge.plan import Plan
from edge.releases import making
from edge.report.rows import Row, read
from edge.request import Request
from edge.results.store import Store
from edge.results.verdict import Status
from edge.resuming import look_again
from edge.sources import artifact_source, data_source
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
    def exit_code(self) -> int:
        """0 done, 1 every device failed, or none got its release, 3 some did, 4 a measurement is INVALID."""
        released = [one for one in self.releases if isinstance(one, making.Released)]
        unreleased = [one for one in self.releases if isinstance(one, making.NotReleased) and not one.invalid]
        if not self.rows or (unreleased and not released):
            return FAILED
        if self.failures or unreleased:
            return PARTLY
        return INVALID if any(row.verdict.status is Status.INVALID for row in self.rows) else DONE


def deploy(
    request: Request,
    plan: Plan,
    devices: Sequence[Device],
    places: Places,
    progress: Progress,
    *,
    survey: Survey | None = None,
    fresh: bool = False,
    begin: float | None = None,
    wish: making.Wish | None = None,
) -> Deployment:
    """Measure the plan that was made of the request, and of the `survey`, and release what is wished; `begin` is when
    that was started (time.monotonic), as the operator waited for it, too. Errors: ConfigError, fleet.Interrupted."""
    begin = time.monotonic() if begin is None else begin
    results = Store(places.results)
    artifacts = Artifacts(places.artifacts)
    journal = open_journal(places.results, plan, fresh=fresh)
    try:
        survey = look_again(plan, journal, devices, survey or Survey(), places, progress)
        artifact = artifact_source(request, artifacts, progress, survey)
        if wish is not None:
            making.check_shared(plan, artifact, survey)
        tools = fleet.Tools(
            artifact=artifact,
            connect=lambda device: connect(device, places),
            results=results,
            artifacts=artifacts,
            progress=progress,
            data=data_source(request, artifact, artifacts, progress) if request.inputs else None,
            survey=survey,
            rebuild=plan.rebuild,
        )
        by_name = {device.name: device for device in devices}
        report = fleet.run(plan, by_name, journal, tools, goes_on=wish is not None)
        rows = tuple(read(results, outcome.measurement) for outcome in report.outcomes if isinstance(outcome, fleet.Ok))
        releases: tuple[making.Outcome, ...] = ()
        if wish is not None:
            releases = making.release_all(wish, rows, plan, devices, artifacts, places, progress)
            if not report.lost and not any(isinstance(one, making.NotReleased) and one.again for one in releases):
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
    return Deployment(journal.run, rows, report, time.monotonic() - begin, *_longest(rows, report), releases)


def _longest(rows: Sequence[Row], report: fleet.Report) -> tuple[float, float]:
    """Seconds of building and of measuring on the device where they were most, without what an earlier process did."""
    building = dict(report.building_s)
    measuring: dict[str, float] = {}
    for row in rows:
        measurement = row.measurement
        if measurement.id not in report.earlier:
            device, engine = measurement.cell.device, measurement.result.engine
            built_s = 0.0 if engine is None or engine.reused else measurement.result.seconds.get("build", 0.0)
            building[device] = building.get(device, 0.0) + built_s
            measuring[device] = measuring.get(device, 0.0) + row.measuring_s
    parts = [(building.get(device, 0.0), measuring.get(device, 0.0)) for device in {*building, *measuring}]
    return max(parts, key=sum, default=(0.0, 0.0))
