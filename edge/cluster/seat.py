"""A device's run on a worker: the same DeviceRun, with stand-ins for what its controller keeps.

The journal waits until the controller has noted what it is told, and results until they are stored there: so whichever
of them is killed, what is known at home is never less than what was begun on the device.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from device_agents.contract import dumps, from_json, loads, to_json
from edge import version
from edge.agent.connect import connect
from edge.cluster import received
from edge.cluster.outbox import Outbox
from edge.cluster.words import (
    Down,
    Engine,
    Start,
    Supplies,
    artifact_from_json,
    device_from_json,
    error_of,
    outcome_to_json,
)
from edge.inventory.devices import Device
from edge.places import places
from edge.planning.choosing import Survey
from edge.planning.classes import Build
from edge.planning.data import Prepared
from edge.planning.labelled import PreparedImages
from edge.planning.plan import Cell
from edge.planning.probing import probe_all
from edge.results.store import Measurement, Store
from edge.running.device_run import DeviceRun, Orders, Outcome
from edge.running.device_work import Tools
from edge.running.journal import Journal
from edge.running.policy import Failures
from edge.running.supply import Supplied, Supply
from export.artifact import Artifact
from export.artifact import Store as Artifacts
from profiles.errors import ConfigError, TransportError
from profiles.progress import silent

LEASE_S = 30.0
"""After so long without a word of the controller a run ends; a job under way goes on and is collected later."""

_LOOK_S = 1.0


class Seat:
    """Lives on a worker as long as the run of its device; its methods are called from the controller."""

    def __init__(self, start: str) -> None:
        """Begin at once. Errors: ConfigError when this is another edgebench than the controller's."""
        order = from_json(Start, loads(start))
        if order.version != version():
            fix = "install the same one for both"
            raise ConfigError(f"edgebench {version()} is here, the controller's is {order.version}", fix=fix)
        self._heard_at = time.monotonic()
        self._outbox = Outbox()
        self._supply = _Wishes(order.cells, self._outbox)
        self._failures = Failures(order.policy.max_failures, order.failures)
        builds = _builds(order)
        self._builds = {build.id: build for build in builds.values()}
        orders = Orders(list(order.cells), self._supply, builds)
        device = device_from_json(order.device)
        tools = _tools(order, device, self._failures, self._outbox)
        self._run = _Run(device, orders, _Told(order, self._outbox), tools, self._outbox, self._supply)
        self._stopping = threading.Lock()
        for work in (self._work, self._watch_lease):
            threading.Thread(target=work, name="seat", daemon=True).start()

    async def exchange(self, words: str) -> tuple[str, dict[str, bytes]]:
        """Hear what the controller says, and answer with all that it has not taken yet."""
        self._heard_at = time.monotonic()
        down = from_json(Down, loads(words))
        self._outbox.taken(down.taken, down.refused)
        self._failures.count = max(self._failures.count, down.failures)
        for cell, supplies in down.supplies.items():
            self._supply.came(cell, supplies)
        for name, engine in down.engines.items():
            if name in self._builds:
                self._built(self._builds[name], engine)
        return await self._outbox.after(down.wait_s)

    def _built(self, build: Build, engine: Engine) -> None:
        if build.engine.done():
            return
        if engine.error is not None:
            build.engine.set_exception(error_of(engine.error))
        else:
            build.engine.set_result(_received(engine.artifact))

    async def stop(self) -> None:
        """End what runs, its job as well, and say what became of that."""
        threading.Thread(target=self._cancel, name="cancel", daemon=True).start()

    def _work(self) -> None:
        with contextlib.suppress(TransportError):  # nobody is left to be told
            self._run.run()
        self._outbox.tell("over", _tally(self._run))

    def _cancel(self) -> None:
        if self._stopping.acquire(blocking=False):
            self._run.stop()
            self._outbox.tell("cancelled", {"said": self._run.cancel()})

    def _watch_lease(self) -> None:
        while time.monotonic() - self._heard_at < LEASE_S:
            time.sleep(_LOOK_S)
        self._run.stop()
        self._outbox.close()


class _Run(DeviceRun):
    """Tells how each of its cells ends, and takes the engines that were built ahead from the controller."""

    def __init__(
        self, device: Device, orders: Orders, journal: Journal, tools: Tools, outbox: Outbox, wishes: _Wishes
    ) -> None:
        super().__init__(device, orders, journal, tools)
        self._outbox, self._wishes = outbox, wishes

    def _end(self, outcome: Outcome) -> None:
        super()._end(outcome)
        self._outbox.hand_over("ended", {"outcome": outcome_to_json(outcome), **_tally(self)})

    def _ahead(self, cell: Cell) -> Artifact:
        return self._wishes.ahead[cell.id]


