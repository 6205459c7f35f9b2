"""A bandwidth limit: no more bytes a second than the operator allows on a link, such as a board's mobile one."""

from __future__ import annotations

import threading
import time

from edge.transport.base import Deadline

_AHEAD_S = 0.5
_LEAST_WINDOW = 1 << 15


class Pace:
    """Both directions of one device, from all threads. Without a `rate` (bytes a second) nothing waits."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._lock = threading.Lock()
        self._free = 0.0  # when the link will have taken what was given to it (time.monotonic)

    @property
    def window(self) -> int | None:
        """Bytes that a server may send ahead, so that its part of a download keeps to the rate too; None for any."""
        return None if self._rate is None else max(_LEAST_WINDOW, int(self._rate * _AHEAD_S))

    def spend(self, count: int, deadline: Deadline, stopped: threading.Event) -> None:
        """Wait until the link would have taken these bytes. The deadline waits as well: the pause is ours."""
        if self._rate is None:
            return
        with self._lock:
            now = time.monotonic()
            self._free = max(now, self._free) + count / self._rate
            pause = self._free - now
        if pause > 0:
            deadline.extend(pause)
            stopped.wait(pause)
