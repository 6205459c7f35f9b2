"""Whether a device is the board that fleet.toml says: `serial =` against what its probe tells."""

from __future__ import annotations

from collections.abc import Mapping

from device_agents.contract import ProbeReport, Reading
from edge.agent.finding import Found
from edge.inventory.devices import Device
from profiles.errors import RunError

READINGS = {"serial": "serial number", "machine": "machine id"}
"""What a `serial =` may be, by the probe's names."""


def another_board(device: Device, probe: ProbeReport) -> str:
    """What the device says where it is not the one that fleet.toml names; empty where it is, or none is named."""
    told = {name: probe.identity.get(name) or Reading(unknown="not told") for name in READINGS}
    values = {str(reading.value).casefold() for reading in told.values() if reading.unknown is None}
    if device.serial is None or device.serial.casefold() in values:
        return ""
    said = (
        f"its {READINGS[name]} is {f'not known ({reading.unknown})' if reading.unknown else reading.value}"
        for name, reading in told.items()
    )
    return f"this is not the board {device.serial} that fleet.toml names: {', '.join(said)}"


def cure(device: Device) -> str:
    return f"correct `serial =` or `host =` of {device.name} in fleet.toml, or the cabling"


def check_board(device: Device, found: Mapping[str, Found]) -> None:
    """Refuse before anything is shipped to measure on another board than the device's. Errors: RunError."""
    for item in found.values():
        message = another_board(device, item.probe)
        if message:
            raise RunError(message, where=device.name, stage="probe", fix=cure(device))
