"""The keys of a fleet file, each checked by itself: what is wrong with one is told of that one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from device_agents.contract import SchemaViolation, check_command
from edge.inventory.devices import LOCAL
from edge.inventory.expression import RESERVED, WORD, WORD_RULE
from edge.inventory.runtime_keys import RuntimeKeys, container_of
from edge.quantities import parse_bytes, parse_rate
from profiles.load import device_profile_names, unknown
from profiles.schema import check_currency, check_price

HOST = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9_.:%-]{0,253}\Z")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@\\$-]{0,63}\Z")


@dataclass(frozen=True)
class LocalEntry(RuntimeKeys):
    """The machine that gives the commands, which is always a device."""

    profile: str = LOCAL
    tags: tuple[str, ...] = ()
    workdir: str | None = None
    builder: bool = False
    release_hook: tuple[str, ...] | None = None
    quiesce: tuple[str, ...] | None = None
    resume: tuple[str, ...] | None = None
    price_per_hour: float | None = None
    currency: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
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
class GatewayEntry(_Reach):
    """A host that others are reached through. `host` is its name where it is left out."""

    host: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_host(self.host)


@dataclass(frozen=True)
class Defaults(_Reach, RuntimeKeys):
    """What devices have that do not say it themselves."""

    profile: str | None = None
    tags: tuple[str, ...] | None = None
    workdir: str | None = None
    power_mode: str | None = None
    bandwidth: str | None = None
    metered: bool | None = None
    max_bytes: str | None = None
    release_hook: tuple[str, ...] | None = None
    quiesce: tuple[str, ...] | None = None
    resume: tuple[str, ...] | None = None
    site: str | None = None
    price_per_hour: float | None = None
    currency: str | None = None

    def __post_init__(self) -> None:
        _Reach.__post_init__(self)
        RuntimeKeys.__post_init__(self)
        _check_common(self)
        for key, check in (("bandwidth", parse_rate), ("max_bytes", parse_bytes)):
            text = getattr(self, key)
            try:
                _ = text is None or check(text)
            except ValueError as error:
                raise SchemaViolation(key, str(error)) from None
        if self.site is not None and (not WORD.match(self.site) or self.site in RESERVED):
            raise SchemaViolation("site", f"{self.site!r} is no site: {WORD_RULE}")


@dataclass(frozen=True)
class Entry(Defaults):
    """A device. `host` is its name where it is left out, so an alias of ~/.ssh/config works."""

    host: str | None = None
    builder: bool = False
    serial: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_host(self.host)
        if self.serial is not None and not self.serial.strip():
            raise SchemaViolation("serial", "is empty; leave it out instead")


@dataclass(frozen=True)
class GroupEntry(Defaults):
    """The devices that an expression of --device picks, and what they have that do not say it themselves."""

    devices: tuple[str, ...] = field(kw_only=True)


@dataclass(frozen=True)
class _Deploy:
    """What `edgebench deploy` does without a model."""

    models: tuple[str, ...] = ()


@dataclass(frozen=True)
class FleetEntries:
    """The tables of a fleet file. Devices, gateways and groups are read one by one."""

    defaults: Defaults = field(default_factory=Defaults)
    devices: dict[str, Any] = field(default_factory=dict)
    gateways: dict[str, Any] = field(default_factory=dict)
    groups: dict[str, Any] = field(default_factory=dict)
    deploy: _Deploy = field(default_factory=_Deploy)


def _check_host(host: str | None) -> None:
    if host is not None and not HOST.match(host):
        raise SchemaViolation("host", f"{host!r} is no host name or address (user and port are keys of their own)")


def _check_common(entry: LocalEntry | Defaults) -> None:
    for tag in entry.tags or ():
        if not WORD.match(tag) or tag in RESERVED:
            raise SchemaViolation("tags", f"{tag!r} is no tag: {WORD_RULE}")
    if entry.profile is not None and entry.profile not in device_profile_names():
        raise SchemaViolation("profile", unknown("device profile", entry.profile, device_profile_names()).message)
    if entry.workdir is not None and not _plain_absolute(entry.workdir):
        raise SchemaViolation("workdir", f"{entry.workdir!r} is not absolute; write the whole path from /")
    if entry.workdir is not None and "," in entry.workdir and container_of(entry.container) is not None:
        raise SchemaViolation("workdir", f"{entry.workdir!r} has a comma, and no container can be given such a folder")
    if entry.price_per_hour is not None:
        check_price(entry.price_per_hour, "price_per_hour")
    if entry.currency is not None:
        check_currency(entry.currency)
    for key in ("release_hook", "quiesce", "resume"):
        check_command(getattr(entry, key) or (), key)
    if bool(entry.quiesce) != bool(entry.resume):
        there, missing = ("quiesce", "resume") if entry.quiesce else ("resume", "quiesce")
        raise SchemaViolation(missing, f"is missing beside {there}: what is stopped is started again")


def _plain_absolute(path: str) -> bool:
    parts = PurePosixPath(path)
    return parts.is_absolute() and ".." not in parts.parts and len(parts.parts) > 1 and path.isprintable()
