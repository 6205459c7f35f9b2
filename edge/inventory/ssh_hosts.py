"""The hosts that ~/.ssh/config names, which can be devices without a word of fleet.toml about how to reach them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from edge.inventory.importing import Host, named, unusable_name
from profiles.errors import ConfigError

_BLOCK = re.compile(r"\s*(?:host|match|include)(?:\s*=\s*|\s+)\S", re.IGNORECASE)
_HOST = re.compile(r"\s*host(?:\s*=\s*|\s+)(.+)", re.IGNORECASE)
_PATTERN = re.compile(r"[*?!]")


def user_config() -> Path:
    return Path.home() / ".ssh" / "config"


def aliases(config: Path | None = None) -> tuple[str, ...]:
    """The names in `Host` lines of a config file (~/.ssh/config) and of what it includes, in order; no patterns.

    Errors: ConfigError for a file that cannot be read.
    """
    from edge.inventory.client_config import with_includes

    config = config or user_config()
    if not config.is_file():
        return ()
    hosts = (match.group(1) for match in map(_HOST.match, with_includes(config)) if match)
    return tuple(dict.fromkeys(name for line in hosts for name in _words(line) if not _PATTERN.search(name)))


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # a quote that is left open, which ssh refuses as well
        return []


def is_ssh_config(path: Path) -> bool:
    """Whether a file is written as ~/.ssh/config is, and not as an inventory of Ansible."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # a folder, or one that whoever reads it next tells of
        return False
    return any(map(_BLOCK.match, lines)) and not any(line.startswith("[") or "ansible_" in line for line in lines)


def read(config: Path) -> tuple[Host, ...]:
    """Its aliases, of which ~/.ssh/config goes on to say everything but the profile.

    Errors: ConfigError for a file that cannot be read, and for one that ssh, and so edgebench, does not look into.
    """
    found = aliases(config)
    strange = [name for name in found if name not in aliases()]
    if strange:
        message = f"~/.ssh/config does not know {named(strange)}"
        raise ConfigError(message, where=str(config), fix=f"begin ~/.ssh/config with: Include {config.absolute()}")
    return tuple(Host(name, left_out=unusable_name(name)) for name in found)
