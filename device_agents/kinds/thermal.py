"""Temperatures as the kernel tells them, a zone a sensor."""

from __future__ import annotations

from typing import Optional

from device_agents.contract import Reading
from device_agents.system import System

_ZONES = "sys/class/thermal"
_HOTTEST_C = 150.0  # what is above, or below freezing by far, is no sensor that works
_COLDEST_C = -55.0


def hottest(system: System) -> Reading:
    """Degrees Celsius of the hottest zone. Sensors of what is switched off answer nothing."""
    found = {}
    for path in sorted((system.root / _ZONES).glob("thermal_zone*/temp")):
        celsius = parse_millidegrees(system.text(f"/{path.relative_to(system.root)}").value)
        if celsius is not None:
            found[celsius] = f"/{path.relative_to(system.root)}"
    if not found:
        return Reading(unknown=f"/{_ZONES}: no zone tells a temperature")
    return Reading(max(found), found[max(found)])


def passive_trip(system: System) -> Reading:
    """Degrees Celsius at which the kernel begins to hold clocks back: the lowest `passive` trip point of all zones."""
    found = {}
    for path in sorted((system.root / _ZONES).glob("thermal_zone*/trip_point_*_type")):
        name = f"/{path.relative_to(system.root)}"
        celsius = parse_millidegrees(system.text(name.replace("_type", "_temp")).value)
        if system.text(name).value == "passive" and celsius is not None:
            found[celsius] = name.replace("_type", "_temp")
    if not found:
        return Reading(unknown=f"/{_ZONES}: no zone tells a passive trip point")
    return Reading(min(found), found[min(found)])


def parse_millidegrees(text: object) -> Optional[float]:
    """Of `48250`. None for what is no temperature."""
    try:
        millidegrees = sane(int(str(text)))
    except ValueError:
        return None
    return None if millidegrees is None else millidegrees / 1000


def sane(millidegrees: Optional[int]) -> Optional[int]:
    """None for what no sensor that works would tell: -256 degrees stand for one that is switched off."""
    return millidegrees if millidegrees is not None and _COLDEST_C <= millidegrees / 1000 <= _HOTTEST_C else None
