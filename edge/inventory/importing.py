"""Hosts that another tool knows, as entries of fleet.toml: chosen, given their profiles, written, never over others."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from edge.inventory.devices import LOCAL, Fleet
from edge.inventory.expression import RESERVED, WORD
from edge.inventory.fleet_file import load_fleet
from edge.inventory.vocabulary import kind_of_profile
from profiles.errors import ConfigError
from profiles.load import device_profile_names, read_toml, unknown

_ORDER = ("profile", "host", "port", "user", "key", "known_hosts", "gateway", "python", "tags")
_NAMED = 5  # hosts that a line names

Value = str | int | Sequence[str]


@dataclass(frozen=True)
class Host:
    """A host in fleet.toml's words: `keys` of its entry, and the `groups` that it is in. `notes` say what of it cannot
    be taken over, `left_out` why all of it cannot."""

    name: str
    keys: Mapping[str, Value] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: str = ""


@dataclass(frozen=True)
class Entry:
    """A device to be written."""

    name: str
    keys: Mapping[str, Value]


def unusable_name(name: str) -> str:
    """Why a host cannot be a device of that name; empty where it can."""
    if not WORD.match(name) or name in (LOCAL, *RESERVED):
        return "its name cannot be that of a device"
    kind = kind_of_profile(name)
    return f"its name is that of a {kind}, which selectors use" if kind else ""


def only(hosts: Sequence[Host], patterns: Sequence[str]) -> tuple[Host, ...]:
    """Those whose name or group fits one of the patterns; all without any.

    Errors: ConfigError for a pattern that none fits.
    """
    names = {host.name: (host.name, *host.groups) for host in hosts}
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for its in names.values() for name in its):
            groups = sorted({group for host in hosts for group in host.groups})
            known = f"groups: {', '.join(groups)}; " if groups else ""
            message = f"no host and no group fits {pattern!r}; {known}hosts: {', '.join(names)}"
            raise ConfigError(message, where="--only")
    return tuple(
        host
        for host in hosts
        if not patterns or any(fnmatchcase(name, each) for name in names[host.name] for each in patterns)
    )


def check_profiles(hosts: Sequence[Host], profile: str | None, profile_of: Mapping[str, str]) -> None:
    """Errors: ConfigError for a profile that is unknown, and for a group that none of all `hosts` is in."""
    for where, name in [("--profile", profile), *(("--profile-of", each) for each in profile_of.values())]:
        if name is not None and name not in device_profile_names():
            raise unknown("device profile", name, device_profile_names(), where=where)
    for group in profile_of:
        if not any(group in (host.name, *host.groups) for host in hosts):
            raise ConfigError(f"no host is called {group!r} or in a group of that name", where="--profile-of")


def entries(hosts: Sequence[Host], profile: str | None, profile_of: Mapping[str, str]) -> tuple[Entry, ...]:
    """What is written of the hosts that can be taken over. `profile_of` is by group or host, and wins over `profile`.

    Errors: ConfigError for hosts with two profiles or none.
    """
    taken = [host for host in hosts if not host.left_out]
    if not hosts:
        raise ConfigError("there is no host in it", where="FILE", fix="name another file or folder")
    if not taken:
        raise ConfigError("no host is left to import", where="FILE", fix="see why above, or another FILE or --only")
    profiles = {host.name: _profile(host, profile, profile_of) for host in taken}
    without = [name for name, each in profiles.items() if each is None]
    if without:
        fix = "--profile NAME, or --profile-of GROUP=NAME; `edgebench profiles list` shows them"
        raise ConfigError(f"nobody says the profile of {named(without)}", where="--profile", fix=fix)
    return tuple(_entry(host, str(profiles[host.name])) for host in taken)


def told(hosts: Sequence[Host]) -> list[str]:
    """A line for each thing that is not taken over, and one for each reason why hosts are left out, with the hosts."""
    lines: dict[str, list[str]] = {}
    for host in hosts:
        for what in (f"left out, as {host.left_out}",) if host.left_out else dict.fromkeys(host.notes):
            lines.setdefault(what, []).append(host.name)
    return [f"{named(names)}: {what}" for what, names in lines.items()]


def named(names: Sequence[str]) -> str:
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def render(devices: Iterable[Entry], source: Path) -> str:
    """Their tables in TOML."""
    return "\n".join([f"# From {json.dumps(str(source), ensure_ascii=False)}\n", *map(table, devices)])


def table(device: Entry) -> str:
    """The table of one device in TOML."""
    lines = [f"{key} = {_toml(device.keys[key])}\n" for key in _ORDER if key in device.keys]
    return f"[devices.{_key(device.name)}]\n{''.join(lines)}"


def check(text: str, source: Path) -> Fleet:
    """The fleet of a file with only this. Errors: ConfigError when it would be refused."""
    with tempfile.TemporaryDirectory(prefix="edgebench-") as folder:
        path = Path(folder) / "fleet.toml"
        path.write_text(text, encoding="utf-8")
        return _load(path, called=source)


def add(text: str, devices: Sequence[Entry], file: Path) -> None:
    """Write the tables into a fleet file, behind what is there, which stays as it is; the whole file or nothing.

    Errors: ConfigError when the file has a device of that name, or would be refused with the new ones.
    """
    before = ""
    if file.exists():
        known = read_toml(file).get("devices", {})
        twice = [device.name for device in devices if isinstance(known, dict) and device.name in known]
        if twice:
            fix = "take them out there, or choose others with --only"
            raise ConfigError(f"has {named(twice)} already", where=str(file), fix=fix)
        before = file.read_text(encoding="utf-8").rstrip("\n") + "\n\n"
    try:
        with replaced(file) as part:
            part.write_text(before + text, encoding="utf-8")
            _load(part, called=file)
    except OSError as error:
        raise ConfigError(f"cannot be written ({error.strerror})", where=str(file)) from None


@contextlib.contextmanager
def replaced(file: Path) -> Iterator[Path]:
    """A file beside `file`, with its rights, that takes its place when all went well. Errors: ConfigError for what is
    no file."""
    if file.exists() and not file.is_file():
        raise ConfigError("is no file", where=str(file), fix="name one")
    target = file.resolve()
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with part.open("x"):
            pass
        if target.exists():
            part.chmod(target.stat().st_mode & 0o777)
        yield part
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _load(path: Path, *, called: Path) -> Fleet:
    try:
        return load_fleet(path)
    except ConfigError as error:
        error.where = error.where.replace(str(path), str(called))
        raise


def _profile(host: Host, profile: str | None, profile_of: Mapping[str, str]) -> str | None:
    if host.name in profile_of:
        return profile_of[host.name]
    fits = {group: profile_of[group] for group in host.groups if group in profile_of}
    if len(set(fits.values())) > 1:
        said = " and ".join(f"{group} {name}" for group, name in fits.items())
        fix = f"say it of the host: --profile-of {host.name}=NAME"
        raise ConfigError(f"{host.name} is in groups with different profiles ({said})", where="--profile-of", fix=fix)
    return next(iter(fits.values()), profile)


def _entry(host: Host, profile: str) -> Entry:
    tags = {"tags": host.groups} if host.groups else {}
    return Entry(host.name, {"profile": profile, **host.keys, **tags})


def _key(name: str) -> str:
    return name if "." not in name else _toml(name)


def _toml(value: Value) -> str:
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):  # JSON's escapes are TOML's, but for DEL
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return f"[{', '.join(map(_toml, value))}]"
