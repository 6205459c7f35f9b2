"""What a measurement changes on its device, only when asked: what can be meant, and what the device is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from profiles.errors import ConfigError

if TYPE_CHECKING:
    from device_agents.contract import Control
    from edge.inventory.devices import Device
    from edge.planning.plan import Cell

LOCK_CLOCKS, POWER_MODE, PERSISTENCE = "--lock-clocks", "--power-mode", "--persistence"
_KINDS = {LOCK_CLOCKS: ("jetson", "nvidia_gpu"), POWER_MODE: ("jetson",), PERSISTENCE: ("nvidia_gpu",)}
_CALLED = {"jetson": "a Jetson", "nvidia_gpu": "a discrete NVIDIA GPU", "cpu": "a CPU"}


@dataclass(frozen=True)
class Wishes:
    """As `Cell` has them. `shared`: beside the device's product, which is not stopped."""

    lock_clocks: bool = False
    power_mode: str | None = None
    persistence: bool = False
    shared: bool = False

    def check(self, device: Device) -> None:
        """Errors: ConfigError for what devices of its kind do not have."""
        given = {LOCK_CLOCKS: self.lock_clocks, POWER_MODE: self.power_mode is not None, PERSISTENCE: self.persistence}
        for option, wanted in given.items():
            if wanted and device.profile.kind not in _KINDS[option]:
                have = " or ".join(_CALLED[kind] for kind in _KINDS[option])
                message = f"is for {have}; {device.name} is {_CALLED[device.profile.kind]} by its profile"
                raise ConfigError(message, where=option, fix=f"leave it out, or {device.name} with --device")
        if self.power_mode is not None and not self.power_mode.strip():
            raise ConfigError("is empty", where=POWER_MODE, fix="name one that `edgebench devices probe` shows")


def control_of(cell: Cell, device: Device) -> Control:
    """What the device is told: its product is stopped unless it is measured beside it."""
    from device_agents.contract import Control

    return Control(
        lock_clocks=cell.lock_clocks,
        power_mode=cell.power_mode,
        persistence=cell.persistence,
        quiesce=() if cell.shared else device.quiesce,
        resume=() if cell.shared else device.resume,
        shared=cell.shared,
    )
