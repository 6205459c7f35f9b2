"""What the cells of a run need from this machine: artifacts, and the operator's data in their shape."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from concurrent import futures
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.planning.plan import Cell
from export.artifact import Artifact
from profiles.errors import EdgebenchError, ExportError

if TYPE_CHECKING:
    from edge.planning.data import Prepared
    from edge.planning.labelled import PreparedImages

_LOOK_S = 0.2


@dataclass(frozen=True)
class Supplied:
    artifact: Artifact
    data: Prepared | None = None
    labelled: PreparedImages | None = None

    @property
    def sets(self) -> tuple[Prepared | PreparedImages, ...]:
        """What goes to the device beside the artifact."""
        return tuple(one for one in (self.data, self.labelled) if one is not None)


class Supply:
    """Makes what cells need, one after another, in the thread that calls `make`; other threads wait with `of`."""

    def __init__(
        self,
        cells: Iterable[Cell],
        artifact: Callable[[Cell], Artifact],
        data: Callable[[Cell], Prepared] | None,
        labelled: Callable[[Cell], PreparedImages] | None = None,
    ) -> None:
        self._artifact = artifact
        self._data = data
        self._labelled = labelled
        self._made: dict[str, Future[Supplied]] = {cell.id: Future() for cell in cells}

    def make(self, cells: Iterable[Cell]) -> None:
        """What is made already is not made again. Whatever goes wrong is raised by `of`."""
        for cell in cells:
            made = self._made[cell.id]
            if made.done():
                continue
            try:
                made.set_result(self._supplied(cell))
            except EdgebenchError as error:
                error.stage = error.stage or "export"
                made.set_exception(error)
            except Exception as error:  # noqa: BLE001 - who waits for it must be told
                failure = ExportError(f"edgebench failed ({type(error).__name__}: {error})", where=cell.label)
                failure.stage, failure.__cause__ = "export", error
                made.set_exception(failure)

    def error(self, cell: Cell) -> EdgebenchError | None:
        """Why what the cell needs could not be made; None where it was, or nobody tried yet."""
        made = self._made[cell.id]
        found = made.exception() if made.done() else None
        return found if isinstance(found, EdgebenchError) else None

    def made(self, cell: Cell) -> Supplied:
        """What is there by now; it does not wait. Errors: what went wrong."""
        return self._made[cell.id].result(timeout=0)

    def of(self, cell: Cell, check: Callable[[], None], waiting: Callable[[], None]) -> Supplied:
        """Wait for it, calling `check` now and then, and `waiting` once if there is anything to wait for. Errors: what
        went wrong, or what `check` raises."""
        made = self._made[cell.id]
        if not made.done():
            waiting()
        while not futures.wait([made], _LOOK_S).done:
            check()
        return made.result()

    def _supplied(self, cell: Cell) -> Supplied:
        artifact = self._artifact(cell)
        return Supplied(
            artifact,
            self._data(cell) if cell.inputs is not None and self._data is not None else None,
            self._labelled(cell) if cell.dataset is not None and self._labelled is not None else None,
        )


def in_turn(queues: Iterable[list[Cell]]) -> list[Cell]:
    """The cells of several queues in the order in which they are wanted: the first of each, then the second."""
    waiting = [iter(queue) for queue in queues]
    found: list[Cell] = []
    while waiting:
        for queue in list(waiting):
            with contextlib.suppress(StopIteration):
                found.append(next(queue))
                continue
            waiting.remove(queue)
    return found
