"""How to reach a device: what fleet.toml says, then ~/.ssh/config, then OpenSSH's defaults."""

from __future__ import annotations

import getpass
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge.inventory import client_config
from edge.inventory.devices import Device
from edge.inventory.hops import Hop, parse_hop
from edge.places import Places
from edge.transport.ssh.known_hosts import DEFAULT_PORT, host_name
from profiles.errors import ConfigError

CONNECT_TIMEOUT_S = 15.0

_DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
_GLOBAL_KNOWN_HOSTS = Path("/etc/ssh/ssh_known_hosts")
_MAX_JUMPS = 8
_NONE = Path("none")  # in the place of a file: there is to be none
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


@dataclass(frozen=True)
class Endpoint:
    """Everything that a connection needs. `host_key_name` is how known_hosts files name the host; `trust_file` is where
    a newly trusted key belongs; `own_keys` says that `keys` were asked for by name and must exist. `via` is the gateway
    to go through, `proxy_command` the program that carries the bytes instead; `bandwidth` is the most bytes a second
    that go to or come from it, None for no limit."""

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
    certificates: tuple[Path, ...] = ()
    via: Endpoint | None = None
    proxy_command: str | None = None
    bandwidth: float | None = None
    is_gateway: bool = False

    def trusting(self, *, anew: bool = False) -> str:
        """The command that keeps its host key, `anew` in the place of another. `devices trust` is for devices alone."""
        if not self.is_gateway:
            return f"`edgebench devices trust {self.name}{' --replace' if anew else ''}`"
        login = f"`ssh -p {self.port} {self.user}@{self.host}`"
        return f"`ssh-keygen -R '{self.host_key_name}'` and {login}" if anew else f"{login} once"

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
    asked = Hop(device.host, device.user, device.port, device.key, device.known_hosts)
    found = _Resolver(places, config).endpoint(device.name, asked, device.gateways)
    return replace(found, bandwidth=device.bandwidth)


@dataclass(frozen=True)
class _Resolver:
    """Turns what was asked into endpoints. The fleet file wins over ~/.ssh/config, key by key."""

    places: Places
    config: Path

    def endpoint(
        self, name: str, asked: Hop, gateways: tuple[Hop, ...] | None, via: Endpoint | None = None, depth: int = 0
    ) -> Endpoint:
        """`gateways` are those of the fleet file, () for none whatever ~/.ssh/config says, None where it decides."""
        options = client_config.options(asked.host, self.config, asked.user)
        host = options.get("hostname", asked.host)
        port = asked.port or _number(options, "port", DEFAULT_PORT, self.config)
        own_keys = (asked.key,) if asked.key else tuple(map(Path, options.get("identityfile", ())))
        command = None
        if via is None:
            via, command = self._way(options, gateways, depth)
        return Endpoint(
            name=name,
            host=host,
            port=port,
            user=asked.user or options.get("user") or getpass.getuser(),
            keys=tuple(path for path in own_keys or _default_keys() if path != _NONE),
            own_keys=bool(own_keys),
            known_hosts=(asked.known_hosts,) if asked.known_hosts else self._known_hosts(options),
            trust_file=asked.known_hosts or self.places.known_hosts,
            host_key_name=options["hostkeyalias"].lower() if "hostkeyalias" in options else host_name(host, port),
            agent_only_for_keys=options.get("identitiesonly", "no").lower() in ("yes", "true"),
            connect_timeout=_seconds(str(options.get("connecttimeout", "none")), self.config),
            certificates=tuple(path for path in map(Path, options.get("certificatefile", ())) if path != _NONE),
            via=via,
            proxy_command=command,
        )

    def _way(
        self, options: Mapping[str, Any], gateways: tuple[Hop, ...] | None, depth: int
    ) -> tuple[Endpoint | None, str | None]:
        """The gateway, or the proxy command."""
        if gateways is not None:
            return self._chain(gateways, depth), None
        jump, command = (str(options.get(key, "none")) for key in ("proxyjump", "proxycommand"))
        if jump.lower() != "none":
            try:
                return self._chain(tuple(map(parse_hop, jump.split(","))), depth), None
            except ValueError as error:
                raise ConfigError(f"ProxyJump {jump}: {error}", where=str(self.config)) from None
        return None, None if command.lower() == "none" else command

    def _chain(self, hops: tuple[Hop, ...], depth: int) -> Endpoint | None:
        """The last of several gateways, each reached through the one before it; the first by its own ProxyJump."""
        if depth > _MAX_JUMPS:
            fix = "look for a ProxyJump that leads back to itself"
            raise ConfigError("gateways lead to gateways without end", where=str(self.config), fix=fix)
        via: Endpoint | None = None
        for hop in hops:
            found = self.endpoint(f"gateway {hop.host}", hop, hop.gateways, via, depth + 1)
            via = replace(found, is_gateway=True)
        return via

    def _known_hosts(self, options: Mapping[str, Any]) -> tuple[Path, ...]:
        named = options.get("userknownhostsfile")
        if named is None:
            user: tuple[Path, ...] = (Path.home() / ".ssh" / "known_hosts",)
        else:
            user = tuple(Path(path) for path in named if path.lower() != "none")
        for path in user:
            if "%" in str(path):
                message = f"UserKnownHostsFile {path} has a placeholder, which edgebench cannot fill in"
                fix = "set known_hosts of the device in fleet.toml"
                raise ConfigError(message, where=str(self.config), fix=fix)
        return (*user, self.places.known_hosts, _GLOBAL_KNOWN_HOSTS)


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


def _seconds(text: str, config: Path) -> float:
    """90, 90s, 1m30s: as sshd_config(5) has times. 0 is none for ssh."""
    if text.lower() in ("none", "0"):
        return CONNECT_TIMEOUT_S
    if not re.fullmatch(r"(?:\d{1,6}[smhdw]?)+", text.lower()):
        raise ConfigError(f"connecttimeout {text!r} is no time; write 15, or 1m30s", where=str(config))
    parts = re.findall(r"(\d+)([smhdw]?)", text.lower())
    return float(sum(int(count) * _UNITS[unit] for count, unit in parts))
