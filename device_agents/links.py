"""Which release of a model is current, and which was before: two links in the model's folder, relative ones.

    current -> v8        what a service loads
    previous -> v7       what a rollback restores

A link is swapped by a rename. Of two, one comes first: what is meant is written down before, and when current is not
what was meant, nothing has happened; when it is, `recover` does the rest.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from device_agents.contract import CURRENT, PREVIOUS, SchemaViolation, check_version, dumps, from_json, loads
from device_agents.files import sync, write_atomic

_INTENT = ".swap.json"


@dataclass(frozen=True)
class Links:
    """The versions that the links of a model name; None where there is no link, or one to something else."""

    current: Optional[str] = None
    previous: Optional[str] = None


def read(home: Path) -> Links:
    return Links(_target(home / CURRENT), _target(home / PREVIOUS))


def swap(home: Path, meant: Links) -> None:
    """Make the links name what is meant. Errors: OSError, after which they are as before, or `recover` ends it."""
    write_atomic(home / _INTENT, dumps(meant).encode())
    sync(home)
    _set(home / CURRENT, meant.current)
    recover(home)


def recover(home: Path) -> None:
    """End what a command began that was killed in a swap, or forget it."""
    intent = home / _INTENT
    if not intent.exists():
        return
    with contextlib.suppress(SchemaViolation):
        meant = from_json(Links, loads(intent.read_bytes()))
        if meant.current == _target(home / CURRENT):
            _set(home / PREVIOUS, meant.previous)
    intent.unlink()
    sync(home)


def forget_previous(home: Path) -> None:
    _set(home / PREVIOUS, None)


def _set(link: Path, version: Optional[str]) -> None:
    if version is None:
        with contextlib.suppress(FileNotFoundError):
            link.unlink()
    else:
        new = link.with_name(f".{link.name}.new")
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        new.symlink_to(version)
        new.replace(link)
    sync(link.parent)


def _target(link: Path) -> Optional[str]:
    try:
        return check_version(os.readlink(str(link)))
    except (OSError, SchemaViolation):
        return None
