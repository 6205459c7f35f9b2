"""The runs of sweeps as their files tell them: which there are, where each stands, whether somebody works on it.

sweeps/<plan id>/<run id>.jsonl         the journal, which is the truth of what is done
sweeps/<plan id>/<run id>.status.json   what every device does, written again each second while the run goes on
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from device_agents.contract import from_json, loads
from edge.running.journal import DAMAGED, Journal, look
from edge.running.watching import Board, DeviceStatus, RunStatus
from profiles.errors import ConfigError

_STATUS = ".status.json"
_EVERY_S = 1.0
_SILENT_S = 15.0
"""After so long without a word nobody works on a run."""


@dataclass(frozen=True)
class Run:
    """One run of a sweep. `status` is what was last told of its devices, None where the run never told."""

    id: str
    name: str
    started_at: str
    finished: bool
    under_way: bool
    status: RunStatus

    @property
    def state(self) -> str:
        if self.under_way:
            return "running"
        return "finished" if self.finished else "stopped"


@contextlib.contextmanager
def told(journal: Journal, board: Board) -> Iterator[Board]:
    """Keep the status file of a run for as long as the block lasts."""
    path, ended = _status_file(journal.path), threading.Event()

    def write(*, over: bool = False) -> None:
        making = path.with_suffix(".part")
        with contextlib.suppress(OSError):  # a full disk costs the figures of a terminal, and no measurement
            making.write_text(_text(replace(board.status(), ended=over)), encoding="utf-8")
            making.replace(path)

    def keep_writing() -> None:
        while not ended.wait(_EVERY_S):
            write()

    write()
    writer = threading.Thread(target=keep_writing, name="status", daemon=True)
    writer.start()
    try:
        yield board
    finally:
        ended.set()
        writer.join()
        write(over=True)


def _text(status: RunStatus) -> str:
    """As `dumps` has it, without a look at the type of every value: it is made each second, of a thousand devices."""
    devices = {name: vars(one) for name, one in status.devices.items()}
    return json.dumps({**vars(status), "devices": devices})


def runs(root: Path) -> list[Run]:
    """All that there are, the newest first. A journal that cannot be read is left out. Errors: OSError for a folder of
    them that cannot be, which glob passes over."""
    with contextlib.suppress(FileNotFoundError):
        os.scandir(root / "sweeps").close()
    found = []
    for path in sorted(root.glob("sweeps/*/*.jsonl"), key=lambda path: path.stem, reverse=True):
        with contextlib.suppress(OSError, *DAMAGED):
            journal = look(path)
            if journal.name:
                found.append(_run(journal))
    return found


def find(root: Path, prefix: str) -> Run:
    """The run whose id begins so, or the newest of the sweep of that name. Errors: ConfigError."""
    known = runs(root)
    matches = [run for run in known if run.id.startswith(prefix)]
    named = next((run for run in known if run.name == prefix), None)
    if named is not None or len(matches) == 1:
        return named or matches[0]
    what = f"{len(matches)} runs begin with {prefix!r}" if matches else f"no run is called {prefix!r} or begins so"
    raise ConfigError(what, where="RUN", fix="see `edgebench sweeps list`")


def unfinished(root: Path, plan_id: str) -> Run | None:
    """The run that the same command would go on with; None where it would begin one."""
    latest = max((root / "sweeps" / plan_id).glob("*.jsonl"), default=None)
    if latest is not None:
        with contextlib.suppress(OSError, *DAMAGED):
            journal = look(latest)
            return None if journal.finished or not journal.planned else _run(journal)
    return None


def last_told(root: Path) -> tuple[str, RunStatus] | None:
    """The id of the newest sweep's run that has told where it stands, and what it told last: `ended` where nobody works
    on it. No journal is read. None where there is no such run."""
    path = max(root.glob(f"sweeps/*/*{_STATUS}"), key=lambda found: found.name, default=None)
    if path is not None:
        with contextlib.suppress(OSError, *DAMAGED):
            last = _read(path)
            return path.name.removesuffix(_STATUS), last if _is_fresh(last) else replace(last, ended=True)
    return None


def follow(root: Path, run: str, show: Callable[[Run], None]) -> Run:
    """Show the run each second until nobody works on it. Its journal, which may be long, is not read in between."""
    found = find(root, run)
    (journal,) = root.glob(f"sweeps/*/{found.id}.jsonl")
    status: RunStatus | None = found.status if found.under_way else None
    while status is not None:
        show(replace(found, status=status))
        time.sleep(_EVERY_S)
        status = _told_now(journal)
    found = _run(look(journal))
    show(found)
    return found


def _run(journal: Journal) -> Run:
    now = _told_now(journal.path)
    status = now or _counted(journal)
    return Run(journal.run, journal.name, journal.started_at, journal.finished, now is not None, status)


def _counted(journal: Journal) -> RunStatus:
    """From the journal: what a controller that was killed had no time to tell is in it."""
    devices: dict[str, DeviceStatus] = {}
    for cell in journal.planned:
        one = devices.setdefault(cell.device, DeviceStatus())
        progress = journal.of(cell)
        one.total += 1
        one.done += progress.done is not None
        one.failed += progress.done is None and progress.failed
    return RunStatus(journal.path.stat().st_mtime, devices, failures=journal.failures, ended=True)


def _told_now(journal: Path) -> RunStatus | None:
    """What the process that works on the run tells; None where nobody does."""
    with contextlib.suppress(OSError, *DAMAGED):
        last = _read(_status_file(journal))
        if _is_fresh(last):
            return last
    return None


def _read(path: Path) -> RunStatus:
    """Errors: OSError, DAMAGED."""
    return from_json(RunStatus, loads(path.read_bytes()))


def _is_fresh(last: RunStatus) -> bool:
    """Whether somebody works on the run."""
    return not last.ended and time.time() - last.at < _SILENT_S


def _status_file(journal: Path) -> Path:
    return journal.with_suffix(_STATUS)
