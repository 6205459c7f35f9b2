"""Drawing a run on stderr: a live table on a terminal, one line a step elsewhere."""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edge.cli.progress import Lines
from edge.running.watching import Board
from profiles.errors import printable
from profiles.progress import Progress

if TYPE_CHECKING:
    from rich.text import Text

    from device_agents.contract import ErrorInfo
    from edge.planning.plan import Cell
    from edge.running.watching import RunStatus

_EVERY_S = 1.0  # a table of many devices takes 5 ms to draw, which this machine may be timing something in


@contextmanager
def drawn_board() -> Iterator[tuple[Board, Progress]]:
    """A Board that people see for as long as the block runs, and the Progress that feeds it."""
    if sys.stderr.isatty():
        board = Board()
        with _live(board):
            yield board, board
    else:
        lines = _LineBoard()
        yield lines, lines


class _LineBoard(Board):
    """Tells each step and each end of a cell in a line."""

    def __init__(self) -> None:
        super().__init__()
        self._lines = Lines()

    def __call__(self, what: str, done: int = 0, total: int = 0) -> None:
        super().__call__(what, done, total)
        self._lines(what, done, total)

    def ended(self, cell: Cell, error: ErrorInfo | None = None, *, skipped: bool = False) -> None:
        super().ended(cell, error, skipped=skipped)
        one = self.of(cell.device)
        what = "skipped" if skipped else "done" if error is None else f"failed ({error.message})"
        place = f"{one.total - one.left} of {one.total}"
        self._lines.say(f"{cell.device}: {cell.label}: {what} [{place}]")


@contextmanager
def _live(board: Board) -> Iterator[None]:
    from rich.console import Console
    from rich.live import Live

    ended = threading.Event()
    with Live(console=Console(stderr=True), transient=True, auto_refresh=False) as live:

        def draw() -> None:
            while not ended.wait(_EVERY_S):
                live.update(screenful(board.status()), refresh=True)

        drawer = threading.Thread(target=draw, name="board", daemon=True)
        drawer.start()
        try:
            yield
        finally:
            ended.set()
            drawer.join()


def screenful(status: RunStatus) -> Text:
    """As much of a run as the terminal holds."""
    from rich.text import Text

    from edge.report import standing

    size = shutil.get_terminal_size()
    table = standing.devices(status, size.columns, most=max(size.lines - 8, 3))
    parts = [table, standing.counts(status) if status.devices else "", printable(status.here)]
    return Text.from_ansi("\n".join(part for part in parts if part))
