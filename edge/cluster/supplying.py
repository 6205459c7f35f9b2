"""What a worker wishes for its device: looked up here, its files brought there, and told once they have come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent import futures
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

from device_agents.contract import ErrorInfo, FileEntry
from edge.cluster.words import Engine, Supplies, artifact_to_json
from edge.planning.ahead import engine_for
from edge.planning.classes import Build
from edge.planning.plan import AHEAD, Cell
from edge.running.device_run import Orders
from edge.running.device_work import Tools
from export.artifact import Artifact
from profiles.errors import EdgebenchError


@dataclass(frozen=True)
class Payload:
    """Files that a worker needs, and how people call them."""

    id: str
    label: str
    folder: Path
    files: tuple[FileEntry, ...]

    @property
    def size(self) -> int:
        return sum(entry.size for entry in self.files)


class Supplier:
    """Of one device, at one worker. `deliver` brings files there, once for all devices."""

    def __init__(self, orders: Orders, tools: Tools, deliver: Callable[[Payload], Future[None]]) -> None:
        self._cells = {cell.id: cell for cell in orders.cells}
        self._supply = orders.supply
        self._builds = {build.id: build for build in orders.builds.values()}
        self._tools = tools
        self._deliver = deliver
        self._wishes: dict[str, tuple[Supplies, Sequence[Payload]] | None] = {}

    def wish(self, cell: str) -> None:
        """The worker has come to that cell."""
        self._wishes.setdefault(cell)

    @property
    def is_busy(self) -> bool:
        """Whether the worker waits for something, or will."""
        return bool(self._wishes or self._builds)

    def came(self) -> tuple[dict[str, Supplies], dict[str, Engine]]:
        """What has come since the last time, by the ids of cells and of builds."""
        supplies = {name: came for name in self._wishes if (came := self._supplies(name)) is not None}
        engines = {name: built for name, build in self._builds.items() if (built := self._engine(build)) is not None}
        self._wishes = {name: wish for name, wish in self._wishes.items() if name not in supplies}
        self._builds = {name: build for name, build in self._builds.items() if name not in engines}
        return supplies, engines

    def _supplies(self, name: str) -> Supplies | None:
        try:
            wish = self._wishes[name] or self._looked_up(self._cells[name])
            self._wishes[name] = wish
            return wish[0] if self._delivered(wish[1]) else None
        except futures.TimeoutError:  # it is still being exported
            return None
        except EdgebenchError as error:
            return Supplies(error=error.info())

    def _looked_up(self, cell: Cell) -> tuple[Supplies, Sequence[Payload]]:
        """Errors: TimeoutError while it is not made yet; what went wrong."""
        supplied = self._supply.made(cell)
        supplies, payloads = Supplies(artifact=artifact_to_json(supplied.artifact)), [_payload(supplied.artifact)]
        own = supplied.data
        if own is not None:
            supplies = replace(supplies, used=own.used, data=own.data)
        if supplied.labelled is not None:
            supplies = replace(supplies, images_used=supplied.labelled.used, images=supplied.labelled.data)
        payloads += [Payload(one.data.artifact, "the data", one.folder, one.files) for one in supplied.sets]
        if cell.engines == AHEAD:
            engine = engine_for(cell, self._tools.artifacts, self._tools.survey)
            supplies = replace(supplies, ahead=artifact_to_json(engine))
            payloads.append(_payload(engine))
        return supplies, payloads

    def _engine(self, build: Build) -> Engine | None:
        if not build.engine.done():
            return None
        try:
            engine = build.engine.result()
            return Engine(artifact=artifact_to_json(engine)) if self._delivered([_payload(engine)]) else None
        except EdgebenchError as error:
            return Engine(error=error.info())
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not keep the others waiting
            return Engine(error=ErrorInfo("run", "build", f"edgebench failed ({type(error).__name__}: {error})"))

    def _delivered(self, payloads: Sequence[Payload]) -> bool:
        """Whether all is there. Errors: TransferError."""
        deliveries = [self._deliver(payload) for payload in payloads]
        if not all(delivery.done() for delivery in deliveries):
            return False
        for delivery in deliveries:
            delivery.result()
        return True


def _payload(artifact: Artifact) -> Payload:
    return Payload(artifact.id, artifact.model, artifact.path, artifact.files)
