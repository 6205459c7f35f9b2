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
    python, env, setup, container, gpus     where the runtime lives: edge/inventory/runtime_keys.py
    metered = true          its link costs by the byte; max_bytes = "50 MB" is the most that a run sends over it
    serial = "1421523"      its serial number or machine id (`edgebench devices probe` shows both): nothing is measured
                            on another board
    site = "site-a"         whose worker reaches it, when a sweep runs on a cluster (--scheduler)
    price_per_hour = 0.12   what an hour of it costs, of each of its GPUs; with it
    currency = "EUR"        reports tell what a million images cost
    release_hook = ["systemctl", "--user", "restart", "camera"]
                            what is run there when another release becomes current
    quiesce = ["systemctl", "--user", "stop", "camera"]
    resume = ["systemctl", "--user", "start", "camera"]
                            what stops the product that runs there before a measurement, and starts it afterwards

    [groups]                a name for an expression of --device, or for a list of them; groups may use groups
    edge-site = "orin and lab"

    [groups.site-b]         the same with settings: any key of [defaults], for those of its devices that lack it
    devices = ["b-1", "b-2"]
    gateway = "ops@bastion.site-b.example"

    [gateways.site-a]       user, port, key, known_hosts, gateway, as for a device
    host = "bastion.site-a.example"

    [deploy]
    models = ["resnet50"]   what `edgebench deploy` without a model takes

The device `local` always exists. A device's own key wins over its groups', a group's over [defaults]; two groups that
give a device different values of one key are refused. edge.inventory.groups says who is in a group.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path, PurePosixPath
from typing import Any

from edge.inventory.devices import LOCAL, Device, Fleet
from edge.inventory.entries import Defaults, Entry, FleetEntries, GatewayEntry, GroupEntry, LocalEntry
from edge.inventory.expression import RESERVED, WORD, WORD_RULE
from edge.inventory.groups import given, group_table, members
from edge.inventory.hops import Hop, parse_hop
from edge.inventory.runtime_keys import container_of, gpus_of, merged
from edge.inventory.vocabulary import Labels, Vocabulary
from edge.quantities import parse_bytes, parse_rate
from profiles.errors import ConfigError
from profiles.load import device_profile, device_profile_names, parse, read_toml
from profiles.schema import Price


def load_fleet(source: Path | None) -> Fleet:
    """The fleet of a file; `local` alone without one. Errors: ConfigError that names file, key and what is allowed."""
    if source is None:
        return Fleet({LOCAL: _local(LocalEntry())[0]})
    file = parse(FleetEntries, read_toml(source), where=source)
    gateways = _Gateways(file.gateways, source)
    entries = {name: _entry(name, data, source) for name, data in file.devices.items()}
    groups = _Groups(file, entries, gateways, source)
    devices: dict[str, Device] = {}
    for name, entry in entries.items():
        devices.update(_by_gpu(*_device(name, entry, groups.defaults_of(name), gateways, source)))
    _check_builders(devices.values(), source)
    _check_serials(devices.values(), source)
    names_local = LOCAL in entries
    if not names_local:
        devices[LOCAL] = _local(LocalEntry())[0]
    return Fleet(devices, file.deploy.models, source, names_local, groups.ordered((*entries, LOCAL)))


