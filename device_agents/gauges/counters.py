"""Counters of events that hold clocks back: who looks sees whether they rise."""

from __future__ import annotations

from typing import Optional, Sequence

from device_agents.gauges import Gauge, Kept, Quantity
from device_agents.system import System


class Rising(Gauge):
    """1 where one of the counters has risen since the last look, else 0; and what each has counted, where `names` tell
    what to call it."""

    def __init__(self, system: System, files: Sequence[str], name: str, source: str, names: Sequence[str] = ()) -> None:
        self._files = [Kept(system, path) for path in files]
        self._shown = len(names)
        self._last: Optional[int] = None
        each = [Quantity(name, "", path) for name, path in zip(names, files)]
        self.quantities = (Quantity(name, "", source), *each)

    def read(self) -> Sequence[Optional[int]]:
        counts = [file.number() for file in self._files]
        total, last = sum(count or 0 for count in counts), self._last
        self._last = total
        return (int(last is not None and total > last), *counts[: self._shown])

    def close(self) -> None:
        for file in self._files:
            file.close()
