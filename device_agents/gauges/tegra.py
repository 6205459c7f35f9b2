"""What a Jetson tells by sysfs: its GPU, rails, fan, accelerators, and what holds its clocks back.

Paths are those of Jetson Linux 35 to 39 (its developer guide, "Platform Power and Performance"); whatever a release
lacks is unknown, with the path.
"""

from __future__ import annotations

import functools
from typing import List, NamedTuple, Optional, Sequence, Tuple

from device_agents.gauges import FileGauge, Gauge, Gauges, Kept, Quantity, Unreadable, paths, said
from device_agents.gauges.counters import Rising
from device_agents.system import System

_EMC = (  # Thor tells everybody, Orin root alone
    "/sys/class/devfreq/bwmgr/cur_freq",
    "/sys/kernel/debug/bpmp/debug/clk/emc/rate",
    "/sys/kernel/debug/clk/emc/clk_rate",
)
_INA3221 = "/sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*"
_HWMON = "/sys/class/hwmon"
_COOLING = "/sys/class/thermal"
_WHOLE = {  # rails that feed everything: of Orin NX and Nano, Thor, the first Nano
    "VDD_IN": "the input of the module", "VIN": "the input of the board", "POM_5V_IN": "the input of the module",
}  # fmt: skip
_WITHIN = ("VDDQ_VDD2_1V8AO",)  # AGX Orin: fed by VIN_SYS_5V0, which is measured, too
_FULL_LOAD = 1000  # devfreq counts in thousandths
_BUSY, _SHORT = 950, 0.97  # of the load; of the highest clock
_MICRO = 1_000_000


def gauges(system: System, gpu: Optional[str]) -> Gauges:
    """`gpu` is its folder among the devices whose clock the kernel scales."""
    found = Gauges()
    names = ("gpu_clock", "gpu_busy", "gpu_clock_max", "gpu_held_back")
    found.add(names, lambda: Gpu(system, gpu))
    found.add(("memory_clock",), lambda: _first(system, _EMC, "memory_clock", "Hz"))
    found.add(("power",), lambda: Rails(system))
    found.add(("fan",), lambda: _fan(system))
    found.add(("fan_speed",), lambda: _fan_speed(system))
    found.add(("throttled_power",), lambda: over_current(system))
    found.add(("throttled_thermal",), lambda: Cooling(system))
    for path in paths(system, "/sys/bus/platform/devices/*nvdla*/power/runtime_status"):
        name = f"active.{path.split('/')[-3].rpartition('.')[2]}"
        found.add((name,), functools.partial(_active, system, path, name))
    return found


class Gpu(Gauge):
    """Its clock, its load, the clock that it may have at most at present (a hot board lowers it), and whether it is
    held back: at full load, but below that clock."""

    def __init__(self, system: System, folder: Optional[str]) -> None:
        if folder is None:
            raise Unreadable("/sys/class/devfreq: none of its devices is the GPU")
        self._clock = Kept(system, f"{folder}/cur_freq")
        self._most = Kept(system, f"{folder}/max_freq")
        self._load = _kept(system, f"{folder}/device/load")
        both = f"{folder}/cur_freq below max_freq at full load"
        self.quantities = (
            Quantity("gpu_clock", "Hz", self._clock.path),
            Quantity("gpu_busy", "", f"{folder}/device/load", _FULL_LOAD),
            Quantity("gpu_clock_max", "Hz", self._most.path),
            Quantity("gpu_held_back", "", both),
        )

    def read(self) -> Sequence[Optional[int]]:
        load = None if self._load is None else self._load.number()
        clock, most = self._clock.number(), self._most.number()
        return clock, load, most, held_back(clock, load, most)

    def close(self) -> None:
        for file in (self._clock, self._most, self._load):
            if file is not None:
                file.close()


def held_back(clock: Optional[int], load: Optional[int], most: Optional[int]) -> Optional[int]:
    """1 or 0 of a clock in Hz at a load in thousandths; None where one of them is not told."""
    if clock is None or load is None or most is None:
        return None
    return int(load >= _BUSY and clock < _SHORT * most)


class Rail(NamedTuple):
    """A rail of an INA3221: millivolts and milliamperes."""

    name: str
    volts: Kept
    amperes: Kept

    def microwatts(self) -> Optional[int]:
        mv, ma = self.volts.number(), self.amperes.number()
        return None if mv is None or ma is None else mv * ma


class Rails(Gauge):
    """Power by rail, and of all: by the rail that feeds everything, else the sum of those that there are."""

    def __init__(self, system: System) -> None:
        self._rails = _rails(system)
        self._inputs = _inputs(system)
        names = [rail.name for rail in self._rails] + [name for name, _ in self._inputs]
        if not names:
            raise Unreadable(f"{_INA3221}: no rail is told")
        self._whole = next((names.index(name) for name in _WHOLE if name in names), None)
        self._summed = [place for place, name in enumerate(names) if name not in _WITHIN]
        summed = " + ".join(names[place] for place in self._summed)
        source = f"the sum of {summed}: this board measures no input as a whole"
        if self._whole is not None:
            source = f"{names[self._whole]}, {_WHOLE[names[self._whole]]}"
        each = [rail.volts.path.rpartition("/")[0] for rail in self._rails] + [file.path for _, file in self._inputs]
        self.quantities = (
            Quantity("power", "W", source, _MICRO),
            *(Quantity(f"power.{name}", "W", path, _MICRO) for name, path in zip(names, each)),
        )

    def read(self) -> Sequence[Optional[int]]:
        values = [rail.microwatts() for rail in self._rails] + [file.number() for _, file in self._inputs]
        if self._whole is not None:
            return (values[self._whole], *values)
        summed = [values[place] for place in self._summed]
        told = [value for value in summed if value is not None]
        return (sum(told) if len(told) == len(summed) else None, *values)

    def close(self) -> None:
        for rail in self._rails:
            rail.volts.close()
            rail.amperes.close()
        for _, file in self._inputs:
            file.close()


