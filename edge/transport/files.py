"""What putting and getting a file means, whatever carries the bytes. Each transport supplies the steps of `Uploads`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from edge.transport.allowance import Allowance
from edge.transport.base import Deadline
from export.artifact import sha256_file
from profiles.errors import TransferError, TransportError
from profiles.progress import Progress

_ATTEMPTS = 4

DISK_FULL = "the disk of the device is full"


@dataclass(frozen=True)
class Upload:
    """A local file that is to be `remote` on the device, with this hash."""

    local: Path
    remote: PurePosixPath
    sha256: str

    @property
    def part(self) -> PurePosixPath:
        """What it is called until it has proved its hash."""
        return self.remote.with_name(self.remote.name + ".part")


@dataclass
class Piece:
    """What is still to be sent of an upload: the bytes from `start` to `size`. `pieces` reads them."""

    upload: Upload
    start: int
    size: int
    progress: Progress
    allowance: Allowance = field(default_factory=Allowance)
    at: int = field(init=False)

    def __post_init__(self) -> None:
        self.at = self.start

    def step(self, sent: int) -> None:
        self.at += sent
        self.allowance.spend(sent)
        self.progress(f"upload {self.upload.local.name}", self.at, self.size)

    def pieces(self, most: int) -> Iterator[bytes]:
        """Exactly as many bytes as were announced. Errors: TransferError for a file that is shorter by now."""
        left = self.size - self.start
        with _opened(self.upload.local) as file:
            file.seek(self.start)
            for chunk in chunks(file, most):
                yield chunk[:left]
                left -= len(chunk[:left])
                if not left:
                    return
        if left:
            raise TransferError("became shorter while it was sent", where=str(self.upload.local))


class Uploads(Protocol):
    """The steps of uploads, of several files at a time: a slow link pays its round trips once. Errors are
    profiles.errors types."""

    @property
    def name(self) -> str: ...

    def look(self, uploads: Sequence[Upload], deadline: Deadline) -> list[int | None]:
        """Make the folders. None for each that has its hash already, else the size of its part, 0 without one."""

    def send(self, pieces: Sequence[Piece], deadline: Deadline) -> list[str | None]:
        """Append each to the bytes of its part before `start`, in a file that nobody else writes to; then rename the
        parts that have their hash: None for those, for others the hash that they have instead, "" for one that somebody
        else took away. Calls `step` of a piece with the bytes of each write."""

    def discard(self, uploads: Sequence[Upload], deadline: Deadline) -> None:
        """Remove their parts."""


def upload(
    device: Uploads,
    uploads: Sequence[Upload],
    *,
    deadline: Deadline,
    progress: Progress,
    allowance: Allowance | None = None,
) -> int:
    """Put files on a device; see Transport.put_all.

    What arrived with another hash is looked at again: what was gone on with may have been another file's, and another
    edgebench may ship the same one at the same time.
    """
    allowance = allowance or Allowance()
    sizes = {one: _checked(one) for one in uploads}
    sent, wrong, todo = 0, "", list(uploads)
    for attempt in range(_ATTEMPTS):
        there = device.look(todo, deadline)
        pieces = [
            Piece(one, _start(found, sizes[one], attempt), sizes[one], progress, allowance)
            for one, found in zip(todo, there, strict=True)
            if found is not None
        ]
        _check_allowed(device, pieces, allowance)
        answers = _send(device, pieces, deadline)
        sent += sum(piece.at - piece.start for piece in pieces)
        todo = [piece.upload for piece, found in zip(pieces, answers, strict=True) if found is not None]
        if not todo:
            return sent
        wrong = next(found for found in answers if found is not None)
        if any(sha256_file(one.local) != one.sha256 for one in todo):
            break
    device.discard(todo, deadline)
    raise _mismatch(device, todo, wrong)


def _check_allowed(device: Uploads, pieces: Sequence[Piece], allowance: Allowance) -> None:
    """Errors: TransferError where sending them is more than may still go over the link; nothing is sent then."""
    wanted, left = sum(piece.size - piece.start for piece in pieces), allowance.left
    if left is not None and wanted > left:
        what = named([piece.upload for piece in pieces])
        message = (
            f"{what} would take {wanted:,} bytes of its link, and {left:,} of max_bytes {allowance.most:,} are left"
        )
        fix = "raise max_bytes, or ship it once over a link that costs nothing: edgebench deploy"
        raise TransferError(message, where=device.name, fix=fix, stage="ship")


def _start(there: int, size: int, attempt: int) -> int:
    """Where to go on. A part that is whole already only has to prove its hash; it has failed at a second attempt."""
    return there if there < size or (there == size and not attempt) else 0


def named(uploads: Sequence[Upload]) -> str:
    """For messages."""
    more = f" and {len(uploads) - 1} more" if len(uploads) > 1 else ""
    return f"{uploads[0].local.name}{more}" if uploads else "nothing"


def _checked(one: Upload) -> int:
    """The size of the local file. Errors: TransferError where there is none; ValueError for a relative path."""
    absolute(one.remote)
    with _opened(one.local) as file:
        return os.fstat(file.fileno()).st_size


def _send(device: Uploads, pieces: Sequence[Piece], deadline: Deadline) -> list[str | None]:
    """`Uploads.send`, after whose failure no part is left."""
    if not pieces:
        return []
    try:
        return device.send(pieces, deadline)
    except TransferError:
        with suppress(TransportError):  # the first error is the one to tell
            device.discard([piece.upload for piece in pieces], deadline)
        raise


def _mismatch(device: Uploads, uploads: Sequence[Upload], wrong: str) -> TransferError:
    for one in uploads:
        if sha256_file(one.local) != one.sha256:
            return TransferError(
                f"{one.local} is damaged: its SHA-256 is not {one.sha256[:16]}…, the one on record",
                where=device.name,
                fix="make it again",
            )
    one, found = uploads[0], f"with SHA-256 {wrong[:16]}… instead of" if wrong else "and was taken away before it had"
    return TransferError(
        f"{one.remote} arrived damaged, {found} {one.sha256[:16]}…",
        where=device.name,
        fix="run it again; if another edgebench ships to the same folder, let it finish first",
    )


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
