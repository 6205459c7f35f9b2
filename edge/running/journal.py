"""The journal of a run: one JSON line an event, appended and synced, so that kill -9 forgets nothing.

    sweeps/<plan id>/<run id>.jsonl

A run that did not reach `finished` is taken up again by the next command with the same plan.
"""

from __future__ import annotations

import calendar
import contextlib
import enum
import errno
import fcntl
import hashlib
import json
import os
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from device_agents.contract import SchemaViolation, from_json, to_json
from edge.planning.plan import Cell, Plan
from edge.results.store import Origin
from profiles.errors import ConfigError, ResultError

DAMAGED = (SchemaViolation, KeyError, TypeError, ValueError)
"""What a journal that is damaged, or another version's, raises when it is read."""

_STAMP = "%Y%m%dt%H%M%S"


class Begin(enum.Enum):
    """What to begin with: the run that is not finished or else a new one, a new one, that run and nothing else, or the
    latest run for what failed in it."""

    GO_ON = "go on"
    FRESH = "fresh"
    RESUME = "resume"
    FAILED = "failed"


class Task(Protocol):
    """What a journal follows: a cell of the plan, or an engine that a device builds for its class."""

    @property
    def id(self) -> str: ...

    @property
    def label(self) -> str: ...

    @property
    def device(self) -> str: ...


@dataclass
class Progress:
    """Where a task stands in a run: how often it was tried, the job under way, what came of it: the measurement of a
    cell, the artifact of an engine. `failed` is the last word of a task that is not done, `took_s` how long the attempt
    took that it was done with, 0 where one process began it and another ended it. `invalid` are its measurements that
    were INVALID, with the rules that each broke."""

    attempts: int = 0
    job: str | None = None
    origin: Origin | None = None
    done: str | None = None
    failed: bool = False
    took_s: float = 0.0
    invalid: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def apply(self, line: Mapping[str, Any]) -> None:
        """What a line of the journal says of it. Errors: DAMAGED."""
        event = line["event"]
        if event == "submitted":
            self.attempts, self.job = self.attempts + 1, line["job"]
            self.origin = from_json(Origin, line["origin"])
        else:
            self.job = None
        self.failed = event == "failed"
        if event == "done":
            self.done, self.took_s = line["measurement"], float(line.get("took_s", 0.0))
        if event == "built":
            self.done = line["engine"]
        if event == "invalid":
            self.invalid[line["measurement"]] = tuple(line["rules"])
        if event == "outdated":
            self.invalid = {}


