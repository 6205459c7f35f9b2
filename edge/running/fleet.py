"""Many devices: run a plan's cells on them, a thread a device, one cell at a time on each.

A device's failure never hides another's result: every cell ends as Ok, Failed or Skipped. The journal knows what was
begun, so a run that was killed is taken up where it stood, and a job that outlived its controller is collected, not
repeated.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from edge.agent.asking import AT_ONCE
from edge.inventory.devices import Device
from edge.planning.classes import Build, builds_for
from edge.planning.plan import PER_CLASS, Cell, Plan
from edge.running.builder_run import BuilderRun
from edge.running.device_run import DeviceRun, Failed, Ok, Orders, Outcome, Skipped
from edge.running.device_work import DeviceWork, Tools
from edge.running.executors import Executor
from edge.running.journal import Journal
from edge.running.resuming import changed, found_for
from edge.running.supply import Supply, in_turn
from profiles.errors import ConfigError

__all__ = ["Failed", "Interrupted", "Ok", "Outcome", "Report", "Skipped", "Tools", "run"]


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
    def others(self) -> dict[str, tuple[str, ...]]:
        """By the measurement that counts, those of the same cell that were INVALID and do not."""
        ends = [outcome for outcome in self.outcomes if isinstance(outcome, Ok)]
        return {outcome.measurement: outcome.others for outcome in ends if outcome.others}

    @property
    def unfinished(self) -> bool:
        """Whether the same command is to try a cell again: its device was lost or not reached, or it was not begun."""
        return any(isinstance(one, Skipped) or (isinstance(one, Failed) and one.link) for one in self.outcomes)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, after the tidying up. `message` says what became of the jobs."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def run(
    plan: Plan,
    devices: Mapping[str, Device],
    journal: Journal,
    tools: Tools,
    executor: Executor,
    *,
    goes_on: bool = False,
) -> Report:
    """Measure every cell of the plan that the journal does not know as done, by the device as it is now. The run is
    finished then, unless a device was lost, or the caller `goes_on` with it. `executor` is who reaches the devices.

    Errors: ConfigError of the export or of the operator's data (nothing was begun), unless exporting overlaps with
    measuring; Interrupted on Ctrl-C. All else ends in the report.
    """
    report = Report()
    outcomes: dict[str, Outcome] = dict(_earlier(plan, journal, tools, report))
    todo = [cell for cell in plan.cells if cell.id not in outcomes]
    tools.watch.begins(plan.cells, [outcome.cell for outcome in outcomes.values()])
    supply = Supply(todo, tools.artifact, tools.data, tools.labelled)
    supply.make([cell for cell in todo if cell.engines == PER_CLASS or not tools.policy.overlap])
    outcomes.update({failure.cell.id: failure for failure in _not_supplied(todo, supply, journal, tools)})
    todo = [cell for cell in todo if cell.id not in outcomes]
    artifacts = {cell.id: supply.made(cell).artifact for cell in todo if cell.engines == PER_CLASS}
    builds = builds_for(todo, artifacts, devices)
    building = _builder_runs(builds.values(), devices, journal, tools)
    queues = _by_device(todo)
    workers = [
        executor.device_run(devices[name], Orders(cells, supply, builds, building.get(name)), journal, tools)
        for name, cells in queues.items()
    ]
    # Builders first: the pool begins in this order, and others wait for them. This machine measures last: elsewhere it
    # is the controller, and its own work would disturb what it measures.
    remote = [*building.values(), *(worker for worker in workers if not worker.device.is_local)]
    _run_all(remote, lambda: _supply_all(supply, queues.values(), tools))
    _run_all([worker for worker in workers if worker.device.is_local], lambda: None)
    for worker in workers:
        outcomes.update({outcome.cell.id: outcome for outcome in worker.outcomes})
    _sum_up(report, [outcomes[cell.id] for cell in plan.cells], workers, building)
    left_out = {cell.id for cell in journal.planned} - {cell.id for cell in plan.cells}
    if not left_out and not goes_on and not report.unfinished:
        journal.finish()
    return report


def _not_supplied(cells: Sequence[Cell], supply: Supply, journal: Journal, tools: Tools) -> Iterator[Failed]:
    """The cells that this machine has tried to make ready, and could not. Errors: ConfigError."""
    failed = [(cell, error) for cell in cells if (error := supply.error(cell)) is not None]
    for _, error in failed:
        if isinstance(error, ConfigError):
            raise error
    for cell, error in failed:
        journal.failed(cell, error.info())
        tools.failures.add(cell.device, error)
        tools.watch.ended(cell, error.info())
        yield Failed(cell, 0, error.info())


def _supply_all(supply: Supply, queues: Iterable[list[Cell]], tools: Tools) -> None:
    supply.make(in_turn(queues))
    tools.watch.supplied()


def _sum_up(
    report: Report, outcomes: list[Outcome], workers: Sequence[DeviceRun], building: Mapping[str, BuilderRun]
) -> None:
    report.outcomes = outcomes
    report.bytes_sent = sum(worker.bytes_sent for worker in (*building.values(), *workers))
    report.building_s = {name: builder.building_s for name, builder in building.items()}
    report.pythons = {worker.device.name: worker.pythons for worker in workers if worker.pythons}
    report.anew += [one for worker in workers for one in worker.anew]


def _earlier(plan: Plan, journal: Journal, tools: Tools, report: Report) -> Iterable[tuple[str, Ok]]:
    """What an earlier process had measured on a device that is still the same, by the cell's id."""
    for cell in plan.cells:
        done = journal.of(cell).done
        if done is None or not tools.results.readable(done):
            continue
        why = changed(tools.results.get(done), found_for(cell, tools.survey))
        if why:
            report.anew.append((cell, why))
        else:
            others = tuple(one for one in journal.of(cell).invalid if one != done)
            yield cell.id, Ok(cell, done, earlier=True, others=others)


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


def _run_all(workers: Sequence[DeviceWork], meanwhile: Callable[[], None]) -> None:
    """All at once, each in a thread, and `meanwhile` in this one."""
    if not workers:
        meanwhile()
        return
    pool = ThreadPoolExecutor(min(len(workers), AT_ONCE), thread_name_prefix="device")
    futures = [pool.submit(worker.run) for worker in workers]
    try:
        meanwhile()
        for future in wait(futures, return_when=FIRST_EXCEPTION).done:
            future.result()
    except KeyboardInterrupt:
        raise Interrupted(_cancelled(workers)) from None
    except BaseException:  # nothing more can be kept: what is under way goes on there, and the next command finds it
        for worker in workers:
            worker.stop()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _cancelled(workers: Sequence[DeviceWork]) -> str:
    """Cancel what runs, and say so; a second Ctrl-C leaves the jobs to themselves, and says that.

    One key press can arrive twice (`timeout` signals the child, then its group): within a second it counts as one.
    """
    pool = ThreadPoolExecutor(min(len(workers), AT_ONCE), thread_name_prefix="cancel")
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
