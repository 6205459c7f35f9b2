"""Where things are on the operator's machine. Nothing is made here; platformdirs honours XDG_* on Linux."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from profiles.errors import ConfigError

FLEET_VARIABLE = "EDGEBENCH_FLEET"
FLEET_FILE = "fleet.toml"


@dataclass(frozen=True)
class Places:
    """`config` ~/.config/edgebench, `artifacts` ~/.cache/edgebench, `results` ~/.local/share/edgebench."""

    config: Path
    artifacts: Path
    results: Path

    @property
    def known_hosts(self) -> Path:
        """Our own known_hosts, the one that `edgebench devices trust` writes."""
        return self.config / "known_hosts"

    def fleet_file(self, given: Path | None = None) -> Path | None:
        """`given` (--fleet), $EDGEBENCH_FLEET, ./fleet.toml, ~/.config/edgebench/fleet.toml; None when there is none.

        Errors: ConfigError when the file that was asked for by name is not there.
        """
        if given is not None:
            return _existing(given, "--fleet")
        if variable := os.environ.get(FLEET_VARIABLE):
            return _existing(Path(variable), f"${FLEET_VARIABLE}")
        found = (path for path in (Path(FLEET_FILE), self.config / FLEET_FILE) if path.is_file())
        return next(found, None)


def places() -> Places:
    """The places of this user, read from the environment at each call."""
    name = "edgebench"
    return Places(
        config=platformdirs.user_config_path(name),
        artifacts=platformdirs.user_cache_path(name),
        results=platformdirs.user_data_path(name),
    )


def _existing(path: Path, source: str) -> Path:
    path = path.expanduser()
    if not path.is_file():
        raise ConfigError(f"there is no file {path}", where=source, fix="`edgebench init` writes one")
    return path
