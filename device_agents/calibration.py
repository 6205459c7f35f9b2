"""A backend that does nothing, or waits a known time: it shows what the timed interval itself costs."""

from __future__ import annotations

import time
from typing import Dict

from device_agents.backends.base import Backend


class KnownDelay(Backend):
    """Every inference takes `delay_ns` of a device that works alone, started at `enqueue`; 0 does nothing at all."""

    patterns = ("serial", "pipelined", "rate")

    def __init__(self, delay_ns: int = 0) -> None:
        self._delay_ns = delay_ns
        self._busy_until_ns = 0
        self._ready_ns: Dict[int, int] = {}

    def enqueue(self, slot: int) -> None:
        if self._delay_ns:
            self._busy_until_ns = max(self._busy_until_ns, time.perf_counter_ns()) + self._delay_ns
            self._ready_ns[slot] = self._busy_until_ns

    def wait(self, slot: int) -> None:
        if self._delay_ns:
            ready_ns = self._ready_ns[slot]
            while time.perf_counter_ns() < ready_ns:
                pass
