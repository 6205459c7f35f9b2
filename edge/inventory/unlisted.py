"""Devices that are named where they are used: NAME=PROFILE, or NAME=PROFILE@HOST.

`edgebench init` writes such ones into a fleet file, `--device` takes them without one. Without HOST it is NAME, such as
an alias of ~/.ssh/config; user, port, key and gateways come from there. Nothing of fleet.toml is for them.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.inventory.devices import LOCAL, Device, Fleet
from edge.inventory.entries import HOST
from edge.inventory.expression import RESERVED, WORD
from edge.inventory.vocabulary import kind_of_profile
from profiles.errors import ConfigError
from profiles.load import device_profile

FORM = "NAME=PROFILE[@HOST[:PORT]]"


@dataclass(frozen=True)
class Told:
    """The parts of NAME=PROFILE@HOST:PORT; what is None was left out."""

    name: str
    profile: str
    host: str | None = None
    port: int | None = None


def parse_told(text: str) -> Told:
    """Errors: ConfigError without a place."""
    name, equals, rest = text.partition("=")
    profile, at, address = rest.partition("@")
    if not (equals and profile and WORD.match(name)) or bool(at) != bool(address) or name in (LOCAL, *RESERVED):
        fix = "for example orin-1=jetson-orin-nano-8gb, or orin-1=jetson-orin-nano-8gb@10.0.0.21; not `local`"
        raise ConfigError(f"{text!r} is not {FORM}", fix=fix)
    host, colon, port = address.rpartition(":") if address.count(":") == 1 else (address, "", "")
    if colon and not (port.isascii() and port.isdecimal() and 1 <= int(port) <= 65_535):
        raise ConfigError(f"{text!r} has no port after the colon", fix="write HOST or HOST:PORT")
    if host and not HOST.match(host):
        raise ConfigError(f"{host!r} is no host name or address (the user is left to ~/.ssh/config)")
    return Told(name, profile, host or None, int(port) if port else None)


def unlisted(text: str, fleet: Fleet) -> Device:
    """The device, of which only this is known. Errors: ConfigError without a place, also for one of the fleet file."""
    told = parse_told(text)
    known = fleet.devices.get(told.name)
    if known is not None:
        message = f"{told.name} is in {fleet.where}, with the profile {known.profile.name}"
        raise ConfigError(message, fix=f"name it without a profile: {told.name}")
    taken = "group" if told.name in fleet.groups else kind_of_profile(told.name)
    if taken:
        raise ConfigError(f"the name {told.name!r} is that of a {taken}", fix="use another alias of the host")
    return Device(told.name, told.host or told.name, device_profile(told.profile), port=told.port)
