"""The operator's own product, stopped while its device measures: `quiesce` and `resume` of fleet.toml."""

from __future__ import annotations

from pathlib import Path
from typing import List, Sequence

from device_agents import hook
from device_agents.control.knob import Knob
from device_agents.control.root import STAGE, Command
from device_agents.errors import DeviceError

_TIMEOUT_S = 120.0


class Product(Knob):
    """Run as the user of the device. What `quiesce` leaves as it was when it fails is its own affair: `resume` is run
    all the same."""

    name = "product"
    volatile = False
    of_host = True

    def __init__(self, quiesce: Sequence[str], resume: Sequence[str], log: Path) -> None:
        self._quiesce = quiesce
        self._resume = resume
        self._log = log
        self._shown = "not asked"

    def available(self) -> str:
        return ""

    def commands(self) -> List[Command]:
        return []

    def show(self) -> str:
        return self._shown

    def write(self) -> None:
        self._run("quiesce", self._quiesce)
        self._shown = f"stopped: {' '.join(self._quiesce)}"

    def put_back(self, before: str) -> None:  # noqa: ARG002 - it says nothing of itself
        self._run("resume", self._resume)
        self._shown = f"started: {' '.join(self._resume)}"

    def is_back(self, before: str, after: str) -> bool:  # noqa: ARG002 - it says nothing of itself
        return True

    def _run(self, which: str, argv: Sequence[str]) -> None:
        why = hook.run(argv, {}, _TIMEOUT_S, self._log)
        self._log.unlink(missing_ok=True)
        if why:
            message = f"{which} ({' '.join(argv)}) failed: {why}"
            raise DeviceError("control_failed", STAGE, message, fix=f"run it there by hand, or correct `{which} =`")
