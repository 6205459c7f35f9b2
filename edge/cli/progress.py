"""Drawing progress on stderr: live lines on a terminal, one line a step elsewhere, nothing twice."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from profiles.errors import printable
from profiles.progress import Progress

HERE = ""


@contextmanager
def drawn() -> Iterator[Progress]:
    """A Progress that people see for as long as the block runs."""
    if sys.stderr.isatty():
        with _live() as progress:
            yield progress
    else:
        yield Lines()


class Lines:
    """A line when a step begins; how far it is does not make a new one."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}
        self._lock = threading.Lock()

    def __call__(self, what: str, done: int = 0, total: int = 0) -> None:  # noqa: ARG002
        with self._lock:
            if self._last.get(_who(what)) != what:
                self._last[_who(what)] = what
                print(f"{what} ...", file=sys.stderr, flush=True)

    def say(self, line: str) -> None:
        """A line of its own, that something has ended."""
        with self._lock:
            print(printable(line), file=sys.stderr, flush=True)


def _who(what: str) -> str:
    """The device that a step is of, `orin-1: measuring ...`, or HERE."""
    device, colon, _ = what.partition(": ")
    return device if colon else HERE


@contextmanager
def _live() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=20), TimeElapsedColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}
        lock = threading.Lock()

        def progress(what: str, done: int = 0, total: int = 0) -> None:
            with lock:
                who = _who(what)
                if who not in tasks:
                    tasks[who] = bars.add_task(what, total=None)
                bars.update(tasks[who], description=what, completed=done, total=total or None)
                if HERE in tasks:  # nobody says when this machine's own steps end: a device's next word does
                    bars.update(tasks[HERE], visible=who == HERE)

        yield progress
