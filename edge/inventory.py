"""fleet.toml: which devices there are and how to reach them.

    [defaults]              any key of a device but host and builder; the device `local` takes none of them
    user = "nvidia"

    [devices.orin-lab-1]    host defaults to the device's name, so an alias of ~/.ssh/config works
    host = "10.0.0.21"
    profile = "jetson-agx-orin-64gb"
    tags = ["lab"]
    builder = true          with --engines per-class it builds the engines of every device of its profile
    gateway = "site-a"      a gateway of this file, or user@host:port as ProxyJump has it, or several with commas
                            between, or "none"; without it ~/.ssh/config decides
    bandwidth = "500 kB/s"  the most that goes over its link, in both directions (kB/s, MB/s, kbit/s, Mbit/s)
    site = "site-a"         whose worker reaches it, when a sweep runs on a cluster (--scheduler)

    [gateways.site-a]       user, port, key, known_hosts, gateway, as for a device
    host = "bastion.site-a.example"

    [deploy]
    models = ["resnet50"]   what `edgebench deploy` without a model takes

The device `local` always exists.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any

from device_agents.contract import SchemaViolation
from edge.hops import Hop, parse_hop
from edge.transport.pace import parse_rate
from profiles.errors import ConfigError
from profiles.load import device_profile, device_profile_names, parse, read_toml, unknown
from profiles.schema import DeviceProfile

LOCAL = "local"
RESERVED = ("all", "and", "or", "not")

WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
"""What a device name or a tag may be: a word of the selector language, and safe in a path."""

_HOST = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9_.:%-]{0,253}\Z")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@\\$-]{0,63}\Z")


@dataclass(frozen=True)
class Device:
    """One device of the fleet. What is None is left to ~/.ssh/config and OpenSSH's defaults (user, port, key), to the
    default places (known_hosts, workdir), to what the device has (python), or to its profile (power_mode). `gateways`
    lead to it, the first one first; () for none, None where ~/.ssh/config says. `bandwidth`: bytes a second. `site`:
    the resource that a cluster's worker needs to have for it, None for any worker."""

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
    site: str | None = None

    @property
    def expected_power_mode(self) -> str | None:
        """The mode that a measurement has to run in, as `nvpmodel -q` names it; None where the kind has no modes."""
        return self.power_mode or self.profile.power_mode

    @property
    def is_local(self) -> bool:
        return self.name == LOCAL

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
    """All devices by name, in the order of the file; `local` comes last unless the file names it."""

    devices: Mapping[str, Device]
    models: tuple[str, ...] = ()
    source: Path | None = None
    names_local: bool = False

    @property
    def declared(self) -> tuple[Device, ...]:
        """What `all` means: the devices that the file names, or `local` where it names none."""
        named = tuple(device for device in self.devices.values() if self.names_local or not device.is_local)
        return named or tuple(self.devices.values())

    @property
    def where(self) -> str:
        """The file's name for messages."""
        return str(self.source) if self.source else "the fleet (there is no fleet.toml)"


def load_fleet(source: Path | None) -> Fleet:
    """The fleet of a file; `local` alone without one. Errors: ConfigError that names file, key and what is allowed."""
    if source is None:
        return Fleet({LOCAL: _local(_LocalEntry())})
    file = parse(_File, read_toml(source), where=source)
    gateways = _Gateways(file.gateways, source)
    devices = {name: _device(name, entry, file.defaults, gateways, source) for name, entry in file.devices.items()}
    _check_builders(devices.values(), source)
    names_local = LOCAL in devices
    if not names_local:
        devices[LOCAL] = _local(_LocalEntry())
    return Fleet(devices, file.deploy.models, source, names_local)


@dataclass(frozen=True)
class _LocalEntry:
    profile: str = LOCAL
    tags: tuple[str, ...] = ()
    python: str | None = None
    workdir: str | None = None
    builder: bool = False

    def __post_init__(self) -> None:
        _check_common(self)


