"""How much a run puts up with before it gives a cell, a device or itself up."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from profiles.errors import (
    AgentError,
    ConnectError,
    EdgebenchError,
    LoginError,
    Timeout,
    TransferError,
    TransportError,
)

_KILLED = ("lost", "worker_killed", "agent_killed")
"""Codes of what somebody ended, or the device for want of memory, or by restarting."""

_PASSES = (*_KILLED, "worker_died", "busy")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0


@dataclass(frozen=True)
class Policy:
    """`link_retries`: how often a device's link may break, or not come up, with no cell finished in between: while a
    device that is out of reach is waited for, what does not come up is not counted.
    `run_retries`: how often a cell is begun anew after what passes by itself. `max_failures`: after so many failed
    cells no new one is begun. `cell_timeout_s` ends a cell on the device. `wait_online_s`: how long a device may be
    out of reach. `max_bytes`: what may be sent to a device in this run. Where a device tells its temperature, it waits
    before a cell until it is within `cool_within_c` degrees Celsius of where it was before its first one, at most
    `cool_cap_s`. `repeat_invalid`: how often a cell is measured anew whose measurement is INVALID for what may pass.
    With `overlap`, devices measure while this machine exports what they need next.
    """

    link_retries: int = 0
    run_retries: int = 0
    max_failures: int | None = None
    cell_timeout_s: float | None = None
    wait_online_s: float = 0.0
    max_bytes: int | None = None
    cool_within_c: float | None = None
    cool_cap_s: float = 0.0
    overlap: bool = False
    repeat_invalid: int = 0

    MOST_REPEATS = 10


def link_may_return(error: EdgebenchError) -> bool:
    """Whether a device that answered so may be reached later: it was silent, not unwilling."""
    return isinstance(error, (ConnectError, Timeout)) and not isinstance(error, LoginError)


def was_killed(error: EdgebenchError) -> bool:
    """Whether the work was ended from outside: the next run of the same command tries it again."""
    return isinstance(error, AgentError) and error.code in _KILLED


def passes_by_itself(error: EdgebenchError) -> bool:
    """Whether the same cell may go well when it is begun anew."""
    return isinstance(error, AgentError) and error.code in _PASSES


class Patience:
    """Waits for one device's link. Times are monotonic: a clock that is set changes nothing."""

    def __init__(self, policy: Policy, now: Callable[[], float] = time.monotonic) -> None:
        self._policy = policy
        self._now = now
        self._broken, self._returned = 0, 0  # with no cell in between: attempts that failed, and returns
        self._pause_s = _FIRST_PAUSE_S
        self._lost_at: float | None = None

    def progressed(self) -> None:
        """The device has finished a cell: what was before is forgiven."""
        self._broken, self._returned = 0, 0
        self._came_up()

    def returned(self) -> None:
        """The device is reached. If it was out of reach, that counts as one link that broke."""
        if self._lost_at is not None:
            self._returned += 1
            self._broken = self._returned
        self._came_up()

    def pause_s(self) -> float | None:
        """After a link that broke or did not come up: seconds until the next attempt, None to give up."""
        now = self._now()
        self._lost_at = now if self._lost_at is None else self._lost_at
        self._broken += 1
        left_s = self._lost_at + self._policy.wait_online_s - now
        most = self._policy.link_retries
        if self._broken > most and (left_s <= 0 or self._returned > most):
            return None
        pause_s = self._pause_s * random.uniform(0.75, 1.25)  # neighbours are not to come back together
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        return pause_s if self._broken <= most else min(pause_s, max(left_s, 0.1))

    def _came_up(self) -> None:
        self._pause_s, self._lost_at = _FIRST_PAUSE_S, None


@dataclass
class Failures:
    """Counts the failed cells of a run, from any thread. A device that is out of reach counts once, however many cells
    that costs; one that takes no files is reached, and counts for each."""

    most: int | None = None
    count: int = 0
    _lost: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, device: str, error: EdgebenchError) -> None:
        with self._lock:
            if isinstance(error, TransportError) and not isinstance(error, TransferError):
                if device in self._lost:
                    return
                self._lost.add(device)
            self.count += 1

    @property
    def too_many(self) -> bool:
        return self.most is not None and self.count >= self.most
