"""The phases of a worker: how long each took, and what memory was held at its end."""

from __future__ import annotations

import time
from typing import Callable, Dict, Optional

from device_agents import began
from device_agents.footprint import Footprint


class Phases:
    """Seconds by phase; every one begins where the last one ended, the first when the process began. Reading memory is
    a phase of its own, `memory`."""

    def __init__(self, memory: Footprint) -> None:
        born_ns = began.process_ns()
        self.memory = memory
        self.seconds: Dict[str, float] = {"interpreter": (began.AGENT_NS - born_ns) / 1e9}
        self._last_ns = began.AGENT_NS
        self.end("start", stage="baseline")

    def lap(self, name: str) -> int:
        """A phase is over: how many nanoseconds it took."""
        now_ns = time.perf_counter_ns()
        lap_ns, self._last_ns = now_ns - self._last_ns, now_ns
        self.seconds[name] = self.seconds.get(name, 0.0) + lap_ns / 1e9
        return lap_ns

    def end(self, name: str, allocated: Optional[Callable[[], Dict[str, int]]] = None, stage: str = "") -> int:
        """The same, and a stage with it, of the phase's name unless another is given. `allocated` tells what the
        runtime says that it holds."""
        lap_ns = self.lap(name)
        self.memory.end(stage or name, allocated() if allocated else None)
        self.lap("memory")
        return lap_ns
