"""Hosts of an Ansible inventory. ansible-inventory reads it, with its variables, plugins and vaults; what it prints
(`ansible-inventory --list`) is read here, and may as well be given as a file."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.inventory.expression import RESERVED, WORD
from edge.inventory.importing import Host, Value, unusable_name
from edge.inventory.ssh_arguments import gateway, read_arguments
from profiles.errors import ConfigError
from profiles.load import parse

PROGRAM = "ansible-inventory"
_PATIENCE_S = 300.0
_SAID = 300  # characters of its complaint

_CONNECTIONS = ("ssh", "smart", "paramiko", "paramiko_ssh", "libssh")
_KEYS = {
    "host": ("ansible_host", "ansible_ssh_host"),
    "port": ("ansible_port", "ansible_ssh_port"),
    "user": ("ansible_user", "ansible_ssh_user"),
    "key": ("ansible_ssh_private_key_file", "ansible_private_key_file"),
    "python": ("ansible_python_interpreter",),
}
_ARGUMENTS = ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")
_PLACES = ("host", "port", "gateway")  # without one of them another host would be reached
_READ = {"ansible_connection", *_ARGUMENTS, *(name for names in _KEYS.values() for name in names)}

# Options of ssh that edgebench has its own way for, or that change nothing here.
_HARMLESS = (
    "controlmaster", "controlpath", "controlpersist", "serveraliveinterval", "serveralivecountmax", "tcpkeepalive",
    "loglevel", "batchmode", "connecttimeout", "connectionattempts", "compression", "preferredauthentications",
    "forwardagent", "passwordauthentication", "kbdinteractiveauthentication", "pubkeyauthentication",
)  # fmt: skip
_OF_OPTIONS = {"identityfile": "key", "user": "user", "port": "port", "userknownhostsfile": "known_hosts"}

_NAME = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_SECRET = re.compile(r"ansible_\w*(pass|password|passphrase|private_key)\Z")
_COMPLAINT = re.compile(r"(?:\[(?:WARNING|ERROR)\]: |ERROR! )(.+)")


@dataclass(frozen=True)
class _Group:
    """A group as `ansible-inventory --list` prints it."""

    hosts: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    vars: dict[str, Any] = field(default_factory=dict)


def read(path: Path) -> tuple[Host, ...]:
    """The hosts of an inventory, in its order. Errors: ConfigError that says what is missing."""
    data = _as_json(path)
    if not (isinstance(data, dict) and "_meta" in data):
        data = _run(path)
    if not (isinstance(data, dict) and isinstance(data.get("_meta"), dict)):
        raise ConfigError(f"is not what {PROGRAM} --list prints", where=str(path))
    kind: Any = dict[str, dict[str, Any]]
    variables = parse(kind, data["_meta"].get("hostvars", {}), where=path, at="_meta.hostvars")
    groups = {name: parse(_Group, its, where=path, at=name) for name, its in data.items() if name != "_meta"}
    if any(group.vars for group in groups.values()):
        fix = f"give the inventory itself, or what `{PROGRAM} --list` prints, without --export"
        raise ConfigError("has variables of groups, which nobody has given to the hosts yet", where=str(path), fix=fix)
    found = _groups_of_hosts(groups, variables)
    return tuple(_host(name, variables.get(name, {}), its) for name, its in found.items())


def program() -> str | None:
    """ansible-inventory on PATH, or where edgebench is installed, be that environment activated or not."""
    return shutil.which(PROGRAM) or shutil.which(PROGRAM, path=str(Path(sys.executable).parent))


def _as_json(path: Path) -> Any:
    if path.is_dir():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror})", where=str(path)) from None
    except (ValueError, RecursionError):
        return None


def _run(path: Path) -> Any:
    found = program()
    if found is None:
        fix = f"pip install ansible-core; or give what `{PROGRAM} -i {path} --list` prints where it is installed"
        raise ConfigError(f"an Ansible inventory is read by {PROGRAM}, which is not here", where=str(path), fix=fix)
    settings = {"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true", "ANSIBLE_NOCOLOR": "true"}
    try:
        done = subprocess.run(
            [found, "-i", str(path.absolute()), "--list"], env={**os.environ, **settings},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE_S, check=False,
        )  # fmt: skip
        data = json.loads(done.stdout) if done.returncode == 0 else None
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        raise ConfigError(f"{PROGRAM} failed ({error})", where=str(path)) from None
    if data is None:
        said = "; ".join(dict.fromkeys(_COMPLAINT.findall(done.stderr))) or done.stderr.strip()
        fix = f"mend what `{PROGRAM} -i {path} --list` says"
        raise ConfigError(f"{PROGRAM} cannot read it ({said[:_SAID]})", where=str(path), fix=fix)
    return data


def _groups_of_hosts(groups: Mapping[str, _Group], hosts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The hosts, and for each the groups that it is in and those that have these as children; not `all`."""
    found: dict[str, set[str]] = {name: set() for name in hosts}

    def walk(name: str, path: tuple[str, ...]) -> None:
        group = groups.get(name, _Group())
        inside = path if name in ("all", "ungrouped") else (*path, name)
        for host in group.hosts:
            found.setdefault(host, set()).update(inside)
        for child in group.children:
            if child not in inside:
                walk(child, inside)

    for name in groups:
        walk(name, ())
    return {name: tuple(sorted(its)) for name, its in found.items()}