@dataclass
class Journal:
    """An open journal; this process is its only writer, from any thread. Close it to let the next one in. `planned` are
    the cells that the run began with, `name` is that of its sweep, `failures` counts failed cells by stage, `spent` the
    bytes that went over the links of devices where those are limited."""

    path: Path
    run: str
    resumed: bool
    _descriptor: int
    cells: dict[str, Progress] = field(default_factory=dict)
    finished: bool = False
    planned: tuple[Cell, ...] = ()
    spent: dict[str, int] = field(default_factory=dict)
    name: str = ""
    started_at: str = ""
    _stages: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _syncing: threading.Lock = field(default_factory=threading.Lock)
    _written: int = 0
    _synced: int = 0
    _torn: bool = False
    _begun: dict[str, float] = field(default_factory=dict)

    @property
    def failures(self) -> dict[str, int]:
        stages = {cell.id: self._stages[cell.id] for cell in self.planned if self.of(cell).failed}
        failed = list(stages.values())
        return {stage: failed.count(stage) for stage in sorted(set(failed))}

    def of(self, task: Task) -> Progress:
        return self.cells.setdefault(task.id, Progress())

    def begin(self, task: Task, origin: Origin) -> tuple[str, Origin]:
        """Note a new attempt; its job id and what it is started with. A job under way keeps both."""
        progress = self.of(task)
        if progress.job is None or progress.origin is None:
            job = job_id(task, self.run, progress.attempts + 1)
            facts = {"cell": task.id, "label": task.label, "device": task.device, "job": job}
            self._append("submitted", **facts, origin=to_json(origin))
            self._begun[task.id] = time.monotonic()
            return job, origin
        return progress.job, progress.origin

    def done(self, task: Task, measurement: str) -> None:
        begun = self._begun.pop(task.id, None)
        took = {} if begun is None else {"took_s": round(time.monotonic() - begun, 3)}
        self._append("done", cell=task.id, measurement=measurement, **took)

    def invalid(self, task: Task, measurement: str, rules: tuple[str, ...]) -> None:
        """A measurement that is kept, and is not to count if another one is better."""
        self._append("invalid", cell=task.id, measurement=measurement, rules=list(rules))

    def built(self, task: Task, engine: str) -> None:
        """`engine` is the id of its artifact, or the SHA-256 of one that stays on the device."""
        self._append("built", cell=task.id, engine=engine)

    def failed(self, task: Task, error: Any) -> None:
        self._append("failed", cell=task.id, error=to_json(error))

    def cancelled(self, task: Task) -> None:
        self._append("cancelled", cell=task.id)

    def outdated(self, task: Task) -> None:
        """The device is another than the one that its last job ran on: it takes a new one."""
        self._append("outdated", cell=task.id)

    def follow(self, event: str, facts: Mapping[str, Any]) -> None:
        """Note what another process has told of a task, that keeps a journal without a file for this one."""
        self._append(event, **facts)

    def sent(self, device: str, total: int) -> None:
        """So many bytes have gone over the device's link in this run."""
        self._append("sent", device=device, bytes=total)

    def finish(self) -> None:
        self._append("finished")

    def close(self) -> None:
        os.close(self._descriptor)

    def _append(self, event: str, **facts: Any) -> None:
        """Errors: ResultError when it cannot be written."""
        line = {"event": event, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **facts}
        text = (json.dumps(line) + "\n").encode()
        try:
            with self._lock:
                self._write(text)
                self._apply(line)
                self._written += 1
                mine = self._written
            self._sync(mine)
        except OSError as error:
            message, fix = (
                f"the journal cannot be written ({error.strerror})",
                "free space, then run it again: it goes on",
            )
            raise ResultError(message, where=str(self.path), fix=fix) from None

    def _write(self, text: bytes) -> None:
        """What a full disk cut short is a line of its own, and takes nothing of the next one. Errors: OSError."""
        text, self._torn = b"\n" + text if self._torn else text, True
        if os.write(self._descriptor, text) < len(text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._torn = False

    def _sync(self, line: int) -> None:
        """Return once the line is on the disk. All that was written while another line was waited for goes with one
        fsync: at several milliseconds each, those of a thousand devices would wait for one another."""
        with self._syncing:
            if self._synced < line:
                written = self._written
                os.fsync(self._descriptor)
                self._synced = written

    def _apply(self, line: dict[str, Any]) -> None:
        event = line["event"]
        if event in ("finished", "reopened"):
            self.finished = event == "finished"
        if event == "sent":
            self.spent[line["device"]] = line["bytes"]
        if event == "started":
            self.planned = tuple(from_json(Cell, cell) for cell in line["cells"])
            self.name, self.started_at = line.get("name", ""), line["at"]
        if "cell" not in line:
            return
        progress = self.cells.setdefault(line["cell"], Progress())
        progress.apply(line)
        if progress.failed:
            self._stages[line["cell"]] = line["error"]["stage"] or line["error"]["code"]


def job_id(task: Task, run: str, attempt: int) -> str:
    """16 hexadecimal digits that name the job on the device and its measurement at home."""
    return hashlib.sha256(f"{task.id} {run} {attempt}".encode()).hexdigest()[:16]


def open_journal(root: Path, plan: Plan, begin: Begin = Begin.GO_ON) -> Journal:
    """Take up the latest unfinished run of `plan`, or begin one.

    Errors: ConfigError when another process has it, when it cannot be written, when its journal is damaged, or when
    there is no run of the kind that `begin` wants.
    """
    folder = root / "sweeps" / plan.id
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _take_up(folder, plan, begin)
    except OSError as error:
        fix = "let $XDG_DATA_HOME name a folder that can be written"
        raise ConfigError(f"cannot be written ({error.strerror})", where=str(folder), fix=fix) from None
    except DAMAGED as error:
        raise ConfigError(f"the journal is damaged ({error})", where=str(folder), fix="--fresh leaves it") from None


def _take_up(folder: Path, plan: Plan, begin: Begin) -> Journal:
    latest = max(folder.glob("*.jsonl"), default=None)
    if latest is not None and begin is not Begin.FRESH:
        journal = _open(latest, resumed=True)
        if journal.planned and (begin is Begin.FAILED or not journal.finished):
            if journal.finished:
                journal._append("reopened")  # noqa: SLF001 - this function is the class's constructor
            return journal
        journal.close()
    if begin in (Begin.RESUME, Begin.FAILED):
        what = "no run of it is unfinished" if begin is Begin.RESUME else "it never ran"
        raise ConfigError(
            f"{what}, as the plan and the devices are now", where=plan.name, fix="run it without that option"
        )
    run = f"{_stamp(latest)}-{secrets.token_hex(2)}"
    journal = _open(folder / f"{run}.jsonl", resumed=False)
    cells = [to_json(cell) for cell in plan.cells]
    journal._append("started", plan=plan.id, name=plan.name, cells=cells)  # noqa: SLF001
    return journal


def _stamp(latest: Path | None) -> str:
    """When a run began, later than every one before it: a clock that was set back must not hide the newest."""
    now = time.strftime(_STAMP, time.gmtime())
    before = latest.stem[: len(now)] if latest is not None else ""
    if now > before:
        return now
    return time.strftime(_STAMP, time.gmtime(calendar.timegm(time.strptime(before, _STAMP)) + 1))


def _open(path: Path, *, resumed: bool) -> Journal:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        fix = "wait for it, or stop it; --fresh measures anew beside it"
        raise ConfigError("another edgebench is running this plan now", where=str(path), fix=fix) from None
    journal = Journal(path, path.stem, resumed, descriptor)
    with contextlib.ExitStack() as undo:
        undo.callback(journal.close)
        journal._torn = not _read(journal)  # noqa: SLF001 - this function is the class's constructor
        undo.pop_all()
    return journal


def look(path: Path) -> Journal:
    """The journal as it is now, for reading alone. Errors: OSError, DAMAGED."""
    journal = Journal(path, path.stem, resumed=True, _descriptor=-1)
    _read(journal)
    return journal


def failed(root: Path, plan: Plan) -> bool:
    """Whether a cell of the plan's latest run has failed, or was lost while it was measured; or there is no run:
    `open_journal` says so."""
    latest = max((root / "sweeps" / plan.id).glob("*.jsonl"), default=None)
    try:
        if latest is None:
            return True
        journal = look(latest)
        return any(journal.of(cell).failed or journal.of(cell).job is not None for cell in journal.planned)
    except (OSError, *DAMAGED):
        return True


def unfinished_runs(root: Path) -> set[str]:
    """The runs that the same command would take up again."""
    found = set()
    for folder in root.glob("sweeps/*"):
        latest = max(folder.glob("*.jsonl"), default=None)
        with contextlib.suppress(OSError, *DAMAGED):
            if latest is not None and not look(latest).finished:
                found.add(latest.stem)
    return found


def _read(journal: Journal) -> bool:
    """Whether its last line is whole."""
    content = journal.path.read_bytes()
    for line in content.splitlines():
        event = _parse(line)
        if event is not None:
            journal._apply(event)  # noqa: SLF001 - this function is the class's constructor
    return not content or content.endswith(b"\n")


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None
