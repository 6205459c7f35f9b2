"""NVIDIA Jetson: L4T, JetPack, board and power mode. Memory is shared between processor and GPU."""

from __future__ import annotations

from device_agents.contract import Reading
from device_agents.formats import l4t
from device_agents.system import Readings, System, known

_RELEASE = "/etc/nv_tegra_release"


def identity(system: System) -> Readings:
    release = system.text(_RELEASE, l4t.parse_release)
    jetpack = None if release.value is None else l4t.jetpack_of(str(release.value))
    return {
        "board": system.text("/proc/device-tree/model", l4t.parse_model),
        "l4t": release,
        "jetpack": known(jetpack, f"L4T {release}", "no JetPack is known for it"),
        "power_mode": power_mode(system),
    }


def context(system: System) -> Readings:  # noqa: ARG001 - every kind answers the same three questions
    return {"memory_shared": Reading(True, "Jetson's GPU uses the system's memory")}


def state(system: System) -> Readings:
    return {"power_mode": power_mode(system)}


def power_mode(system: System) -> Reading:
    return system.command(["nvpmodel", "-q"], l4t.parse_power_mode)
