"""How to reach a device: what fleet.toml says, then ~/.ssh/config, then OpenSSH's defaults."""

from __future__ import annotations

import getpass
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.inventory import Device
from edge.known_hosts import DEFAULT_PORT, host_name
from edge.places import Places
from profiles.errors import ConfigError

CONNECT_TIMEOUT_S = 15.0

_DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
_GLOBAL_KNOWN_HOSTS = Path("/etc/ssh/ssh_known_hosts")
_INCLUDE = re.compile(r"\s*include(?:\s+|\s*=\s*)(.+)", re.IGNORECASE)
_BLOCK = re.compile(r"\s*(?:host|match)(?:\s|=)", re.IGNORECASE)
_MAX_INCLUDES = 16


@dataclass(frozen=True)
class Endpoint:
    """Everything that a connection needs. `host_key_name` is how known_hosts files name the host; `trust_file` is where
    a newly trusted key belongs; `own_keys` says that `keys` were asked for by name and must exist."""

    name: str
    host: str
    port: int
    user: str
    keys: tuple[Path, ...]
    own_keys: bool
    known_hosts: tuple[Path, ...]
    trust_file: Path
    host_key_name: str
    agent_only_for_keys: bool = False
    connect_timeout: float = CONNECT_TIMEOUT_S

    @property
    def address(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.user}@{host}:{self.port}"

    @property
    def where(self) -> str:
        """The place of an error: the device and what it was reached at."""
        return f"{self.name} ({self.address})"


def resolve(device: Device, places: Places, config: Path | None = None) -> Endpoint:
    """The endpoint of a device; `config` is ~/.ssh/config unless given.

    Errors: ConfigError for a config file that cannot be read, or that asks for what edgebench does not do.
    """
    config = config or Path.home() / ".ssh" / "config"
    options = _options(device.host, config)
    _refuse_proxies(options, device, config)
    host = options.get("hostname", device.host)
    port = device.port or _number(options, "port", DEFAULT_PORT, config)
    own_keys = (device.key,) if device.key else tuple(_home(path) for path in options.get("identityfile", ()))
    return Endpoint(
        name=device.name,
        host=host,
        port=port,
        user=device.user or options.get("user") or getpass.getuser(),
        keys=own_keys or _default_keys(),
        own_keys=bool(own_keys),
        known_hosts=(device.known_hosts,) if device.known_hosts else _known_hosts(options, places, config),
        trust_file=device.known_hosts or places.known_hosts,
        host_key_name=options["hostkeyalias"].lower() if "hostkeyalias" in options else host_name(host, port),
        agent_only_for_keys=options.get("identitiesonly", "no").lower() == "yes",
        connect_timeout=float(_number(options, "connecttimeout", int(CONNECT_TIMEOUT_S), config)),
    )


def _options(host: str, config: Path) -> Mapping[str, Any]:
    """What the config file says of a host, keys in lower case; paramiko expands %h, %u and the like."""
    if not config.is_file():
        return {}
    import paramiko

    try:
        return paramiko.SSHConfig.from_text("\n".join(_with_includes(config))).lookup(host)
    except paramiko.ConfigParseError as error:
        raise ConfigError(f"cannot be understood ({error})", where=str(config)) from None
    except (paramiko.SSHException, ImportError) as error:  # ImportError: `Match exec` needs another package
        raise ConfigError(
            f"cannot be applied to {host} ({error})", where=str(config), fix="say user, port and key in fleet.toml"
        ) from None


def _with_includes(config: Path, depth: int = 0) -> list[str]:
    """The lines of a config file and of what it includes, which paramiko does not read by itself.

    The block that an Include stands in is opened again after it, so that what follows keeps its condition.
    """
    if depth > _MAX_INCLUDES:
        raise ConfigError("includes itself without end", where=str(config))
    lines = []
    block = "Host *"
    for line in _text(config).splitlines():
        include = _INCLUDE.match(line)
        if include:
            for path in _included(include.group(1)):
                lines += [*_with_includes(path, depth + 1), block]
        else:
            block = line if _BLOCK.match(line) else block
            lines.append(line)
    return lines


def _included(patterns: str) -> Sequence[Path]:
    """Relative names are of ~/.ssh, wildcards allowed, as ssh_config(5) says."""
    folder = Path.home() / ".ssh"
    found: list[Path] = []
    for pattern in shlex.split(patterns):
        path = folder / _home(pattern)
        found += sorted(path.parent.glob(path.name)) if set(path.name) & set("*?[") else [path]
    return [path for path in found if path.is_file()]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror})", where=str(path)) from None


def _refuse_proxies(options: Mapping[str, Any], device: Device, config: Path) -> None:
    for key, name in (("proxyjump", "ProxyJump"), ("proxycommand", "ProxyCommand")):
        value = options.get(key)
        if value and str(value).lower() != "none":
            raise ConfigError(
                f"{device.name} is reached through {name} {value}, which edgebench cannot do yet",
                where=f"{config}, host {device.host}",
                fix="run edgebench where the device can be reached directly, or forward a port and set host and port",
            )


def _known_hosts(options: Mapping[str, Any], places: Places, config: Path) -> tuple[Path, ...]:
    named = options.get("userknownhostsfile")
    if named is None:
        user: tuple[Path, ...] = (Path.home() / ".ssh" / "known_hosts",)
    elif "%" in named:
        raise ConfigError(
            f"UserKnownHostsFile {named} has a placeholder, which edgebench cannot fill in",
            where=str(config),
            fix="set known_hosts of the device in fleet.toml",
        )
    else:
        user = tuple(_home(path) for path in shlex.split(named) if path.lower() != "none")
    return (*user, places.known_hosts, _GLOBAL_KNOWN_HOSTS)


def _default_keys() -> tuple[Path, ...]:
    folder = Path.home() / ".ssh"
    return tuple(path for path in (folder / name for name in _DEFAULT_KEYS) if path.is_file())


def _number(options: Mapping[str, Any], key: str, default: int, config: Path) -> int:
    text = str(options.get(key, default))
    if text.lower() == "none":
        return default
    if not text.isdecimal() or not 1 <= int(text) <= 65_535:
        raise ConfigError(f"{key} {text!r} is no number between 1 and 65535", where=str(config))
    return int(text)


def _home(path: str) -> Path:
    return Path(path).expanduser()
