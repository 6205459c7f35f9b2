"""A discrete NVIDIA GPU's clocks and persistence mode, by nvidia-smi: of the board that is measured alone."""

from __future__ import annotations

from typing import Dict, List, Tuple

from device_agents.control.knob import Knob
from device_agents.control.root import Command, Root, program
from device_agents.formats.nvidia_smi import parse_query
from device_agents.system import System

_SM, _MEMORY = "clocks.sm", "clocks.mem"
_MOST = ("clocks.max.sm", "clocks.max.mem")
_UNSUPPORTED = "not supported"  # many boards cannot lock their memory's clock: no reason not to lock the other
_NONE = "nvidia-smi tells no highest clock"


class _OfBoard(Knob):
    def __init__(self, system: System, root: Root) -> None:
        self._system = system
        self._root = root

    def available(self) -> str:
        if not program("nvidia-smi"):
            return "there is no nvidia-smi"
        if self._told("mig.mode.current") == ("Enabled",):
            return "the board is divided (MIG), and its instances share its clocks"
        return ""

    def _told(self, *fields: str) -> Tuple[str, ...]:
        """The values of fields, "" for what is not told."""
        argv = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits", *self._id("--id=")]
        found: Dict[str, str] = parse_query(self._system.run(argv) or "", fields) or {}
        return tuple(found.get(field, "") for field in fields)

    def _set(self, *words: str) -> Command:
        return ["nvidia-smi", *self._id("--id="), *words]

    def _id(self, option: str) -> List[str]:
        return [f"{option}{self._system.gpu}"] if self._system.gpu else []


class Clocks(_OfBoard):
    """The board's clocks at their highest. No driver tells whether they were locked before: they float afterwards."""

    name = "lock_clocks"

    def available(self) -> str:
        return super().available() or ("" if self._told(_MOST[0])[0].isdigit() else _NONE)

    def commands(self) -> List[Command]:
        return [*self._lock(), self._set("-rgc"), self._set("-rmc")]

    def show(self) -> str:
        sm, memory = self._told(_SM, _MEMORY)
        return f"SM {sm or '?'} MHz, memory {memory or '?'} MHz"

    def write(self) -> None:
        graphics, *memory = self._lock()
        self._root.run(graphics)
        for command in memory:
            self._root.run(command, or_says=_UNSUPPORTED)

    def put_back(self, before: str) -> None:  # noqa: ARG002 - nobody tells what was locked
        self._root.run(self._set("-rgc"))
        self._root.run(self._set("-rmc"), or_says=_UNSUPPORTED)

    def is_back(self, before: str, after: str) -> bool:  # noqa: ARG002 - clocks that float are never the same
        return True

    def _lock(self) -> List[Command]:
        most = zip(("-lgc", "-lmc"), self._told(*_MOST))
        return [self._set(option, f"{clock},{clock}") for option, clock in most if clock.isdigit()]


class Persistence(_OfBoard):
    """A driver that stays loaded while nobody uses it: without, clocks are reset and each process starts slowly."""

    name = "persistence"

    def commands(self) -> List[Command]:
        return [self._set("-pm", "1"), self._set("-pm", "0")]

    def show(self) -> str:
        return self._told("persistence_mode")[0] or "not told"

    def is_turned(self) -> bool:
        return self.show() == "Enabled"

    def write(self) -> None:
        self._root.run(self._set("-pm", "1"))

    def put_back(self, before: str) -> None:
        if self.show() != before:
            self._root.run(self._set("-pm", "0"))
