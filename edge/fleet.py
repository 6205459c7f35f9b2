"""Many devices: run a plan's cells on them, a thread a device, one cell at a time on each.

A device's failure never hides another's result: every cell ends as Ok or Failed. The journal knows what was begun, so
a run that was killed is taken up where it stood, and a job that outlived its controller is collected, not repeated.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from edge.builder_run import BuilderRun
from edge.classes import Build, builds_for
from edge.device_run import DeviceRun, Failed, Ok, Orders, Outcome
from edge.device_work import DeviceWork, Tools
from edge.inventory import Device
from edge.journal import Journal
from edge.plan import Cell, Plan
from edge.resuming import changed, found_for
from export.artifact import Artifact
from profiles.errors import ConfigError, EdgebenchError

_AT_ONCE = 64

__all__ = ["Failed", "Interrupted", "Ok", "Outcome", "Report", "Tools", "run"]


@dataclass
class Report:
    """What came of a run: outcomes in the plan's order, bytes of models sent, by device the Python that was chosen and
    how long engines were built for its class; `anew` are cells that were measured a second time, as their device had
    changed since, and how."""

    outcomes: list[Outcome] = field(default_factory=list)
    bytes_sent: int = 0
    pythons: dict[str, list[str]] = field(default_factory=dict)
    building_s: dict[str, float] = field(default_factory=dict)
    anew: list[tuple[Cell, str]] = field(default_factory=list)

    @property
    def earlier(self) -> frozenset[str]:
        """The measurements that an earlier process of this run had finished."""
        return frozenset(
            outcome.measurement for outcome in self.outcomes if isinstance(outcome, Ok) and outcome.earlier
        )

    @property
    def lost(self) -> bool:
        """Whether a device was lost or not reached: the same command tries that again."""
        return any(isinstance(outcome, Failed) and outcome.link for outcome in self.outcomes)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, after the tidying up. `message` says what became of the jobs."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def run(plan: Plan, devices: Mapping[str, Device], journal: Journal, tools: Tools, *, goes_on: bool = False) -> Report:
    """Measure every cell of the plan that the journal does not know as done, by the device as it is now. The run is
    finished then, unless a device was lost, or the caller `goes_on` with it.

    Errors: ConfigError of the export or of the operator's data (nothing was begun); Interrupted on Ctrl-C. All else
    ends in the report.
    """
    report = Report()
    outcomes: dict[str, Outcome] = {}
    for cell in plan.cells:
        done = journal.of(cell).done
        if done is None or not tools.results.readable(done):
            continue
        why = changed(tools.results.get(done), found_for(cell, tools.survey))
        if why:
            report.anew.append((cell, why))
        else:
            outcomes[cell.id] = Ok(cell, done, earlier=True)
    todo = [cell for cell in plan.cells if cell.id not in outcomes]
    artifacts, failures = _artifacts(todo, tools)
    for failure in failures:
        journal.failed(failure.cell, failure.error)
        outcomes[failure.cell.id] = failure
    todo = [cell for cell in todo if cell.id in artifacts]
    data = {cell.id: tools.data(cell) for cell in todo if cell.inputs is not None and tools.data is not None}
    builds = builds_for(todo, artifacts, devices)
    building = _builder_runs(builds.values(), devices, journal, tools)
    workers = []
    for name, cells in _by_device(todo).items():
        orders = Orders(cells, artifacts, data, builds, building.get(name))
        workers.append(DeviceRun(devices[name], orders, journal, tools))
    # Builders first: the pool begins in this order, and others wait for them. This machine measures last: elsewhere it
    # is the controller, and its own work would disturb what it measures.
    _run_all([*building.values(), *(worker for worker in workers if not worker.device.is_local)])
    _run_all([worker for worker in workers if worker.device.is_local])
    report.bytes_sent = sum(worker.bytes_sent for worker in (*building.values(), *workers))
    report.building_s = {name: builder.building_s for name, builder in building.items()}
    for worker in workers:
        outcomes.update({outcome.cell.id: outcome for outcome in worker.outcomes})
        report.anew += worker.anew
        if worker.pythons:
            report.pythons[worker.device.name] = worker.pythons
    report.outcomes = [outcomes[cell.id] for cell in plan.cells]
    if not goes_on and not report.lost:
        journal.finish()
    return report


def _artifacts(cells: list[Cell], tools: Tools) -> tuple[dict[str, Artifact], list[Failed]]:
    """An artifact for each cell; a model that cannot be exported fails its cells alone."""
    artifacts, failures = {}, []
    for cell in cells:
        try:
            artifacts[cell.id] = tools.artifact(cell)
        except ConfigError:
            raise
        except EdgebenchError as error:
            error.stage = error.stage or "export"
            failures.append(Failed(cell, 0, error.info()))
    return artifacts, failures


def _by_device(cells: list[Cell]) -> dict[str, list[Cell]]:
    queues: dict[str, list[Cell]] = {}
    for cell in cells:
        queues.setdefault(cell.device, []).append(cell)
    return queues


def _builder_runs(
    builds: Iterable[Build], devices: Mapping[str, Device], journal: Journal, tools: Tools
) -> dict[str, BuilderRun]:
    """By the builder's name; what several cells wait for is built once."""
    by_device: dict[str, list[Build]] = {}
    for build in {build.id: build for build in builds}.values():
        by_device.setdefault(build.device, []).append(build)
    return {name: BuilderRun(devices[name], its, journal, tools) for name, its in by_device.items()}


def _run_all(workers: Sequence[DeviceWork]) -> None:
    if not workers:
        return
    pool = ThreadPoolExecutor(min(len(workers), _AT_ONCE), thread_name_prefix="device")
    futures = [pool.submit(worker.run) for worker in workers]
    try:
        for future in futures:
            future.result()
    except KeyboardInterrupt:
        raise Interrupted(_cancelled(workers)) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _cancelled(workers: Sequence[DeviceWork]) -> str:
    """Cancel what runs, and say so; a second Ctrl-C leaves the jobs to themselves, and says that.

    One key press can arrive twice (`timeout` signals the child, then its group): within a second it counts as one.
    """
    pool = ThreadPoolExecutor(min(len(workers), _AT_ONCE), thread_name_prefix="cancel")
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for worker in workers:
            worker.stop()
        answers = [pool.submit(worker.cancel) for worker in workers]
        wait(answers, timeout=1.0)
        signal.signal(signal.SIGINT, handler)
        said = [line for answer in answers for line in answer.result()]
    except KeyboardInterrupt:
        said = ["the jobs under way go on"]
    finally:
        signal.signal(signal.SIGINT, handler)
        pool.shutdown(wait=False, cancel_futures=True)
    jobs = "; ".join(said) or "nothing was being measured"
    return f"{jobs}; what was finished is kept, and the same command goes on from here"
