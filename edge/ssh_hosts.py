"""The hosts that ~/.ssh/config names, which can be devices without a word of fleet.toml about how to reach them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

_HOST = re.compile(r"\s*host(?:\s*=\s*|\s+)(.+)", re.IGNORECASE)
_PATTERN = re.compile(r"[*?!]")


def user_config() -> Path:
    return Path.home() / ".ssh" / "config"


def aliases(config: Path | None = None) -> tuple[str, ...]:
    """The names in `Host` lines of a config file (~/.ssh/config) and of what it includes, in order; no patterns.

    Errors: ConfigError for a file that cannot be read.
    """
    from edge.transport.ssh.endpoint import config_lines

    config = config or user_config()
    if not config.is_file():
        return ()
    hosts = (match.group(1) for match in map(_HOST.match, config_lines(config)) if match)
    return tuple(dict.fromkeys(name for line in hosts for name in _words(line) if not _PATTERN.search(name)))


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # a quote that is left open, which ssh refuses as well
        return []
