"""What commands that measure for an answer have in common: devices, picked and asked what they have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.cli.common import load_fleet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edge.answers.measuring import Bench
    from edge.inventory.devices import Device
    from edge.planning.request import Request
    from profiles.progress import Progress


def bench_of(
    base: Request, backends: Sequence[str], devices: Sequence[Device], progress: Progress, *, abilities: bool = False
) -> Bench:
    """The devices after a look at their backends; with `abilities` at each, whether a plan needs it or not."""
    from edge.answers.measuring import Bench
    from edge.places import places
    from edge.planning.choosing import Choices
    from edge.planning.probing import survey

    found = survey(backends, devices, places(), progress, abilities=abilities)
    return Bench(base, tuple(devices), found, places(), progress, Choices())


def picked(expr: Sequence[str] | None, fleet: Path | None, progress: Progress) -> tuple[Device, ...]:
    """What --device picks. Errors: ConfigError."""
    from edge.agent.expansion import pick
    from edge.inventory.selector import any_of
    from edge.places import places

    return pick(load_fleet(fleet), any_of(list(expr or ["local"])), places(), progress)


def the_one(devices: Sequence[Device]) -> Device:
    """Errors: ConfigError for several."""
    from profiles.errors import ConfigError

    if len(devices) > 1:
        names = ", ".join(device.name for device in devices)
        raise ConfigError(f"{len(devices)} devices ({names}), and it takes one", where="--device", fix="name one")
    return devices[0]
