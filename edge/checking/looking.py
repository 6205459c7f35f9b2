"""Asking many devices at once for all that a doctor wants to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from device_agents.contract import ControlReport
from edge.agent import bundle
from edge.agent.asking import ask_all
from edge.agent.finding import Found
from edge.agent.session import Session
from edge.inventory.devices import Device
from edge.places import Places
from profiles.errors import EdgebenchError
from profiles.progress import Progress


@dataclass(frozen=True)
class Told:
    """What a device is and has, by backend, and what a job may change there."""

    backends: Mapping[str, Found]
    control: ControlReport


def look(
    devices: Sequence[Device], places: Places, progress: Progress
) -> tuple[dict[str, Told], dict[str, EdgebenchError]]:
    """What each device told, and why some did not, by name in the given order."""

    def ask(session: Session) -> Told:
        progress(f"{session.device.name}: probing")
        return Told(session.prepare(bundle.backend_names(), only_look=True), session.control())

    return ask_all(devices, places, ask)
