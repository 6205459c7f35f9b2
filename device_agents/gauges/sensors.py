"""Temperatures and the energy counters of processors."""

from __future__ import annotations

import time
from typing import List, Optional, Sequence

from device_agents.gauges import Gauge, Gauges, Kept, Quantity, Unreadable, paths, said
from device_agents.gauges.counters import Rising
from device_agents.kinds import thermal
from device_agents.system import System

_ZONES = "/sys/class/thermal"
_HWMON = "/sys/class/hwmon"
_CHIPS = ("coretemp", "k10temp", "zenpower", "cpu_thermal")
_CPU = "/sys/devices/system/cpu"
_RAPL = "/sys/class/powercap"
_MICRO = 1_000_000


def gauges(system: System) -> Gauges:
    """Of a machine whose processors are measured."""
    found = Gauges()
    found.add(("temperature",), lambda: temperature(system))
    found.add(("energy", "power"), lambda: Rapl(system))
    found.add(("throttled_thermal",), lambda: thermal_throttle(system))
    return found


def thermal_throttle(system: System) -> Gauge:
    """Whether heat has held a package back since the last look, as Intel's processors count it."""
    first = {
        said(system, f"{path.rpartition('/thermal_throttle')[0]}/topology/physical_package_id"): path
        for path in reversed(paths(system, f"{_CPU}/cpu[0-9]*/thermal_throttle/package_throttle_count"))
    }
    if not first:
        raise Unreadable(f"{_CPU}: no package_throttle_count tells whether heat holds a processor back")
    source = f"{_CPU}/cpu*/thermal_throttle/package_throttle_count, rising"
    return Rising(system, list(first.values()), "throttled_thermal", source)


def temperature(system: System) -> Gauge:
    """Of the processors' packages; where no chip tells them, of all zones and of the hottest."""
    packages = [
        f"{folder}/temp1_input"
        for folder in paths(system, f"{_HWMON}/hwmon*")
        if said(system, f"{folder}/name") in _CHIPS and system.exists(f"{folder}/temp1_input")
    ]
    return Hottest(system, packages) if packages else Zones(system)


class Hottest(Gauge):
    """The hottest of some sensors in thousandths of a degree Celsius."""

    def __init__(self, system: System, files: Sequence[str]) -> None:
        self._files = [Kept(system, path) for path in files]
        more = f" and {len(files) - 1} more, the hottest" if len(files) > 1 else ""
        self.quantities = (Quantity("temperature", "C", f"{files[0]}{more}", 1000),)

    def read(self) -> Sequence[Optional[int]]:
        told = [thermal.sane(file.number()) for file in self._files]
        return (max((each for each in told if each is not None), default=None),)

    def close(self) -> None:
        for file in self._files:
            file.close()


class Zones(Gauge):
    """Every thermal zone by its type, `temperature.tj`, and as `temperature` the one whose type begins with `main`,
    else the hottest. Sensors of what is switched off answer with an error or with -256 degrees."""

    def __init__(self, system: System, main: str = "") -> None:
        folders = [path for path in paths(system, f"{_ZONES}/thermal_zone*") if system.exists(f"{path}/temp")]
        if not folders:
            raise Unreadable(f"{_ZONES}: no zone tells a temperature")
        types = [said(system, f"{folder}/type") or folder.rpartition("/")[2] for folder in folders]
        names = _distinct([name.replace("-thermal", "").replace("-therm", "") for name in types])
        self._files = [Kept(system, f"{folder}/temp") for folder in folders]
        self._main = next((place for place, name in enumerate(types) if main and name.lower().startswith(main)), None)
        source = f"{_ZONES}/thermal_zone*/temp, the hottest"
        if self._main is not None and self._values()[self._main] is None:
            self._main = None  # the GPU's is silent while it sleeps
        if self._main is not None:
            source = f"{folders[self._main]}/temp ({types[self._main]})"
        self.quantities = (
            Quantity("temperature", "C", source, 1000),
            *(Quantity(f"temperature.{name}", "C", file.path, 1000) for name, file in zip(names, self._files)),
        )

    def read(self) -> Sequence[Optional[int]]:
        values = self._values()
        told = [value for value in values if value is not None]
        main = max(told, default=None) if self._main is None else values[self._main]
        return (main, *values)

    def close(self) -> None:
        for file in self._files:
            file.close()

    def _values(self) -> List[Optional[int]]:
        return [thermal.sane(file.number()) for file in self._files]


class Rapl(Gauge):
    """Energy of the processors' packages by their own counters, which begin anew when they are full, and the power
    between two looks."""

    def __init__(self, system: System) -> None:
        folders = [
            folder
            for folder in paths(system, f"{_RAPL}/intel-rapl:*")
            if said(system, f"{folder}/name").startswith("package")
        ]
        if not folders:
            raise Unreadable(f"{_RAPL}: no energy counter of a processor package")
        self._files = [Kept(system, f"{folder}/energy_uj") for folder in folders]
        ranges = [said(system, f"{folder}/max_energy_range_uj") for folder in folders]
        self._full = [int(text) + 1 if text.isdigit() else 0 for text in ranges]
        self._last: List[Optional[int]] = [None] * len(folders)
        self._total = 0
        self._before: Optional[int] = None
        self._at = 0
        packages = f" of {len(folders)} packages" if len(folders) > 1 else ""
        source = f"{folders[0]}/energy_uj{packages}"
        self.quantities = (Quantity("energy", "J", source, _MICRO), Quantity("power", "W", source, _MICRO))

    def read(self) -> Sequence[Optional[int]]:
        now = time.perf_counter_ns()
        for place, file in enumerate(self._files):
            told, last = file.number(), self._last[place]
            if told is None:
                return None, None
            self._total += 0 if last is None else risen(last, told, self._full[place])
            self._last[place] = told
        passed, before = now - self._at, self._before
        self._at, self._before = now, self._total
        power = None if before is None or not passed else (self._total - before) * 1_000_000_000 // passed
        return self._total, power

    def close(self) -> None:
        for file in self._files:
            file.close()


def risen(last: int, now: int, full: int) -> int:
    """What a counter that begins anew at `full` has counted; 0 where nobody knows where it does."""
    return now - last if now >= last else max(0, now - last + full) if full else 0


def _distinct(names: Sequence[str]) -> List[str]:
    """The second of a name with its number, `x86_pkg_temp.2`."""
    seen: List[str] = []
    for name in names:
        seen.append(name)
        if seen.count(name) > 1:
            seen[-1] = f"{name}.{seen.count(name)}"
    return seen
