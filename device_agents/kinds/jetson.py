"""NVIDIA Jetson: L4T, JetPack, board, power mode, and its GPU by sysfs. Memory is shared between processor and GPU.

NVML answers NotSupported for load and clocks on Orin, so they are read where tegrastats reads them.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import List, Optional

from device_agents import nvidia
from device_agents.contract import Reading
from device_agents.family import Family
from device_agents.formats import l4t
from device_agents.gauges import Gauges, paths, processors, said, sensors, tegra
from device_agents.kinds import thermal
from device_agents.system import Readings, System, known

_RELEASE = "/etc/nv_tegra_release"
_MODES = "/etc/nvpmodel.conf"
_DEVFREQ = "sys/class/devfreq"
_CPUFREQ = "/sys/devices/system/cpu/cpufreq"
_DLAS = "/sys/bus/platform/devices/*nvdla*"
_FAN = "/etc/nvfancontrol.conf"
_GPU_NAMES = ("ga10b", "gpu", "gv11b", "gpu-gpc-0")  # Orin, by another kernel Orin, Xavier, Thor
_LOOKS = 10
_FULL_LOAD = 1000  # devfreq counts in thousandths


def identity(system: System) -> Readings:
    release = system.text(_RELEASE, l4t.parse_release)
    jetpack = None if release.value is None else l4t.jetpack_of(str(release.value))
    return {
        "board": system.text("/proc/device-tree/model", l4t.parse_model),
        "l4t": release,
        "jetpack": known(jetpack, f"L4T {release}", "no JetPack is known for it"),
        "power_mode": power_mode(system),
    }


def context(system: System) -> Readings:
    return {
        "memory_shared": Reading(True, "Jetson's GPU uses the system's memory"),
        "power_modes": power_modes(system),
        "gpu_busy_share": busy_share(system, window_s=0.05),
        "jetpack_package": system.command(["dpkg-query", "-W", "-f=${Version}", "nvidia-jetpack"], _nonempty),
        "jetson_clocks": jetson_clocks(system),
        "fan_profile": fan_profile(system),
        "temperature_limit_c": thermal.passive_trip(system),
        "dla_cores": Reading(len(paths(system, _DLAS)), _DLAS),
        **_clocks(system),
        **nvidia.installed(system),
    }


def state(system: System) -> Readings:
    return {"power_mode": power_mode(system), "jetson_clocks": jetson_clocks(system), **_clocks(system)}


def gauges(system: System, family: Family) -> Gauges:
    """What is watched of it while a job runs."""
    folder = _gpu(system)
    found = processors.gauges(system, family)
    found.include(tegra.gauges(system, None if folder is None else _source(system, folder)))
    found.add(("temperature",), lambda: sensors.Zones(system, main="gpu"))
    return found


def jetson_clocks(system: System) -> Reading:
    """`locked` where the GPU's bounds and those of every processor's clock are one each, else what is not: what
    `jetson_clocks --show` tells root alone."""
    folder = _gpu(system)
    bounds = [] if folder is None else [("GPU", _source(system, folder), "min_freq", "max_freq")]
    policies = paths(system, f"{_CPUFREQ}/policy*")
    bounds += [(policy.rpartition("/")[2], policy, "scaling_min_freq", "scaling_max_freq") for policy in policies]
    if not bounds:
        return Reading(unknown=f"/{_DEVFREQ}, {_CPUFREQ}: no clock has bounds there")
    loose = [
        name
        for name, place, low, high in bounds
        if said(system, f"{place}/{low}") != said(system, f"{place}/{high}") or not said(system, f"{place}/{low}")
    ]
    return Reading(f"not locked: {', '.join(loose)}" if loose else "locked", "the bounds of the GPU's and CPUs' clocks")


def fan_profile(system: System) -> Reading:
    """As nvfancontrol has it now, else as it begins."""
    now = system.command(["nvfancontrol", "-q"], l4t.parse_fan_profile)
    return now if now.unknown is None else system.text(_FAN, l4t.parse_fan_profile)


def power_mode(system: System) -> Reading:
    return system.command(["nvpmodel", "-q"], l4t.parse_power_mode)


def power_modes(system: System) -> Reading:
    """`0:MAXN 1:15W ...`, ids and names of this board's modes."""
    found = system.text(_MODES, l4t.parse_power_modes)
    if found.unknown is None:
        return found
    asked = system.command(["nvpmodel", "-p", "--verbose"], l4t.parse_power_modes)
    return asked if asked.unknown is None else found


def temperature(system: System) -> Reading:
    """Of the hottest sensor, in degrees Celsius."""
    return thermal.hottest(system)


def busy_share(system: System, window_s: float = 0.25) -> Reading:
    """The GPU's mean load over `window_s`, 0 to 1. Who loads it only root could tell."""
    folder = _gpu(system)
    if folder is None:
        return _no_gpu()
    path = folder / "device" / "load"
    looks: List[int] = []
    try:
        for _ in range(_LOOKS):
            looks.append(int(path.read_text()))
            time.sleep(window_s / _LOOKS)
    except (OSError, ValueError) as error:
        return Reading(unknown=f"{_source(system, path)}: {error}")
    return known(round(sum(looks) / len(looks) / _FULL_LOAD, 4), f"{_source(system, path)} over {window_s:g} s")


def _clocks(system: System) -> Readings:
    """The GPU's clock and its bounds in Hz; bounds that are equal mean that jetson_clocks has locked it."""
    folder = _gpu(system)
    names = {"gpu_clock_hz": "cur_freq", "gpu_clock_min_hz": "min_freq", "gpu_clock_max_hz": "max_freq"}
    if folder is None:
        return dict.fromkeys(names, _no_gpu())
    return {name: system.text(_source(system, folder / file), int) for name, file in names.items()}


def _gpu(system: System) -> Optional[Path]:
    """The GPU's folder among the devices whose clock the kernel scales."""
    for folder in sorted(system.path(_DEVFREQ).glob("*")):
        try:
            name = (folder / "device" / "of_node" / "name").read_text().strip("\0\n ")
        except OSError:
            name = folder.name.rpartition(".")[2]
        if name in _GPU_NAMES:
            return folder
    return None


def _no_gpu() -> Reading:
    return Reading(unknown=f"/{_DEVFREQ}: none of its devices is the GPU")


def _nonempty(text: str) -> Optional[str]:
    return text.strip() or None


def _source(system: System, path: Path) -> str:
    return f"/{path.relative_to(system.root)}"
