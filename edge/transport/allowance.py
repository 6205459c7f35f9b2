"""How many bytes may go over a device's link in a run: some links cost by the byte."""

from __future__ import annotations

import threading


class Allowance:
    """Counts what goes over one device's link, from all threads; `most` is what may be sent and fetched together, None
    for any number. What has to be sent is refused beforehand where it is too much; a result is always fetched."""

    def __init__(self, most: int | None = None, spent: int = 0) -> None:
        self.most = most
        self.spent = spent
        self._lock = threading.Lock()

    @property
    def left(self) -> int | None:
        return None if self.most is None else max(0, self.most - self.spent)

    def spend(self, count: int) -> None:
        with self._lock:
            self.spent += count