def over_current(system: System) -> Gauge:
    """Whether the board's over-current protection has cut in since the last look (it throttles the clocks), and how
    often so far, by its number."""
    found = [path for path in paths(system, f"{_HWMON}/hwmon*/oc*_event_cnt") if throttles(system, path)]
    if not found:
        raise Unreadable(f"{_HWMON}: no oc*_event_cnt counts over-current events that throttle")
    names = [f"over_current.{path.rpartition('/')[2].partition('_')[0]}" for path in found]
    return Rising(system, found, "throttled_power", f"{_HWMON}/hwmon*/oc*_event_cnt, rising", names)


def throttles(system: System, counter: str) -> bool:
    """Whether an over-current event does more than be counted: its `throt_en` is not 0."""
    return said(system, counter.replace("_event_cnt", "_throt_en")) != "0"


class Cooling(Gauge):
    """Whether heat holds a clock back: a cooling device of the kernel that lowers clocks or a throttle alert is on."""

    def __init__(self, system: System) -> None:
        found = [
            f"{folder}/cur_state"
            for folder in paths(system, f"{_COOLING}/cooling_device*")
            if lowers_clocks(said(system, f"{folder}/type")) and system.exists(f"{folder}/cur_state")
        ]
        if not found:
            raise Unreadable(f"{_COOLING}: no cooling device lowers a clock")
        self._files = [Kept(system, path) for path in found]
        source = f"{_COOLING}/cooling_device*/cur_state of {len(found)} that lower clocks"
        self.quantities = (Quantity("throttled_thermal", "", source),)

    def read(self) -> Sequence[Optional[int]]:
        states = [state for state in (file.number() for file in self._files) if state is not None]
        return (int(any(states)) if states else None,)

    def close(self) -> None:
        for file in self._files:
            file.close()


def lowers_clocks(kind: str) -> bool:
    """Of a cooling device by its type: `cpufreq-cpu0`, `devfreq-17000000.gpu`, `gpu-throttle-alert`, but not
    `pwm-fan` and `hot-surface-alert`, which slow nothing down."""
    return kind.startswith(("cpufreq", "devfreq", "thermal-cpufreq", "thermal-devfreq")) or "throttle" in kind


def _kept(system: System, path: str) -> Optional[Kept]:
    """None where it is not there."""
    return Kept(system, path) if system.exists(path) else None


def _first(system: System, candidates: Sequence[str], name: str, unit: str) -> Gauge:
    """The first that can be read; else what was in the way of the first that may be there."""
    reasons: List[str] = []
    for path in candidates:
        try:
            return FileGauge(system, path, name, unit)
        except Unreadable as error:
            reasons.append(str(error))
    raise Unreadable(next((reason for reason in reasons if "No such file" not in reason), reasons[0]))


def _rails(system: System) -> List[Rail]:
    """Labelled channels with a current; `NC` is not connected, what is summed over channels (in7) has no voltage."""
    found: List[Rail] = []
    for path in paths(system, f"{_INA3221}/in[1-3]_label"):
        name, stem = said(system, path), path[: -len("_label")]
        folder, number = stem.rpartition("/")[0], stem[-1]
        if name in ("", "NC") or not system.exists(f"{folder}/curr{number}_input"):
            continue
        found.append(Rail(name, Kept(system, f"{stem}_input"), Kept(system, f"{folder}/curr{number}_input")))
    return found


def _inputs(system: System) -> List[Tuple[str, Kept]]:
    """The input of a Thor module, by an INA238, which tells microwatts."""
    folders = [folder for folder in paths(system, f"{_HWMON}/hwmon*") if said(system, f"{folder}/name") == "ina238"]
    told = [f"{folder}/power1_input" for folder in folders if system.exists(f"{folder}/power1_input")]
    return [("VIN", Kept(system, path)) for path in told[:1]]


def _fan(system: System) -> Gauge:
    for folder in paths(system, f"{_HWMON}/hwmon*"):
        if said(system, f"{folder}/name") in ("pwmfan", "pwm-fan") and system.exists(f"{folder}/pwm1"):
            return FileGauge(system, f"{folder}/pwm1", "fan", "", 255)
    raise Unreadable(f"{_HWMON}: no pwmfan tells pwm1")


def _fan_speed(system: System) -> Gauge:
    for pattern in ("rpm", "fan1_input"):
        for path in paths(system, f"{_HWMON}/hwmon*/{pattern}"):
            return FileGauge(system, path, "fan_speed", "rpm")
    raise Unreadable(f"{_HWMON}: no fan tells its speed")


def _active(system: System, path: str, name: str) -> Gauge:
    """Whether a DLA has power: the kernel takes it away from one that nobody uses."""
    return FileGauge(system, path, name, "", parse=lambda text: int(text.strip() == "active"))
