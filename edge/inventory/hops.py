"""Gateways on the way to a device, as `gateway =` of fleet.toml and ProxyJump of ssh name them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_SPEC = re.compile(
    r"(?:ssh://)?(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.@\\$-]*)@)?"
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?)\]|(?P<host>[A-Za-z0-9_][A-Za-z0-9_.-]*))"
    r"(?::(?P<port>\d{1,5}))?/?\Z"
)


@dataclass(frozen=True)
class Hop:
    """One host to log in to. What is None is left to ~/.ssh/config and OpenSSH's defaults; `gateways` are those that
    lead to it, () for none, None where ~/.ssh/config says."""

    host: str
    user: str | None = None
    port: int | None = None
    key: Path | None = None
    known_hosts: Path | None = None
    gateways: tuple[Hop, ...] | None = None


def parse_hop(text: str) -> Hop:
    """`[user@]host[:port]`, an IPv6 address in brackets. Errors: ValueError that says so."""
    match = _SPEC.match(text.strip())
    if match is None or not 1 <= int(match["port"] or 1) <= 65_535:
        raise ValueError(f"{text.strip()!r} is no [user@]host[:port]")
    return Hop(match["v6"] or match["host"], match["user"], int(match["port"]) if match["port"] else None)
