"""Files on the device: written whole or not at all, and hashed before they are believed."""

from __future__ import annotations

import hashlib
import os
import sys
from array import array
from pathlib import Path
from typing import Sequence, Union

from device_agents.contract import FileEntry
from device_agents.errors import DeviceError


def write_atomic(path: Path, data: "Union[bytes, memoryview[int]]") -> None:
    """Write to a temporary sibling, sync, rename: a reader sees the old file or the new one, never a part."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def verify(folder: Path, files: Sequence[FileEntry]) -> None:
    """Check that every file has the size and hash that the spec names. Errors: DeviceError `artifact_damaged`."""
    for entry in files:
        path = folder / entry.name
        if not path.is_file():
            raise _damaged(path, "is missing")
        if path.stat().st_size != entry.size or _sha256(path) != entry.sha256:
            raise _damaged(path, "is not what was shipped")


def entry_of(path: Path) -> FileEntry:
    """Name, bytes and hash of a file that was just written."""
    return FileEntry(path.name, path.stat().st_size, _sha256(path))


def little_endian(numbers: "array[int]") -> bytes:
    """64-bit integers as samples.i64le holds them."""
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk by the time this returns."""
    descriptor = os.open(str(path), os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _damaged(path: Path, what: str) -> DeviceError:
    return DeviceError(
        "artifact_damaged", "load", f"the file {what}", where=str(path), fix="deploy again: it is resent"
    )