class _Gateways:
    """The [gateways] of a fleet file, and what `gateway =` means."""

    def __init__(self, entries: Mapping[str, Any], source: Path) -> None:
        self._source = source
        self._entries = {
            name: parse(GatewayEntry, data, where=source, at=f"gateways.{name}") for name, data in entries.items()
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


class _Groups:
    """The [groups] of a fleet file, and what they give to its devices."""

    def __init__(
        self, file: FleetEntries, entries: Mapping[str, Entry | LocalEntry], gateways: _Gateways, source: Path
    ) -> None:
        self._defaults = file.defaults
        self._entries = entries
        self._source = source
        groups = {
            name: parse(GroupEntry, group_table(data), where=source, at=f"groups.{name}")
            for name, data in file.groups.items()
        }
        for name, group in groups.items():
            gateways.find(group.gateway, f"groups.{name}.gateway")
        self._settings = {name: _said(group) for name, group in groups.items()}
        labels = {
            name: _labels(entry, file.defaults)
            for name, entry in {**entries, LOCAL: entries.get(LOCAL, LocalEntry())}.items()
        }
        everything = frozenset(entries or labels)
        tags = {tag for one in labels.values() for tag in one.tags} | {
            tag for group in groups.values() for tag in group.tags or ()
        }
        expressions = {name: group.devices for name, group in groups.items()}
        self._members = members(expressions, Vocabulary(labels, everything, str(source)), tags)

    def defaults_of(self, name: str) -> Defaults:
        """What a device has where it says nothing itself: what its groups give, then [defaults]."""
        own = _said(self._entries[name])
        return replace(self._defaults, **given(name, own, self._settings, self._members, str(self._source)))

    def ordered(self, devices: Iterable[str]) -> dict[str, tuple[str, ...]]:
        names = tuple(devices)
        return {group: tuple(name for name in names if name in its) for group, its in self._members.items()}


def _said(entry: Defaults | LocalEntry) -> dict[str, Any]:
    """What an entry says of the keys of [defaults]."""
    values = {item.name: getattr(entry, item.name, None) for item in fields(Defaults)}
    return {key: value for key, value in values.items() if value is not None}


def _labels(entry: Entry | LocalEntry, defaults: Defaults) -> Labels:
    if isinstance(entry, LocalEntry):
        return Labels(entry.tags, entry.profile)
    return Labels(_first(entry.tags, defaults.tags) or (), _first(entry.profile, defaults.profile))


def _by_gpu(device: Device, gpus: Any) -> dict[str, Device]:
    """The devices of an entry: one, or one for each GPU that it lists."""
    named = None if gpus is None else gpus_of(gpus)
    if named is None:
        return {device.name: replace(device, all_gpus=gpus is not None)}
    found = (device.on_gpu(gpu, first=not index) for index, gpu in enumerate(named))
    return {each.name: each for each in found}


def _entry(name: str, data: Any, source: Path) -> Entry | LocalEntry:
    key = f"devices.{name}"
    if not WORD.match(name) or name in RESERVED:
        raise ConfigError(f"{name!r} cannot name a device; use {WORD_RULE}", where=f"{source}, key {key!r}")
    if name == LOCAL:
        return parse(LocalEntry, data, where=source, at=key)
    _refuse_group_name(name, source)
    return parse(Entry, data, where=source, at=key)


def _device(
    name: str, entry: Entry | LocalEntry, defaults: Defaults, gateways: _Gateways, source: Path
) -> tuple[Device, Any]:
    """An entry as a device, and what it says of its GPUs. `defaults` are the device's own: its groups' and the
    file's."""
    if isinstance(entry, LocalEntry):
        return _local(entry, source)
    key = f"devices.{name}"
    values = {item.name: _first(getattr(entry, item.name), getattr(defaults, item.name)) for item in fields(Defaults)}
    if values["profile"] is None:
        known = ", ".join(device_profile_names())
        raise ConfigError(f"the key 'profile' is missing; known: {known}", where=f"{source}, key {key!r}")
    if values["metered"] and not values["max_bytes"]:
        fix = f'max_bytes = "50 MB", or what a run over the link of {name} may cost'
        raise ConfigError("a metered device wants max_bytes", where=f"{source}, key {key!r}", fix=fix)
    device = Device(
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
        metered=bool(values["metered"]),
        max_bytes=parse_bytes(values["max_bytes"]) if values["max_bytes"] else None,
        serial=entry.serial.strip() if entry.serial else None,
        gateways=gateways.find(values["gateway"], f"{key}.gateway" if entry.gateway else "defaults.gateway"),
        env=merged(defaults.env, entry.env),
        setup=values["setup"],
        container=container_of(values["container"]),
        release_hook=values["release_hook"] or (),
        quiesce=values["quiesce"] or (),
        resume=values["resume"] or (),
        site=values["site"],
        price=_price(values["price_per_hour"], values["currency"], f"{source}, key {key!r}"),
    )
    return device, values["gpus"]


def _local(entry: LocalEntry, source: Path | None = None) -> tuple[Device, Any]:
    container = container_of(entry.container)
    device = Device(
        name=LOCAL,
        host="localhost",
        profile=device_profile(entry.profile),
        tags=entry.tags,
        python=entry.python or (None if container else sys.executable),
        workdir=PurePosixPath(entry.workdir) if entry.workdir else None,
        builder=entry.builder,
        env=merged(None, entry.env),
        setup=entry.setup,
        container=container,
        release_hook=entry.release_hook or (),
        quiesce=entry.quiesce or (),
        resume=entry.resume or (),
        price=_price(entry.price_per_hour, entry.currency, f"{source}, key 'devices.{LOCAL}'"),
    )
    return device, entry.gpus


def _price(per_hour: float | None, currency: str | None, where: str) -> Price | None:
    """The operator's own. Errors: ConfigError for a number without a currency."""
    if per_hour is None:
        return None
    if currency is None:
        raise ConfigError("price_per_hour wants a currency beside it", where=where, fix='currency = "USD", for example')
    return Price(float(per_hour), currency, "fleet.toml")


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
            raise ConfigError(message, where=f"{source}, key 'devices.{device.entry}.builder'", fix="leave it to one")


def _check_serials(devices: Iterable[Device], source: Path) -> None:
    """One board is one device; a copied entry would measure it twice, or refuse one of two boards."""
    names: dict[str, str] = {}
    for device in devices:
        other = names.setdefault(device.serial.casefold(), device.entry) if device.serial else device.entry
        if other != device.entry:
            message = f"{other} and {device.entry} have the same serial number {device.serial}"
            where = f"{source}, key 'devices.{device.entry}.serial'"
            raise ConfigError(message, where=where, fix="correct one of them")


def _first(value: Any, default: Any) -> Any:
    return default if value is None else value


def _path(text: str | None, source: Path) -> Path | None:
    """`~` is the home folder; a relative path counts from the folder of the fleet file."""
    return None if text is None else source.absolute().parent / Path(text).expanduser()
