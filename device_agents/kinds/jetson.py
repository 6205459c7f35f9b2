"""NVIDIA Jetson: L4T, JetPack, board, power mode, and its GPU by sysfs. Memory is shared between processor and GPU.

NVML answers NotSupported for load and clocks on Orin, so they are read where tegrastats reads them.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import List, Optional

from device_agents import nvidia
from device_agents.contract import Reading
from device_agents.formats import l4t
from device_agents.kinds import thermal
from device_agents.system import Readings, System, known

_RELEASE = "/etc/nv_tegra_release"
_MODES = "/etc/nvpmodel.conf"
_DEVFREQ = "sys/class/devfreq"
_GPU_NAMES = ("ga10b", "gpu", "gv11b")  # Orin, Thor and by another kernel Orin, Xavier
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
        **_clocks(system),
        **nvidia.installed(system),
    }


def state(system: System) -> Readings:
    return {"power_mode": power_mode(system), **_clocks(system)}


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


def _source(system: System, path: Path) -> str:
    return f"/{path.relative_to(system.root)}"
