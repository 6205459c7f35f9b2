"""What putting and getting a file means, whatever carries the bytes. Each transport supplies the steps of `Uploads`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from edge.transport.base import Deadline
from export.artifact import sha256_file
from profiles.errors import TransferError, TransportError
from profiles.progress import Progress

DISK_FULL = "the disk of the device is full"


class Uploads(Protocol):
    """The steps of an upload. `part` lies beside `remote`; errors are profiles.errors types."""

    @property
    def name(self) -> str: ...

    def look(self, remote: PurePosixPath, part: PurePosixPath, sha256: str, deadline: Deadline) -> int | None:
        """Make the folder. None when `remote` has this hash, else the size of `part` in bytes, 0 without one."""

    def send(self, file: BinaryIO, part: PurePosixPath, *, fresh: bool, deadline: Deadline, step: Step) -> None:
        """Append the rest of `file` to `part`, to a new file when `fresh`; call `step` with the bytes of each write."""

    def settle(self, part: PurePosixPath, remote: PurePosixPath, sha256: str, deadline: Deadline) -> str | None:
        """Rename `part` to `remote` when it has this hash, else remove it. None, or the hash that it has instead."""

    def discard(self, part: PurePosixPath, deadline: Deadline) -> None:
        """Remove `part`."""


class Step(Protocol):
    def __call__(self, sent: int) -> None: ...


def upload(
    device: Uploads, local: Path, remote: PurePosixPath, *, sha256: str, deadline: Deadline, progress: Progress
) -> int:
    """Put `local` on a device; see Transport.put."""
    absolute(remote)
    with _opened(local) as file:
        size = os.fstat(file.fileno()).st_size
        part = remote.with_name(remote.name + ".part")
        there = device.look(remote, part, sha256, deadline)
        if there is None:
            return 0
        start = there if there <= size else 0
        meter = _Meter(f"upload {local.name}", size, progress)
        wrong = _attempt(device, file, part, remote, start=start, sha256=sha256, deadline=deadline, meter=meter)
        if wrong and start:
            wrong = _attempt(device, file, part, remote, start=0, sha256=sha256, deadline=deadline, meter=meter)
    if wrong:
        raise _mismatch(device, local, remote, sha256, wrong)
    return meter.sent


def _attempt(
    device: Uploads,
    file: BinaryIO,
    part: PurePosixPath,
    remote: PurePosixPath,
    *,
    start: int,
    sha256: str,
    deadline: Deadline,
    meter: _Meter,
) -> str | None:
    meter.at = start
    file.seek(start)
    try:
        device.send(file, part, fresh=start == 0, deadline=deadline, step=meter)
    except TransferError:
        with suppress(TransportError):  # the first error is the one to tell
            device.discard(part, deadline)
        raise
    return device.settle(part, remote, sha256, deadline)


def _mismatch(device: Uploads, local: Path, remote: PurePosixPath, sha256: str, wrong: str) -> TransferError:
    if sha256_file(local) != sha256:
        return TransferError(
            f"{local} is damaged: its SHA-256 is not {sha256[:16]}…, the one on record",
            where=device.name,
            fix="make it again",
        )
    return TransferError(
        f"{remote} arrived damaged: SHA-256 {wrong[:16]}… instead of {sha256[:16]}…",
        where=device.name,
        fix="run it again; if another edgebench ships to the same folder, let it finish first",
    )


class _Meter:
    """Counts what was sent and tells who waits. `at` is the place in the file."""

    def __init__(self, what: str, size: int, progress: Progress) -> None:
        self.sent = 0
        self.at = 0
        self._what = what
        self._size = size
        self._progress = progress

    def __call__(self, sent: int) -> None:
        self.sent += sent
        self.at += sent
        self._progress(self._what, self.at, self._size)


class Limited:
    """Takes the bytes of a download and refuses the first one above `limit`: an announced size is no proof."""

    def __init__(self, file: BinaryIO, limit: int, remote: PurePosixPath, where: str) -> None:
        self._file = file
        self._left = limit
        self._error = TransferError(f"{remote} is larger than the {limit:,} bytes that are read of it", where=where)

    def write(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            raise self._error
        try:
            self._file.write(data)
        except OSError as error:
            raise TransferError(f"cannot be written ({error.strerror})", where=str(self._file.name)) from None


@contextmanager
def arriving(local: Path) -> Iterator[BinaryIO]:
    """A temporary `.part` beside `local` that becomes `local` when the block ends well, and vanishes otherwise."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{local.name[:100]}.", suffix=".part", dir=local.parent)
    except OSError as error:
        raise TransferError(f"cannot be written ({error.strerror})", where=str(local)) from None
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        part.replace(local)
    except OSError as error:
        raise TransferError(f"cannot be written ({error.strerror or error})", where=str(local)) from None
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _opened(local: Path) -> Iterator[BinaryIO]:
    try:
        file = local.open("rb")
    except OSError as error:
        raise TransferError(f"cannot be read ({error.strerror})", where=str(local)) from None
    with file:
        yield file


def chunks(file: BinaryIO, size: int) -> Iterator[bytes]:
    """The rest of a local file in pieces. Errors: TransferError when it cannot be read."""
    try:
        while chunk := file.read(size):
            yield chunk
    except OSError as error:
        raise TransferError(f"cannot be read ({error.strerror})", where=str(file.name)) from None


def absolute(remote: PurePosixPath) -> None:
    """Errors: ValueError for a path whose meaning would depend on a working folder."""
    if not remote.is_absolute() or not remote.name or "\0" in str(remote):
        raise ValueError(f"{str(remote)!r} is no absolute path of a file")


def disk_full(remote: PurePosixPath, where: str) -> TransferError:
    return TransferError(
        f"{DISK_FULL}; {remote} was not stored",
        where=where,
        fix="free space there, or set `workdir` of the device in fleet.toml to a larger disk",
    )