@dataclass(frozen=True)
class _Reach:
    """How a host is reached, a device or a gateway."""

    user: str | None = None
    port: int | None = None
    key: str | None = None
    known_hosts: str | None = None
    gateway: str | None = None

    def __post_init__(self) -> None:
        if self.user is not None and not _USER.match(self.user):
            raise SchemaViolation("user", f"{self.user!r} is no user name")
        if self.port is not None and not 1 <= self.port <= 65_535:
            raise SchemaViolation("port", f"{self.port} is not between 1 and 65535")
        for key in ("key", "known_hosts", "gateway"):
            if getattr(self, key) == "":
                raise SchemaViolation(key, "is empty; leave it out instead")


@dataclass(frozen=True)
class _Gateway(_Reach):
    host: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_host(self.host)


@dataclass(frozen=True)
class _Defaults(_Reach):
    profile: str | None = None
    tags: tuple[str, ...] | None = None
    python: str | None = None
    workdir: str | None = None
    power_mode: str | None = None
    bandwidth: str | None = None
    site: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_common(self)
        if self.bandwidth is not None:
            try:
                parse_rate(self.bandwidth)
            except ValueError as error:
                raise SchemaViolation("bandwidth", str(error)) from None
        if self.site is not None and (not WORD.match(self.site) or self.site in RESERVED):
            raise SchemaViolation("site", f"{self.site!r} is no site: {_WORD_RULE}")


@dataclass(frozen=True)
class _Entry(_Defaults):
    host: str | None = None
    builder: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_host(self.host)


@dataclass(frozen=True)
class _Deploy:
    models: tuple[str, ...] = ()


@dataclass(frozen=True)
class _File:
    defaults: _Defaults = field(default_factory=_Defaults)
    devices: dict[str, Any] = field(default_factory=dict)
    gateways: dict[str, Any] = field(default_factory=dict)
    deploy: _Deploy = field(default_factory=_Deploy)


def _check_host(host: str | None) -> None:
    if host is not None and not _HOST.match(host):
        raise SchemaViolation("host", f"{host!r} is no host name or address (user and port are keys of their own)")


def _check_common(entry: _LocalEntry | _Defaults) -> None:
    for tag in entry.tags or ():
        if not WORD.match(tag) or tag in RESERVED:
            raise SchemaViolation("tags", f"{tag!r} is no tag: {_WORD_RULE}")
    if entry.profile is not None and entry.profile not in device_profile_names():
        raise SchemaViolation("profile", unknown("device profile", entry.profile, device_profile_names()).message)
    if entry.workdir is not None and not _plain_absolute(entry.workdir):
        raise SchemaViolation("workdir", f"{entry.workdir!r} is not absolute; write the whole path from /")
    if entry.python is not None and not entry.python.strip():
        raise SchemaViolation("python", "is empty; leave it out instead")


_WORD_RULE = f"letters, digits, '.', '_' and '-', starting with a letter or digit, and none of {', '.join(RESERVED)}"


def _plain_absolute(path: str) -> bool:
    parts = PurePosixPath(path)
    return parts.is_absolute() and ".." not in parts.parts and len(parts.parts) > 1 and path.isprintable()


