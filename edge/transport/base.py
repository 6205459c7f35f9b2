"""The one seam between the controller and a device: run a command, put a file, get a file.

LocalTransport and SSHTransport are siblings behind `Transport`; one contract suite tests both. No call has a default
timeout: none may wait for ever.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol

from profiles.errors import Timeout, TransportError
from profiles.progress import Progress, silent

if TYPE_CHECKING:
    from edge.transport.allowance import Allowance
    from edge.transport.files import Upload

MAX_OUTPUT = 1 << 20
"""Bytes of stdout and stderr together that `run` reads before it gives up on a command."""

CHUNK = 1 << 20


@dataclass(frozen=True)
class Completed:
    """A command that ended. `returncode` is negative when a signal ended it (-1 where its number is not known),
    127 when there is no such program, 126 when it may not be executed."""

    returncode: int
    stdout: bytes
    stderr: bytes

    @property
    def ok(self) -> bool:
        return self.returncode == 0

    @property
    def complaint(self) -> str:
        """The last line of stderr, or else the exit code, for the sentence of an error."""
        lines = self.stderr.decode(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else f"exit code {self.returncode}"


class Transport(Protocol):
    """Every method raises profiles.errors.TransportError (or one of its kinds) and nothing of a third party.

    `timeout` is seconds for the whole call, connecting included. Paths on the device are absolute. Calls may come from
    several threads.
    """

    @property
    def name(self) -> str:
        """The device's name, as messages give it."""

    def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float, max_output: int = MAX_OUTPUT
    ) -> Completed:
        """Run a program to its end. Its working folder is not defined: name files by absolute paths.

        A program that runs past `timeout` is killed where the transport can (locally, with its whole process group);
        over SSH it loses its stdin, stdout and stderr, and may live on.
        Errors: Timeout; TransportError when it prints more than `max_output` bytes.
        """

    def put(
        self,
        local: Path,
        remote: PurePosixPath,
        *,
        sha256: str,
        timeout: float,
        progress: Progress = silent,
    ) -> int:
        """`put_all` of one file."""

    def put_all(
        self,
        uploads: Sequence[Upload],
        *,
        timeout: float,
        progress: Progress = silent,
        allowance: Allowance | None = None,
    ) -> int:
        """Make each a file with its hash, and say how many bytes were sent: 0 when they are there already. What is sent
        is taken from the `allowance`.

        A file arrives as `<name>.part`, is hashed on the device and renamed. A `.part` that a cut upload left is
        resumed, and sent anew when its hash turns out wrong. Folders are made with mode 0700, files with 0600.
        Errors: TransferError, after which no `.part` is left, or where the allowance is too small: then nothing was
        sent; ConnectError and Timeout, after which they stay for the next attempt.
        """

    def get(self, remote: PurePosixPath, local: Path, *, limit: int, timeout: float) -> None:
        """Copy a regular file of at most `limit` bytes to `local`, whose folder exists. On failure nothing is left.
        Errors: TransferError."""

    def close(self) -> None:
        """Give everything back, and make calls under way in other threads fail at once. From any thread, repeatedly."""


class Deadline:
    """The end of a call. `what` is the sentence of the Timeout; `where` the device."""

    def __init__(self, seconds: float, what: str, where: str) -> None:
        if seconds <= 0:
            raise ValueError(f"a timeout of {seconds} s leaves no time")
        self.seconds = seconds
        self._end = time.monotonic() + seconds
        self._stands: float | None = None  # since when
        self._what = what
        self._where = where

    @property
    def passed(self) -> bool:
        return self.remaining <= 0

    @property
    def remaining(self) -> float:
        """Seconds left, 0 when there are none."""
        stands = self._stands
        return max(0.0, self._end - (time.monotonic() if stands is None else stands))

    def left(self) -> float:
        """Seconds left, above 0. Errors: Timeout when there are none."""
        left = self.remaining
        if left <= 0:
            raise self.error()
        return left

    def extend(self, seconds: float) -> None:
        """Later: a pause of ours is not the device's time."""
        self._end += seconds

    @contextmanager
    def paused(self) -> Iterator[None]:
        """It stands still within the block: what the operator takes to answer a question is not the device's time."""
        self._stands = begin = time.monotonic()
        try:
            yield
        finally:
            self._end += time.monotonic() - begin
            self._stands = None

    def error(self) -> Timeout:
        fix = "check that the device is on, its network and its load, then run it again: it goes on from there"
        return Timeout(f"{self._what} did not finish within {self.seconds:g} s", where=self._where, fix=fix)


def quoted(argv: Sequence[str]) -> bytes:
    """`argv` as one line of a POSIX shell: the only place where a command is quoted."""
    check(argv)
    return shlex.join(argv).encode("utf-8", "surrogateescape")


def check(argv: Sequence[str]) -> None:
    """Errors: ValueError for a command that no operating system can take."""
    if isinstance(argv, (str, bytes)) or not argv:
        raise ValueError(f"a command is a list of at least one word, not {argv!r}")
    if any("\0" in word for word in argv):
        raise ValueError("a NUL byte cannot be part of a command")


def program(argv: Sequence[str]) -> str:
    """A short name of a command for messages. Errors: those of `check`."""
    check(argv)
    return PurePosixPath(argv[0]).name or argv[0]


def too_much(argv: Sequence[str], max_output: int, where: str) -> TransportError:
    message = f"{program(argv)} printed more than {max_output:,} bytes and was cut off"
    return TransportError(message, where=where, fix="run it there by hand, and look what it prints")


def closed(where: str) -> TransportError:
    return TransportError("the connection was closed by edgebench while it was in use", where=where)
