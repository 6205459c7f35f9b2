"""A device's run as its controller follows it, while a worker does the work: what the worker tells is stored and noted
here before the worker goes on, what it wishes for is brought there, and where it is lost another one goes on."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Protocol

from device_agents.contract import ErrorInfo, JobSpec, dumps, from_json
from edge import version
from edge.cluster.supplying import Payload, Supplier
from edge.cluster.words import Awaited, Down, Start, Up, artifact_to_json, device_to_json, error_of, outcome_from_json
from edge.inventory.devices import Device
from edge.planning.plan import Cell
from edge.results.samples import check_samples
from edge.results.store import Measurement
from edge.running.device_run import DeviceRun, Failed, Ok, Orders
from edge.running.device_work import Tools
from edge.running.journal import Journal
from profiles.errors import EdgebenchError, SchemaError, TransportError

STAGE = "scheduler"
"""The stage of what fails for want of a worker."""

_IDLE_S, _BUSY_S = 5.0, 0.2
"""How long a worker keeps us waiting when it has nothing to say; the second while it waits for something of ours."""

_CANCEL_S = 30.0
_LOST_IN_A_ROW = 3
"""So many workers may be lost with a device, and no cell of it finished in between: the fourth would be, too."""


class LostError(Exception):
    """The worker is not there any more."""


class Worker(Protocol):
    """A seat on a worker that was found for a device."""

    def exchange(self, down: Down) -> tuple[tuple[Up, ...], Mapping[str, bytes]]:
        """Errors: LostError."""

    def deliver(self, payload: Payload) -> Future[None]:
        """Bring files to that worker, unless they are there: for all devices once."""

    def stop(self) -> None:
        """Tell it to end what runs there. Returns at once."""

    def close(self) -> None:
        """Nothing more is wanted of it."""


Place = Callable[[str, Callable[[], None]], Worker]
"""Finds a worker and gives it a Start as JSON, calling the second now and then. Errors: TransportError, RunError,
LostError."""


class RemoteRun(DeviceRun):
    """Measures the cells of one device, from a worker of its site."""

    def __init__(self, device: Device, orders: Orders, journal: Journal, tools: Tools, place: Place) -> None:
        super().__init__(device, orders, journal, tools)
        self._place_on = place
        self._worker: Worker | None = None
        self._before: tuple[int, list[tuple[Cell, str]]] = (0, [])
        self._give_up_at = 0.0
        self._done: dict[str, str] = {}
        self._cancelled = threading.Event()
        self._said: list[str] = []
        self._over = False

    def stop(self) -> None:
        with self._lock:
            self._stopping.set()
            if self._worker is not None:
                self._worker.stop()

    def cancel(self) -> list[str]:
        """What the worker says that it did."""
        if self._worker is not None and not self._cancelled.wait(_CANCEL_S):
            return [f"what runs on {self.device.name} goes on (its worker does not answer)"]
        return self._said

    def _measure_patiently(self) -> None:
        lost = 0
        while left := self._left():
            ended = len(self.outcomes)
            self._tell("waiting for a worker")
            try:
                with contextlib.closing(self._place_on(dumps(self._start(left)), self._check_stopped)) as worker:
                    self._attend(worker)
                return
            except LostError as error:
                self._check_stopped()
                lost = 0 if len(self.outcomes) > ended else lost + 1
                if lost > _LOST_IN_A_ROW:
                    fix = "look at the log of the workers: they may run out of memory"
                    message = f"{lost} workers were lost with it, one after another"
                    raise TransportError(message, where=self.device.name, stage=STAGE, fix=fix) from None
                self._say(f"{error}; another one goes on")
            finally:
                self._worker = None

    def _left(self) -> list[Cell]:
        """The cells that have no end yet. A worker can be lost between a measurement and the word that it has ended."""
        ended = {outcome.cell.id for outcome in self.outcomes}
        left = [cell for cell in self._orders.cells if cell.id not in ended]
        for cell in left:
            if cell.id in self._done:
                done = self._done[cell.id]
                others = tuple(one for one in self._journal.of(cell).invalid if one != done)
                self._end(Ok(cell, done, others=others))
        return [cell for cell in left if cell.id not in self._done]

    def _start(self, left: list[Cell]) -> Start:
        ids = {cell.id for cell in left}
        others = {cell.id for cell in self._journal.planned} - ids
        known = self._journal.cells.copy()  # whole, as the threads of other devices and of builders add to it
        builds = {name: build for name, build in self._orders.builds.items() if name in ids}
        return Start(
            version=version(),
            run=self._journal.run,
            device=device_to_json(self.device),
            cells=tuple(left),
            progress={name: one for name, one in known.items() if name not in others},
            policy=self._tools.policy,
            failures=self._tools.failures.count,
            found=self._tools.survey.found.get(self.device.name, {}),
            rebuild=self._tools.rebuild,
            builds={name: Awaited(build.cell, artifact_to_json(build.artifact)) for name, build in builds.items()},
            spent=self._journal.spent.get(self.device.name, 0),
        )

    def _attend(self, worker: Worker) -> None:
        """Follow the worker until its part is over. Errors: LostError."""
        with self._lock:
            self._check_stopped()
            self._worker = worker
        self._over, self._before = False, (self.bytes_sent, list(self.anew))
        self._supplier = Supplier(self._orders, self._tools, worker.deliver)
        taken, refused = 0, dict[str, ErrorInfo]()
        while not self._over or self._is_cancelling(worker):
            supplies, engines = self._supplier.came()
            wait_s = _BUSY_S if self._supplier.is_busy else _IDLE_S
            down = Down(taken, wait_s, self._tools.failures.count, refused, supplies, engines)
            messages, samples = worker.exchange(down)
            refused = {}
            for up in messages:
                try:
                    self._take(up, samples.get(str(up.number), b""))
                except EdgebenchError as error:
                    refused[str(up.number)] = error.info()
                taken = max(taken, up.number)

    def _is_cancelling(self, worker: Worker) -> bool:
        """Whether the worker has yet to say what became of its job; it is told to end that, as often as it takes."""
        if not self._stopped or self._cancelled.is_set():
            return False
        self._give_up_at = self._give_up_at or time.monotonic() + _CANCEL_S
        worker.stop()
        return time.monotonic() < self._give_up_at

    def _take(self, up: Up, samples: bytes) -> None:
        """Errors: EdgebenchError, which the worker is told."""
        taking = {
            "progress": self._take_progress,
            "wish": lambda facts: self._supplier.wish(facts["cell"]),
            "journal": self._take_event,
            "result": lambda facts: self._take_result(facts, samples),
            "ended": self._take_end,
            "cancelled": self._take_cancelled,
            "over": self._take_tally,
        }
        taking[up.kind](up.facts)
        self._over = self._over or up.kind == "over"

    def _take_progress(self, facts: Mapping[str, Any]) -> None:
        self._tools.progress(facts["what"], facts["done"], facts["total"])

    def _take_event(self, facts: Mapping[str, Any]) -> None:
        self._journal.follow(facts["event"], facts["facts"])
        if facts["event"] == "done":
            self._done[facts["facts"]["cell"]] = facts["facts"]["measurement"]

    def _take_result(self, facts: Mapping[str, Any], samples: bytes) -> None:
        measurement = from_json(Measurement, facts["measurement"])
        if measurement.result.task not in JobSpec.TASKS:
            raise SchemaError("a worker sent what no job of ours made", where=self.device.name)
        check_samples(measurement.result, samples, where=f"{self.device.name}, what its worker sent")
        self._tools.results.add(measurement, samples)

    def _take_end(self, facts: Mapping[str, Any]) -> None:
        outcome = outcome_from_json(facts["outcome"])
        self._take_tally(facts)
        if isinstance(outcome, Failed) and not outcome.goes_on:
            self._tools.failures.add(self.device.name, error_of(outcome.error))
        self._end(outcome)

    def _take_cancelled(self, facts: Mapping[str, Any]) -> None:
        self._said = [str(line) for line in facts["said"]]
        self._cancelled.set()

    def _take_tally(self, facts: Mapping[str, Any]) -> None:
        sent, anew = self._before
        self.bytes_sent = sent + facts["bytes_sent"]
        self.pythons = facts["pythons"]
        self.anew = [*anew, *((from_json(Cell, one["cell"]), one["why"]) for one in facts["anew"])]
