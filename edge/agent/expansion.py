"""`gpus = "all"`: how many devices that is, the device has to be asked. Each is, once a command, when it is picked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edge.agent.asking import ask_all
from edge.agent.session import Session
from edge.inventory.devices import Device, Fleet
from edge.inventory.selector import select
from edge.places import Places
from profiles.progress import Progress


def pick(fleet: Fleet, expr: str, places: Places, progress: Progress, where: str = "--device") -> tuple[Device, ...]:
    """What `select` picks, with a device for each GPU of those that have `gpus = "all"`. One that does not answer stays
    as it is, so that its failure is told beside the others' results.

    Errors: ConfigError as of `select`; the error of a device that does not answer when one of its GPUs is named.
    """
    chosen = select(fleet, expr, where)
    asked = [device for device in fleet.devices.values() if device.all_gpus and _matters(device, chosen, expr)]
    if not asked:
        return chosen

    def look(session: Session) -> tuple[str, ...]:
        progress(f"{session.device.name}: counting its GPUs")
        return session.gpus()

    found, failed = ask_all(asked, places, look)
    for name, error in failed.items():
        if _named(name, expr):
            raise error
    return select(_expanded(fleet, found), expr, where)


def _matters(device: Device, chosen: Sequence[Device], expr: str) -> bool:
    return device in chosen or _named(device.name, expr)


def _named(name: str, expr: str) -> bool:
    return f"{name}:" in expr


def _expanded(fleet: Fleet, found: dict[str, tuple[str, ...]]) -> Fleet:
    """One without any GPU stays the device that it is: its failure, or its doctor, says so."""
    devices: dict[str, Device] = {}
    for name, device in fleet.devices.items():
        each = [device.on_gpu(gpu, first=not index) for index, gpu in enumerate(found.get(name, ()))]
        devices.update({one.name: one for one in each or [device]})
    return replace(fleet, devices=devices)
