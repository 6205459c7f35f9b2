"""What a worker has to tell of a device, until the controller has taken it: in order, nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping
from typing import Any

from device_agents.contract import ErrorInfo, dumps
from edge.cluster.words import Answer, Up, error_of
from profiles.errors import TransportError


class Outbox:
    """Filled by the threads of a device's run, emptied by `after` on the worker's event loop."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._kept: list[tuple[Up, bytes]] = []
        self._latest: Mapping[str, Any] | None = None
        self._told = 0
        self._taken = 0
        self._refused: Mapping[str, ErrorInfo] = {}
        self._closed = False
        self._wake: Callable[[], object] = _nobody

    def progress(self, what: str, done: int = 0, total: int = 0) -> None:
        """Only the latest is told: nobody waits for the others."""
        with self._changed:
            self._latest = {"what": what, "done": done, "total": total}
            self._wake()

    def tell(self, kind: str, facts: Mapping[str, Any], samples: bytes = b"") -> int:
        """Returns the number of the message."""
        with self._changed:
            self._told += 1
            self._kept.append((Up(self._told, kind, facts), samples))
            self._wake()
            return self._told

    def hand_over(self, kind: str, facts: Mapping[str, Any], samples: bytes = b"") -> None:
        """Tell, and wait until the controller has it. Errors: why it could not take it; TransportError when it is gone,
        and nothing may be begun that it does not know of."""
        number = self.tell(kind, facts, samples)
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._taken >= number)
            if self._taken < number:
                raise TransportError("the controller is gone")
            if str(number) in self._refused:
                raise error_of(self._refused[str(number)])

    def taken(self, number: int, refused: Mapping[str, ErrorInfo]) -> None:
        """The controller has everything up to that message, but for what it could not take."""
        with self._changed:
            self._taken, self._refused = max(number, self._taken), {**self._refused, **refused}
            self._kept = [kept for kept in self._kept if kept[0].number > self._taken]
            self._changed.notify_all()

    def close(self) -> None:
        """Nobody takes anything any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    async def after(self, wait_s: float) -> tuple[str, dict[str, bytes]]:
        """All that is not taken yet, once there is anything, at most `wait_s` later."""
        woken, loop = asyncio.Event(), asyncio.get_running_loop()
        with self._changed:
            self._wake = lambda: loop.call_soon_threadsafe(woken.set)
            if self._kept or self._latest is not None:
                woken.set()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(woken.wait(), wait_s)
        with self._changed:
            self._wake = _nobody
            messages = [up for up, _ in self._kept]
            if self._latest is not None:
                messages.append(Up(0, "progress", self._latest))
            self._latest = None
            samples = {str(up.number): data for up, data in self._kept if data}
        return dumps(Answer(tuple(messages))), samples


def _nobody() -> None:
    pass
