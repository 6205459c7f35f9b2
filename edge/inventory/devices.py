"""Devices of a fleet, as the fleet file means them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from edge.inventory.hops import Hop
from edge.inventory.runtime_keys import ContainerKey
from profiles.schema import DeviceProfile, Price

LOCAL = "local"


def entry_of(name: str) -> str:
    """The name in the fleet file of the device `name`: what GPUs of a host share."""
    return name.partition(":")[0]


@dataclass(frozen=True)
class Device:
    """One device of the fleet. What is None is left to ~/.ssh/config and OpenSSH's defaults (user, port, key), to the
    default places (known_hosts, workdir), to what the device has (python), or to its profile (power_mode). `gateways`
    lead to it, the first one first; () for none, None where ~/.ssh/config says. `bandwidth`: bytes a second;
    `max_bytes`: how many a run may send to it; `metered`: its link costs by the byte. `serial` is its board's. `gpu` is
    the one that work is pinned to, of the `entry` of the file; `all_gpus` says that each is to be a device, which it
    takes a look at the device to know. `quiesce` and `resume` stop and start its product around a
    measurement. `site`: the resource that a cluster's worker needs to have for it, None for any worker.
    `price`: the operator's own of an hour, of each GPU where there are several."""

    name: str
    host: str
    profile: DeviceProfile
    user: str | None = None
    port: int | None = None
    key: Path | None = None
    known_hosts: Path | None = None
    tags: tuple[str, ...] = ()
    python: str | None = None
    workdir: PurePosixPath | None = None
    power_mode: str | None = None
    builder: bool = False
    gateways: tuple[Hop, ...] | None = None
    bandwidth: float | None = None
    metered: bool = False
    max_bytes: int | None = None
    serial: str | None = None
    env: tuple[tuple[str, str], ...] = ()
    setup: str | None = None
    container: ContainerKey | None = None
    gpu: str = ""
    all_gpus: bool = False
    release_hook: tuple[str, ...] = ()
    quiesce: tuple[str, ...] = ()
    resume: tuple[str, ...] = ()
    site: str | None = None
    price: Price | None = None

    def on_gpu(self, gpu: str, *, first: bool) -> Device:
        """One GPU of this entry as a device. Engines for the class are built on the `first`."""
        return replace(self, name=f"{self.name}:{gpu}", gpu=gpu, all_gpus=False, builder=self.builder and first)

    @property
    def entry(self) -> str:
        """The name in the file, which all GPUs of a host share."""
        return entry_of(self.name)

    @property
    def expected_power_mode(self) -> str | None:
        """The mode that a measurement has to run in, as `nvpmodel -q` names it; None where the kind has no modes."""
        return self.power_mode or self.profile.power_mode

    @property
    def is_local(self) -> bool:
        return self.entry == LOCAL

    @property
    def family(self) -> str:
        return self.profile.family

    @property
    def address(self) -> str:
        """`user@host:port` as far as fleet.toml says, for messages and tables."""
        if self.is_local:
            return "this machine"
        host = f"[{self.host}]" if ":" in self.host and self.port else self.host
        return (f"{self.user}@" if self.user else "") + host + (f":{self.port}" if self.port else "")


@dataclass(frozen=True)
class Fleet:
    """All devices by name, in the order of the file; `local` comes last unless the file names it. `groups` have the
    names of their entries, in the same order."""

    devices: Mapping[str, Device]
    models: tuple[str, ...] = ()
    source: Path | None = None
    names_local: bool = False
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def declared(self) -> tuple[Device, ...]:
        """What `all` means: the devices that the file names, or `local` where it names none."""
        named = tuple(device for device in self.devices.values() if self.names_local or not device.is_local)
        return named or tuple(self.devices.values())

    def entries(self, devices: Iterable[Device] | None = None) -> tuple[Device, ...]:
        """One device of each entry, for what concerns the host and not its GPUs."""
        found: dict[str, Device] = {}
        for device in self.devices.values() if devices is None else devices:
            found.setdefault(device.entry, device)
        return tuple(found.values())

    @property
    def where(self) -> str:
        """The file's name for messages."""
        return str(self.source) if self.source else "the fleet (there is no fleet.toml)"
