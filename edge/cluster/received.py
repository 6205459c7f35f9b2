"""What a worker keeps of the artifacts that came, so that each moves once to a site and not once a device.

    ~/.cache/edgebench/received/<id>/   an artifact's files, or prepared data; whole and hashed, or not there at all

It may be removed whenever no sweep runs. Of the worker's own store nothing is touched.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from device_agents.contract import FileEntry
from edge.places import places
from export.artifact import sha256_file

_DAY_S = 86_400.0


def folder(payload: str) -> Path:
    """Where the files of an artifact are, once they have been received."""
    return places().artifacts / "received" / payload


def is_there(payload: str, files: Sequence[FileEntry]) -> bool:
    """Whether everything has been received before, and is still what it was."""
    for left in folder(payload).parent.glob(".*"):
        with contextlib.suppress(OSError):
            if left.stat().st_mtime < time.time() - _DAY_S:  # its controller was killed
                shutil.rmtree(left)
    return _whole(folder(payload), files)


def write(payload: str, delivery: str, name: str, offset: int, block: bytes) -> None:
    """Put a block where it belongs in a file that is on its way; `delivery` names the delivery. Errors: OSError."""
    making = _making(payload, delivery)
    making.mkdir(parents=True, exist_ok=True)
    with (making / name).open("r+b" if offset else "wb") as stream:
        stream.seek(offset)
        stream.write(block)


def finish(payload: str, delivery: str, files: Sequence[FileEntry]) -> bool:
    """Whether all that was written is what was sent; it is there from now on, or gone."""
    making, home = _making(payload, delivery), folder(payload)
    whole = _whole(making, files)
    if whole:
        shutil.rmtree(home, ignore_errors=True)
        try:
            making.rename(home)
        except OSError:
            whole = _whole(home, files)  # another worker with the same home was first
    shutil.rmtree(making, ignore_errors=True)
    return whole


def _making(payload: str, delivery: str) -> Path:
    return folder(f".{payload}.{delivery}")


def _whole(home: Path, files: Sequence[FileEntry]) -> bool:
    try:
        return all(
            (home / entry.name).stat().st_size == entry.size and sha256_file(home / entry.name) == entry.sha256
            for entry in files
        )
    except OSError:
        return False