class _Wishes(Supply):
    """What cells need comes from the controller, once it is asked for."""

    def __init__(self, cells: tuple[Cell, ...], outbox: Outbox) -> None:
        super().__init__(cells, _never, None)
        self.ahead: dict[str, Artifact] = {}
        self._outbox = outbox

    def of(self, cell: Cell, check: Callable[[], None], waiting: Callable[[], None]) -> Supplied:
        if not self._made[cell.id].done():
            self._outbox.tell("wish", {"cell": cell.id})
        return super().of(cell, check, waiting)

    def came(self, cell: str, supplies: Supplies) -> None:
        made = self._made[cell]
        if made.done():
            return
        if supplies.error is not None:
            made.set_exception(error_of(supplies.error))
            return
        if supplies.ahead is not None:
            self.ahead[cell] = _received(supplies.ahead)
        made.set_result(Supplied(_received(supplies.artifact), _prepared(supplies), _labelled(supplies)))


class _Told(Journal):
    """A journal without a file: what it is told, the controller's notes first."""

    def __init__(self, order: Start, outbox: Outbox) -> None:
        super().__init__(Path(), order.run, resumed=False, _descriptor=-1, cells=dict(order.progress))
        self.spent = {device_from_json(order.device).name: order.spent}
        self._outbox = outbox

    def _append(self, event: str, **facts: Any) -> None:
        self._outbox.hand_over("journal", {"event": event, "facts": facts})
        self._apply({"event": event, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **facts})


class _Sent(Store):
    """Results go to the controller's store; the last one can be looked at."""

    def __init__(self, outbox: Outbox) -> None:
        super().__init__(Path())
        self._outbox = outbox
        self._last: Measurement | None = None

    def add(self, measurement: Measurement, samples: bytes) -> Path:
        self._outbox.hand_over("result", {"measurement": to_json(measurement)}, samples)
        self._last = measurement
        return self.folder(measurement.id)

    def get(self, measurement_id: str) -> Measurement:
        if self._last is None or self._last.id != measurement_id:
            raise KeyError(measurement_id)
        return self._last


def look(device: str, backends: list[str]) -> str:
    """What the device answers this worker of each backend, or why it does not, as JSON."""
    asked = device_from_json(loads(device))
    found, failed = probe_all((asked,), places(), silent, {asked.name: backends})
    if asked.name in failed:
        return dumps({"error": failed[asked.name].info()})
    return dumps({"found": found[asked.name]})


def _tools(order: Start, device: Device, failures: Failures, outbox: Outbox) -> Tools:
    return Tools(
        artifact=_never,
        connect=lambda device: connect(device, places()),
        results=_Sent(outbox),
        artifacts=Artifacts(places().artifacts),
        progress=outbox.progress,
        survey=Survey({device.name: order.found}),
        rebuild=order.rebuild,
        policy=order.policy,
        failures=failures,
    )


def _builds(order: Start) -> dict[str, Build]:
    """By the cell's id; cells that one engine serves share a build, as they do at home."""
    known: dict[str, Build] = {}
    builds = {}
    for cell, awaited in order.builds.items():
        build = Build(awaited.cell, _received(awaited.artifact))
        builds[cell] = known.setdefault(build.id, build)
    return builds


def _received(artifact: Any) -> Artifact:
    return artifact_from_json(artifact, received.folder(artifact["id"]))


def _prepared(supplies: Supplies) -> Prepared | None:
    if supplies.data is None or supplies.used is None:
        return None
    return Prepared(supplies.used, received.folder(supplies.data.artifact), supplies.data)


def _labelled(supplies: Supplies) -> PreparedImages | None:
    if supplies.images is None or supplies.images_used is None:
        return None
    return PreparedImages(supplies.images_used, received.folder(supplies.images.artifact), supplies.images)


def _tally(run: DeviceRun) -> dict[str, Any]:
    """What the report says of a device beside its outcomes."""
    anew = [{"cell": cell, "why": why} for cell, why in run.anew]
    return {"bytes_sent": run.bytes_sent, "pythons": run.pythons, "anew": anew}


def _never(cell: Cell) -> Artifact:
    raise AssertionError(f"nothing is exported on a worker: {cell.label}")
