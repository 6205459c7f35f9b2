"""Asking many devices at once what they are, and before a plan is made, which runtimes they have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from edge.agent import bundle
from edge.agent.asking import ask_all
from edge.agent.finding import Found
from edge.agent.session import Session
from edge.inventory.devices import Device
from edge.places import Places
from edge.planning.choosing import Survey, worth_asking
from profiles.errors import EdgebenchError
from profiles.progress import Progress

Answers = tuple[dict[str, dict[str, Found]], dict[str, EdgebenchError]]
"""What devices answered of each backend, and why some did not, by name."""


class Probe(Protocol):
    """Looks for backends on devices: `probe_all`, or the workers of a cluster."""

    def __call__(
        self, devices: Sequence[Device], places: Places, progress: Progress, backends: Mapping[str, Sequence[str]]
    ) -> Answers: ...


def survey(
    asked: Sequence[str],
    devices: Sequence[Device],
    places: Places,
    progress: Progress,
    *,
    abilities: bool,
    probe: Probe | None = None,
) -> Survey:
    """Look on the devices for which it matters; most of what it costs a device is not spent again when it is measured.
    `probe` looks, without it this machine does.

    Errors: ConfigError for an unknown backend.
    """
    wanted = {device.name: worth_asking(asked, device, abilities=abilities) for device in devices}
    worth = [device for device in devices if wanted[device.name]]
    return Survey(*(probe or probe_all)(worth, places, progress, wanted)) if worth else Survey()


def probe_all(
    devices: Sequence[Device], places: Places, progress: Progress, backends: Mapping[str, Sequence[str]] | None = None
) -> Answers:
    """In the given order of devices. `backends` are those to look for, by device; without them all."""

    def probe(session: Session) -> dict[str, Found]:
        progress(f"{session.device.name}: probing")
        wanted = bundle.backend_names() if backends is None else backends[session.device.name]
        return session.prepare(wanted, only_look=True)

    return ask_all(devices, places, probe)
