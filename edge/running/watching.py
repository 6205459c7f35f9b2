"""Where a run stands, device by device: kept while it runs, for who looks at it here or from another terminal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from device_agents.contract import ErrorInfo
from edge.planning.plan import Cell


class Watch:
    """Is told what becomes of the cells of a run, from any thread. This one does not want to know."""

    def begins(self, cells: Sequence[Cell], done: Sequence[Cell]) -> None:
        """Once: the cells of the run, and which of them an earlier process had finished."""

    def ended(self, cell: Cell, error: ErrorInfo | None = None, *, skipped: bool = False) -> None:
        """A cell has its measurement, has failed, or is not begun any more."""

    def supplied(self) -> None:
        """This machine has made whatever the cells need from it."""


@dataclass
class DeviceStatus:
    """One device's part: cells by what became of them; what it does, since when (unix seconds), how far that is (bytes
    or items, 0 where nobody knows); the error of the last cell that failed; seconds that its finished cells took."""

    total: int = 0
    done: int = 0
    failed: int = 0
    skipped: int = 0
    doing: str = ""
    since: float = 0.0
    part: int = 0
    whole: int = 0
    error: str = ""
    earlier: int = 0
    busy_s: float = 0.0

    @property
    def left(self) -> int:
        return self.total - self.done - self.failed - self.skipped

    @property
    def eta_s(self) -> float | None:
        """Seconds that its cells still take, if they are like those that it has finished; None where none is."""
        here = self.done + self.failed - self.earlier
        return self.busy_s / here * self.left if here > 0 and self.busy_s else None


@dataclass(frozen=True)
class RunStatus:
    """All of a run at one moment (unix seconds), as the status file holds it: its devices, what this machine does,
    failed cells by stage."""

    at: float
    devices: Mapping[str, DeviceStatus]
    here: str = ""
    failures: Mapping[str, int] = field(default_factory=dict)
    ended: bool = False

    def count(self, what: str) -> int:
        return sum(getattr(one, what) for one in self.devices.values())

    @property
    def eta_s(self) -> float | None:
        """Of the device that takes longest; None until one of each that still has cells has finished one."""
        known = [one.eta_s for one in self.devices.values() if one.left]
        if not known or None in known:
            return None
        return max(one for one in known if one is not None)


class Board(Watch):
    """A Watch and a Progress at once. `status` may be asked at any time."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._devices: dict[str, DeviceStatus] = {}
        self._failures: dict[str, int] = {}
        self._here = ""
        self._mark: dict[str, float] = {}  # when a device's present cell began, monotonic

    def __call__(self, what: str, done: int = 0, total: int = 0) -> None:
        device, colon, doing = what.partition(": ")
        with self._lock:
            if not colon or device not in self._devices:
                self._here = what
                return
            one = self._devices[device]
            self._mark.setdefault(device, time.monotonic())
            if one.doing != doing:
                one.doing, one.since = doing, self._clock()
            one.part, one.whole = done, total

    def begins(self, cells: Sequence[Cell], done: Sequence[Cell]) -> None:
        with self._lock:
            for cell in cells:
                self._devices.setdefault(cell.device, DeviceStatus()).total += 1
            for cell in done:
                self._devices[cell.device].done += 1
                self._devices[cell.device].earlier += 1

    def ended(self, cell: Cell, error: ErrorInfo | None = None, *, skipped: bool = False) -> None:
        with self._lock:
            one = self._devices.setdefault(cell.device, DeviceStatus(1))
            if skipped:
                one.skipped += 1
            elif error is None:
                one.done += 1
            else:
                one.failed += 1
                one.error = error.message
                stage = error.stage or error.code
                self._failures[stage] = self._failures.get(stage, 0) + 1
            now = time.monotonic()
            one.busy_s += now - self._mark.get(cell.device, now)
            self._mark[cell.device] = now
            if not one.left:
                one.doing, one.part, one.whole = "", 0, 0

    def supplied(self) -> None:
        with self._lock:
            self._here = ""

    def of(self, device: str) -> DeviceStatus:
        """One device's part as it is now, without a copy of all the others."""
        with self._lock:
            return DeviceStatus(**vars(self._devices[device]))

    def status(self) -> RunStatus:
        with self._lock:
            devices = {name: DeviceStatus(**vars(one)) for name, one in self._devices.items()}
            return RunStatus(self._clock(), devices, self._here, dict(self._failures))