def _host(name: str, variables: Mapping[str, Any], groups: tuple[str, ...]) -> Host:
    connection = str(variables.get("ansible_connection", "ssh")).removeprefix("ansible.builtin.")
    why = unusable_name(name)
    if connection == "local":
        why = "its connection is local: this machine is the device `local`"
    elif connection not in _CONNECTIONS:
        why = f"its connection is {connection}, not SSH"
    reader = _Variables(name, variables)
    keys = reader.keys()
    tags = tuple(group for group in groups if WORD.match(group) and group not in (name, *RESERVED))
    lost = [f"its group {group} cannot be a tag" for group in groups if group not in tags]
    return Host(name, keys, tags, (*reader.notes, *lost), why or reader.unknown)


class _Variables:
    """Reads the variables of one host; `notes` say what cannot be taken over, `unknown` why its place is not known."""

    def __init__(self, name: str, variables: Mapping[str, Any]) -> None:
        self._variables = {"inventory_hostname": name, "inventory_hostname_short": name.partition(".")[0], **variables}
        self._own = variables
        self.notes: list[str] = []
        self.unknown = ""

    def keys(self) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for key, names in _KEYS.items():
            text = next((self._text(name, key) for name in names if name in self._own), None)
            if text:
                found[key] = text
        self._take_arguments(found)
        if str(found.get("python", "")).startswith("auto"):
            del found["python"]  # Ansible looks for one, and so does edgebench
        if "port" in found:
            found["port"] = self._port(str(found["port"]))
        for key in ("key", "known_hosts"):
            if key in found and not str(found[key]).startswith("~"):
                found[key] = str(Path(str(found[key])).absolute())  # as for Ansible: from where it is started
        self._note_rest()
        return found

    def _take_arguments(self, found: dict[str, Value]) -> None:
        text = " ".join(filter(None, (self._text(name, "gateway") for name in _ARGUMENTS if name in self._own)))
        try:
            options, _ = read_arguments(text)
        except ValueError as error:
            self.notes.append(f"its ssh arguments are not understood ({error})")
            return
        try:
            way = gateway(options)
            if way is not None:
                found["gateway"] = way
        except ValueError as error:
            self.notes.append(f"its gateway belongs into ~/.ssh/config or a table [gateways.NAME] ({error})")
        for option, value in options.items():
            self._take_option(option, value, found)

    def _take_option(self, option: str, value: str, found: dict[str, Value]) -> None:
        key = _OF_OPTIONS.get(option)
        if option == "stricthostkeychecking" or (key == "known_hosts" and value == "/dev/null"):
            if value.lower() not in ("yes", "ask"):
                self.notes.append("host keys are checked all the same (edgebench devices trust)")
        elif key is not None:
            found.setdefault(key, value)
        elif option not in ("proxyjump", "proxycommand", *_HARMLESS):
            self.notes.append(f"its ssh option {option} belongs into ~/.ssh/config")

    def _text(self, name: str, key: str) -> str:
        """The variable with the plain variables in it filled in; empty where that is not all."""
        value = self._variables[name]
        if isinstance(value, dict):
            value = value.get("__ansible_unsafe", value)
        text = str(value)
        for _ in range(len(self._variables)):
            filled = _NAME.sub(lambda match: str(self._variables.get(match[1], match[0])), text)
            if filled == text:
                break
            text = filled
        if isinstance(value, (str, int)) and "{{" not in text and "{%" not in text:
            return text.strip()
        why = "is a template that only Ansible fills in" if isinstance(value, str) else "is encrypted, or no text"
        if key in _PLACES:
            self.unknown = f"its {name} {why}"
        else:
            self.notes.append(f"its {name} {why}")
        return ""

    def _port(self, text: str) -> int:
        if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 65_535):
            self.unknown = f"its port is {text!r}"
            return 0
        return int(text)

    def _note_rest(self) -> None:
        names = [name for name in self._own if name.startswith("ansible_") and name not in _READ]
        secrets = [name for name in names if _SECRET.match(name)]
        become = [name for name in names if name.startswith("ansible_become") and name not in secrets]
        if secrets:
            self.notes.append(f"no secret is taken over ({', '.join(secrets)}): edgebench logs in by key")
        if become:
            self.notes.append(f"no privilege is asked for ({', '.join(become)})")
        rest = [name for name in names if name not in (*secrets, *become)]
        self.notes += [f"{name} means nothing here" for name in rest]
