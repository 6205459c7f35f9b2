"""Which devices an activation is for: a ring, or a share of them that only grows."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

from edge.inventory.devices import Device, Fleet
from profiles.errors import ConfigError
from profiles.load import unknown


def of_ring(fleet: Fleet, devices: Sequence[Device], ring: str) -> tuple[Device, ...]:
    """Those with the tag `ring`. Errors: ConfigError where no device of the fleet has it, or none of these."""
    tags = {tag for device in fleet.devices.values() for tag in device.tags}
    if ring not in tags:
        raise unknown("ring", ring, tags, where="--ring", fix="a ring is a tag of fleet.toml")
    found = tuple(device for device in devices if ring in device.tags)
    if not found:
        names = ", ".join(device.name for device in devices)
        raise ConfigError(f"none of {names} has the tag {ring}", where="--ring", fix="widen --device")
    return found


def share(model: str, devices: Sequence[Device], percent: float) -> tuple[Device, ...]:
    """The devices whose place among 100, by a hash of the model's and their own name, is below `percent`: those of a
    smaller share are in every larger one, whoever joins the fleet. Errors: ConfigError for no share, or one of none."""
    if not 0 < percent <= 100:
        raise ConfigError(f"{percent:g} is not over 0 and at most 100", where="--percent")
    found = tuple(device for device in devices if place(model, device.entry) < percent)
    if not found:
        first = min(place(model, device.entry) for device in devices)
        message = f"{percent:g} % picks none of {len(devices)} {'device' if len(devices) == 1 else 'devices'}"
        raise ConfigError(message, where="--percent", fix=f"the first is picked from --percent {_above(first):g} on")
    return found


def place(model: str, device: str) -> float:
    """From 0 to under 100, the same for ever."""
    digest = hashlib.sha256(f"{model}\n{device}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48 * 100


def _above(value: float) -> float:
    """The next larger tenth."""
    return min((math.floor(value * 10) + 1) / 10, 100.0)
