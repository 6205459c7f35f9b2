"""Memory by stage of a worker: what this process and the device hold at the end of a stage, and the most that the
process held within it. Read between the stages, never while something is timed."""

from __future__ import annotations

import os
from typing import Dict, Optional

from device_agents.contract import JobSpec, Reading
from device_agents.nvml import Board, NvmlError
from device_agents.system import System, first_line

_STATUS, _RESET, _MEMORY = "/proc/self/status", "/proc/self/clear_refs", "/proc/meminfo"
_FORGET_PEAK = "5"  # proc_pid_clear_refs(5): VmHWM begins anew at VmRSS


class Footprint:
    """`stages` are bytes by stage, in order, as ProcessResult has them. A context: it lets go of the board."""

    def __init__(self, system: System, spec: JobSpec) -> None:
        self.stages: Dict[str, Dict[str, int]] = {}
        self._system = system
        self._shared = system.exists("/etc/nv_tegra_release")  # a Jetson, whose GPU has no memory of its own
        self._board = None if self._shared or spec.options.get("provider") == "cpu" else _board(system)
        self._refused = _forget_peak()

    def __enter__(self) -> Footprint:
        return self

    def __exit__(self, *_: object) -> None:
        if self._board is not None:
            self._board.close()

    def end(self, stage: str, allocated: Optional[Dict[str, int]] = None) -> None:
        """A stage is over, and the next one begins. `allocated` is what the runtime itself tells by then."""
        found = {**_own(), **self._device(), **(allocated or {})}
        self.stages[stage] = found
        self._refused = self._refused or _forget_peak()

    def reading(self) -> Reading:
        """How the most of a stage was seen, or why it is the most since the process began."""
        if self._refused:
            return Reading(unknown=f"{_RESET}: {self._refused}: peaks are the most since the process began")
        return Reading("each stage's own", f"VmHWM of {_STATUS}, reset through {_RESET}")

    def _device(self) -> Dict[str, int]:
        if self._shared:
            told = self._system.text(_MEMORY, _available).value
            return {} if told is None else {"available": int(told)}
        if self._board is None:
            return {}
        found = {"device": self._board.memory_used_bytes(), "device_process": self._board.process_bytes(os.getpid())}
        return {name: count for name, count in found.items() if count is not None}


def _board(system: System) -> Optional[Board]:
    try:
        return Board(system)
    except NvmlError:
        return None


def _own() -> Dict[str, int]:
    """Of this process; never of a recorded one."""
    with open(_STATUS, encoding="utf-8", errors="replace") as stream:  # noqa: PTH123 - as cheap as can be
        lines = stream.read().splitlines()
    told = {"rss": first_line(lines, "VmRSS"), "rss_peak": first_line(lines, "VmHWM")}
    return {name: _bytes(text) for name, text in told.items() if text is not None}


def _available(text: str) -> Optional[int]:
    told = first_line(text.splitlines(), "MemAvailable")
    return None if told is None else _bytes(told)


def _bytes(text: str) -> int:
    """Of `1234 kB`, which is 1024 bytes each."""
    return int(text.split(maxsplit=1)[0]) * 1024


def _forget_peak() -> str:
    """Have the most begin anew; "" or why that is refused."""
    try:
        with open(_RESET, "w", encoding="utf-8") as stream:  # noqa: PTH123 - as above
            stream.write(_FORGET_PEAK)
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""