class _Gateways:
    """The [gateways] of a fleet file, and what `gateway =` means."""

    def __init__(self, entries: Mapping[str, Any], source: Path) -> None:
        self._source = source
        self._entries = {
            name: parse(_Gateway, data, where=source, at=f"gateways.{name}") for name, data in entries.items()
        }
        for name, entry in self._entries.items():
            self.find(entry.gateway, f"gateways.{name}.gateway")

    def find(self, text: str | None, key: str, seen: tuple[str, ...] = ()) -> tuple[Hop, ...] | None:
        """Errors: ConfigError for what is neither a gateway of the file nor an address, and for a circle."""
        if text is None:
            return None
        if text.strip().lower() == "none":
            return ()
        return tuple(self._hop(word.strip(), key, seen) for word in text.split(","))

    def _hop(self, word: str, key: str, seen: tuple[str, ...]) -> Hop:
        entry = self._entries.get(word)
        if word in seen:
            raise ConfigError(f"the gateway {word!r} leads to itself", where=f"{self._source}, key {key!r}")
        if entry is None:
            try:
                return parse_hop(word)
            except ValueError as error:
                known = f"; gateways of this file: {', '.join(self._entries)}" if self._entries else ""
                raise ConfigError(f"{error}{known}", where=f"{self._source}, key {key!r}") from None
        gateways = self.find(entry.gateway, f"gateways.{word}.gateway", (*seen, word))
        keys = (_path(entry.key, self._source), _path(entry.known_hosts, self._source))
        return Hop(entry.host or word, entry.user, entry.port, *keys, gateways)


def _device(name: str, data: Any, defaults: _Defaults, gateways: _Gateways, source: Path) -> Device:
    key = f"devices.{name}"
    if not WORD.match(name) or name in RESERVED:
        raise ConfigError(f"{name!r} cannot name a device; use {_WORD_RULE}", where=f"{source}, key {key!r}")
    if name == LOCAL:
        return _local(parse(_LocalEntry, data, where=source, at=key))
    _refuse_group_name(name, source)
    entry = parse(_Entry, data, where=source, at=key)
    values = {item.name: _first(getattr(entry, item.name), getattr(defaults, item.name)) for item in fields(_Defaults)}
    if values["profile"] is None:
        known = ", ".join(device_profile_names())
        raise ConfigError(f"the key 'profile' is missing; known: {known}", where=f"{source}, key {key!r}")
    return Device(
        name=name,
        host=entry.host or name,
        profile=device_profile(values["profile"]),
        user=values["user"],
        port=values["port"],
        key=_path(values["key"], source),
        known_hosts=_path(values["known_hosts"], source),
        tags=values["tags"] or (),
        python=values["python"],
        workdir=PurePosixPath(values["workdir"]) if values["workdir"] else None,
        power_mode=values["power_mode"],
        builder=entry.builder,
        bandwidth=parse_rate(values["bandwidth"]) if values["bandwidth"] else None,
        gateways=gateways.find(values["gateway"], f"{key}.gateway" if entry.gateway else "defaults.gateway"),
        site=values["site"],
    )


def _local(entry: _LocalEntry) -> Device:
    return Device(
        name=LOCAL,
        host="localhost",
        profile=device_profile(entry.profile),
        tags=entry.tags,
        python=entry.python or sys.executable,
        workdir=PurePosixPath(entry.workdir) if entry.workdir else None,
        builder=entry.builder,
    )


def _refuse_group_name(name: str, source: Path) -> None:
    """A device `orin` would take the place of every Orin in `--device orin`."""
    profiles = device_profile_names()
    if name in profiles or name in {device_profile(profile).family for profile in profiles}:
        raise ConfigError(
            f"the device name {name!r} is that of a profile or family, which selectors use",
            where=f"{source}, key {f'devices.{name}'!r}",
            fix=f"call it {name}-1, for example",
        )


def _check_builders(devices: Iterable[Device], source: Path) -> None:
    """One device builds for its class, so that every other one knows whose engine it loads."""
    builders: dict[str, str] = {}
    for device in devices:
        if not device.builder:
            continue
        other = builders.setdefault(device.profile.name, device.name)
        if other != device.name:
            message = f"{other} and {device.name}, both of profile {device.profile.name}, have `builder = true`"
            raise ConfigError(message, where=f"{source}, key 'devices.{device.name}.builder'", fix="leave it to one")


def _first(value: Any, default: Any) -> Any:
    return default if value is None else value


def _path(text: str | None, source: Path) -> Path | None:
    """`~` is the home folder; a relative path counts from the folder of the fleet file."""
    return None if text is None else source.absolute().parent / Path(text).expanduser()
