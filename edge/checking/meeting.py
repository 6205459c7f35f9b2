"""Meeting devices for the first time: their host keys are shown and confirmed, then they are asked what they are.

Nothing is kept until `Acquaintance.keep`: until then keys that were confirmed lie in a folder of the acquaintance, so
that whoever gives up half-way has written nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge import trust
from edge.inventory.devices import Device
from edge.inventory.hops import Hop
from edge.places import Places
from edge.transport.ssh import known_hosts

Confirm = Callable[[trust.Offer], bool]
"""Shows keys to the operator and tells whether they are right."""


@dataclass
class Acquaintance:
    """Hosts whose keys were confirmed. `folder` is there as long as it is used."""

    places: Places
    folder: Path
    confirm: Confirm
    _confirmed: list[trust.Offer] = field(default_factory=list)

    def trusted(self, device: Device) -> Device:
        """The device as it is reached now, its gateways first. Where a host has a key on record already, and where the
        operator does not confirm one, it stays as it is: logging in tells what is wrong.

        Errors: TransportError where a host cannot be asked for its keys.
        """
        hops: list[Hop] = []
        for hop in device.gateways or ():
            known = self._known(_gateway(hop, device, hops))
            hops.append(replace(hop, known_hosts=known or hop.known_hosts))
        reached = replace(device, gateways=tuple(hops)) if hops else device
        known = self._known(reached)
        return replace(reached, known_hosts=known) if known else reached

    def keep(self) -> None:
        """Write what was confirmed into our own known_hosts. Errors: HostKeyError, ConfigError."""
        for offer in self._confirmed:
            trust.accept(offer)

    def _known(self, device: Device) -> Path | None:
        """Where the keys of a new host are that was confirmed."""
        offer = trust.fetch(device, self.places)
        path = self.folder / "known_hosts"
        if any(one.host == offer.host for one in self._confirmed):
            return path
        if offer.known or not self.confirm(offer):
            return None
        known_hosts.add(path, offer.host, offer.keys)
        self._confirmed.append(offer)
        return path


def _gateway(hop: Hop, device: Device, before: Sequence[Hop]) -> Device:
    return Device(
        hop.host, hop.host, device.profile, user=hop.user, port=hop.port, key=hop.key, known_hosts=hop.known_hosts,
        gateways=tuple(before),
    )  # fmt: skip
