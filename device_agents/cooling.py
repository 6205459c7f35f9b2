"""Waiting until a device has cooled down, so that a cell does not pay for the heat of the one before it."""

from __future__ import annotations

import time
from typing import Callable

from device_agents.contract import Reading

_EVERY_S = 1.0


def cool_down(temperature: Callable[[], Reading], to_c: float, cap_s: float) -> float:
    """Seconds until the temperature was at most `to_c`, at most `cap_s`. Who does not know it does not wait."""
    begin = time.monotonic()
    while True:
        celsius, waited_s = temperature().value, time.monotonic() - begin
        if not isinstance(celsius, (int, float)) or celsius <= to_c or waited_s >= cap_s:
            return waited_s
        time.sleep(min(_EVERY_S, cap_s - waited_s))
