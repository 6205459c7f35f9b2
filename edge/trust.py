"""Trusting a device's host keys: fetched, shown, compared with what the operator has, kept in our own known_hosts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.inventory.devices import Device
from edge.places import Places
from edge.transport.ssh import known_hosts
from edge.transport.ssh.known_hosts import HostKey
from profiles.errors import ConfigError, HostKeyError

_FETCH_S = 20.0


@dataclass(frozen=True)
class Offer:
    """The keys that a device shows now, and the file that they would go to."""

    device: Device
    host: str
    keys: tuple[HostKey, ...]
    file: Path
    known: frozenset[HostKey]

    @property
    def new(self) -> tuple[HostKey, ...]:
        return tuple(key for key in self.keys if key not in self.known)


def fetch(device: Device, places: Places) -> Offer:
    """Ask the device for its host keys, without logging in. Errors: TransportError, ConfigError for `local`."""
    if device.is_local:
        raise ConfigError("this machine has no host key to trust", where=device.name, fix="name devices behind SSH")
    from edge.transport.ssh import fetch_host_keys, resolve

    endpoint = resolve(device, places)
    keys = tuple(fetch_host_keys(endpoint, timeout=_FETCH_S))
    entries = known_hosts.known_keys(known_hosts.read(endpoint.known_hosts), endpoint.host_key_name)
    known = frozenset(entry.key for entry in entries)
    return Offer(device, endpoint.host_key_name, keys, endpoint.trust_file, known)


def listed(offer: Offer, fingerprints: Path) -> Offer:
    """The offer with only the keys whose fingerprint the file lists. Errors: HostKeyError when none is."""
    allowed = known_hosts.read_fingerprints(fingerprints)
    keys = tuple(key for key in offer.keys if key.fingerprint in allowed)
    if not keys:
        shown = ", ".join(str(key) for key in offer.keys)
        raise HostKeyError(f"none of its keys is listed ({shown})", where=f"{offer.device.name}, {fingerprints}")
    return Offer(offer.device, offer.host, keys, offer.file, offer.known)


def accept(offer: Offer, *, replace: bool = False) -> None:
    """Write the offer's keys. Errors: HostKeyError when another key is on record and `replace` is not given."""
    known_hosts.add(offer.file, offer.host, offer.keys, replace=replace)
