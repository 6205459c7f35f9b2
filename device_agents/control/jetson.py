"""A Jetson's clocks and power mode, by jetson_clocks and nvpmodel."""

from __future__ import annotations

import re
from typing import Dict, List, Tuple

from device_agents.contract import Reading
from device_agents.control.knob import Knob
from device_agents.control.root import FOLDER, STAGE, Command, Root, program, require_folder
from device_agents.errors import DeviceError
from device_agents.formats import l4t
from device_agents.kinds import jetson
from device_agents.system import System

_CPU = "/sys/devices/system/cpu/cpufreq/policy0/scaling_{}_freq"
_REBOOT = "reboot"
_SHOWN = re.compile(r"(\w+) (\d+)(?:-(\d+))? MHz")


class Clocks(Knob):
    """All clocks at their highest within the power mode. What they were, jetson_clocks keeps in a file of root's."""

    name = "lock_clocks"
    _file = "clocks"

    def __init__(self, system: System, root: Root) -> None:
        self._system = system
        self._root = root
        self._path = str(system.path(f"{FOLDER}/{self._file}"))

    def available(self) -> str:
        return "" if program("jetson_clocks") else "there is no jetson_clocks"

    def commands(self) -> List[Command]:
        return [self._store(), ["jetson_clocks"], self._restore()]

    def show(self) -> str:
        low, high = (self._system.text(_CPU.format(bound), _khz) for bound in ("min", "max"))
        return f"GPU {_mhz(*self._gpu())}, CPU {_mhz(low, high)}"

    def store(self) -> None:
        require_folder(self._system)
        self._root.run(self._store(), stdin=b"Y\n")  # it asks before it writes over a file: this one is ours

    def write(self) -> None:
        self._root.run(["jetson_clocks"])
        low, high = self._gpu()
        if low.value != high.value:
            message = f"jetson_clocks has run, and the clocks float all the same: {self.show()}"
            raise DeviceError("control_failed", STAGE, message, fix="look what sudo jetson_clocks --show says there")

    def put_back(self, before: str) -> None:  # noqa: ARG002 - it is in root's file, with more than is shown
        require_folder(self._system)
        self._root.run(self._restore())

    def is_back(self, before: str, after: str) -> bool:
        """Whether no upper bound is higher and the lower ones are the same: a hot board lowers its upper bounds by
        itself, and lower ones that would be above them."""
        was, now = _bounds(before), _bounds(after)
        lowered = (now[name][1] <= high and now[name][0] == min(low, now[name][1]) for name, (low, high) in was.items())
        return after == before or (bool(was) and was.keys() == now.keys() and all(lowered))

    def _store(self) -> Command:
        return ["jetson_clocks", "--store", self._path]

    def _restore(self) -> Command:
        return ["jetson_clocks", "--restore", self._path]

    def _gpu(self) -> Tuple[Reading, Reading]:
        found = jetson.state(self._system)
        return found["gpu_clock_min_hz"], found["gpu_clock_max_hz"]


class ClocksOfMode(Clocks):
    """The clocks as they were before another power mode: nvpmodel sets them anew, also when it goes back, and what was
    locked by hand would float. Turned before the mode, and so put back after it."""

    name = "clocks_of_mode"
    _file = "clocks-before-mode"

    def __init__(self, system: System, root: Root, mode: PowerMode) -> None:
        super().__init__(system, root)
        self._mode = mode

    def commands(self) -> List[Command]:
        return [self._store(), self._restore()]

    def is_turned(self) -> bool:
        return self._mode.is_turned()

    def write(self) -> None:
        """Nothing: the mode does it."""


class PowerMode(Knob):
    """nvpmodel's mode of that name. It outlives a restart."""

    name = "power_mode"
    volatile = False

    def __init__(self, system: System, root: Root, wanted: str) -> None:
        self._system = system
        self._root = root
        self._wanted = wanted

    def available(self) -> str:
        if not program("nvpmodel"):
            return "there is no nvpmodel"
        modes = jetson.power_modes(self._system)
        if modes.value is None:
            return f"its power modes are not known ({modes.unknown})"
        if self._wanted and l4t.power_mode_id(str(modes.value), self._wanted) is None:
            return f"it has no power mode {self._wanted}; it has: {', '.join(self._names())}"
        return ""

    def commands(self) -> List[Command]:
        names = [self._wanted, self.show()] if self._wanted else self._names()
        return [self._set(name) for name in dict.fromkeys(names)]

    def show(self) -> str:
        return str(jetson.power_mode(self._system).value or "")

    def is_turned(self) -> bool:
        return self.show() == self._wanted

    def write(self) -> None:
        self._go_to(self._wanted)

    def put_back(self, before: str) -> None:
        if self.show() != before:
            self._go_to(before)

    def _go_to(self, name: str) -> None:
        """Errors: DeviceError, also where nvpmodel asks for a restart. It gets no answer, and changes nothing then."""
        command = self._set(name)
        _, said = self._root.attempt(command)
        now = self.show()
        if now == name:
            return
        message = f"nvpmodel was to set the power mode {name}, and it is {now or 'not known'}"
        if _REBOOT in said.lower():
            message = f"the power mode {name} needs a restart of the device, which is left to you"
        raise DeviceError("control_failed", STAGE, message, fix=f"sudo {' '.join(command)} there, and answer it")

    def _set(self, name: str) -> Command:
        """Errors: DeviceError for a mode that has no number."""
        number = l4t.power_mode_id(str(jetson.power_modes(self._system).value or ""), name)
        if number is None:
            raise DeviceError("control_failed", STAGE, f"the number of the power mode {name or '(none)'} is not known")
        return ["nvpmodel", "-m", str(number)]

    def _names(self) -> List[str]:
        return [mode.partition(":")[2] for mode in str(jetson.power_modes(self._system).value or "").split()]


def _bounds(shown: str) -> Dict[str, Tuple[int, int]]:
    """In MHz, of what Clocks shows; without what was not told."""
    return {name: (int(low), int(high or low)) for name, low, high in _SHOWN.findall(shown)}


def _khz(text: str) -> int:
    return int(text) * 1000


def _mhz(low: Reading, high: Reading) -> str:
    told = [f"{one.value / 1e6:.0f}" if isinstance(one.value, int) else "?" for one in (low, high)]
    return f"{'-'.join(dict.fromkeys(told))} MHz"
