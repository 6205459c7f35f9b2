"""What each device told of itself, and where that changed while the page's measurements were made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from edge.results.judged import Judged

_RUNTIME = "runtime_version"


def environment(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """A line for each name of the identity: by device all values that were read. `changed` names the devices that had
    several; `unlike` says whether devices of one profile differ in it."""
    devices = {one.measurement.cell.device: one.measurement.origin.device_profile for one in judged}
    read: dict[str, dict[str, list[str]]] = {}
    for one in judged:
        for name, value in _told(one):
            values = read.setdefault(name, {}).setdefault(one.measurement.cell.device, [])
            if value not in values:
                values.append(value)
    return [
        {
            "name": name,
            "devices": by_device,
            "changed": [device for device, values in by_device.items() if len(values) > 1],
            "unlike": name != "serial" and _unlike(by_device, devices),
        }
        for name, by_device in sorted(read.items())
    ]


def _told(one: Judged) -> Iterable[tuple[str, str]]:
    result = one.measurement.result
    for name, reading in result.identity.items():
        if reading.value is not None:
            yield name, str(reading.value)
    if _RUNTIME in result.switches:
        yield f"version of {one.measurement.cell.backend}", str(result.switches[_RUNTIME])


def _unlike(by_device: dict[str, list[str]], profiles: dict[str, str]) -> bool:
    first: dict[str, list[str]] = {}
    return any(sorted(first.setdefault(profiles[name], its)) != sorted(its) for name, its in by_device.items())
