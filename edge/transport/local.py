"""The device that is this machine: child processes and copied files, with the guarantees of the SSH transport."""

from __future__ import annotations

import errno
import hashlib
import os
import selectors
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from edge.transport import files
from edge.transport.allowance import Allowance
from edge.transport.base import CHUNK, MAX_OUTPUT, Completed, Deadline, closed, program, too_much
from edge.transport.files import Piece, Upload
from profiles.errors import TransferError
from profiles.progress import Progress, silent

_PIPE_WRITE = 65_536


class LocalTransport:
    def __init__(self, name: str = "local") -> None:
        self._name = name
        self._closed = threading.Event()
        self._children: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return self._name

    def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float, max_output: int = MAX_OUTPUT
    ) -> Completed:
        deadline = Deadline(timeout, program(argv), self._name)
        try:
            child = self._start(argv)
        except FileNotFoundError:
            return Completed(127, b"", f"{argv[0]}: not found\n".encode("utf-8", "surrogateescape"))
        except OSError as error:
            return Completed(126, b"", f"{argv[0]}: {error.strerror}\n".encode("utf-8", "surrogateescape"))
        with self._owned(child):
            output = _Conversation(child, stdin, max_output)
            while output.open:
                self._go_on(deadline)
                if not output.exchange(min(deadline.left(), 0.5)):
                    raise too_much(argv, max_output, self._name)
            self._await(child, deadline)
        if self._closed.is_set():
            raise closed(self._name)
        return Completed(child.returncode, bytes(output.stdout), bytes(output.stderr))

    def put(
        self, local: Path, remote: PurePosixPath, *, sha256: str, timeout: float, progress: Progress = silent
    ) -> int:
        return self.put_all([Upload(local, remote, sha256)], timeout=timeout, progress=progress)

    def put_all(
        self,
        uploads: Sequence[Upload],
        *,
        timeout: float,
        progress: Progress = silent,
        allowance: Allowance | None = None,
    ) -> int:
        deadline = Deadline(timeout, f"the upload of {files.named(uploads)}", self._name)
        return files.upload(self, uploads, deadline=deadline, progress=progress, allowance=allowance)

    def get(self, remote: PurePosixPath, local: Path, *, limit: int, timeout: float) -> None:
        files.absolute(remote)
        deadline = Deadline(timeout, f"the download of {remote.name}", self._name)
        with _readable(Path(remote), self._name) as source, files.arriving(local) as target:
            sink = files.Limited(target, limit, remote, self._name)
            for chunk in files.chunks(source, CHUNK):
                self._go_on(deadline)
                sink.write(chunk)

    def close(self) -> None:
        self._closed.set()
        with self._lock:
            children = list(self._children)
        for child in children:
            _kill_group(child)

    def look(self, uploads: Sequence[Upload], deadline: Deadline) -> list[int | None]:
        return [self._look(one, deadline) for one in uploads]

    def _look(self, one: Upload, deadline: Deadline) -> int | None:
        target, part = Path(one.remote), Path(one.part)
        with _translated(one.remote, self._name):
            _make_folder(target.parent)
            if target.is_dir():
                raise TransferError(f"{one.remote} is a folder", where=self._name)
            if target.is_file() and self._hash(target, deadline) == one.sha256:
                return None
            return part.stat().st_size if part.is_file() else 0

    def send(self, pieces: Sequence[Piece], deadline: Deadline) -> list[str | None]:
        return [self._send(piece, deadline) for piece in pieces]

    def _send(self, piece: Piece, deadline: Deadline) -> str | None:
        one, part = piece.upload, Path(piece.upload.part)
        with _translated(one.part, self._name):
            copy = part.with_name(part.name + ".copy")
            copy.unlink(missing_ok=True)
            handle = os.open(copy, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(handle, "wb", buffering=0) as sink:
                self._copy(part, piece.start, sink, deadline)
                copy.replace(part)
                for chunk in piece.pieces(CHUNK):
                    self._go_on(deadline)
                    _write_all(sink, chunk)
                    piece.step(len(chunk))
        with _translated(one.remote, self._name), suppress(FileNotFoundError):
            found = self._hash(part, deadline)
            if found != one.sha256:
                return found
            part.replace(one.remote)
            return None
        return ""

    def _copy(self, part: Path, size: int, sink: BinaryIO, deadline: Deadline) -> None:
        """The first `size` bytes of a part: another process may still write to it."""
        if not size:
            return
        with part.open("rb") as source:
            while size > 0 and (chunk := source.read(min(size, CHUNK))):
                self._go_on(deadline)
                _write_all(sink, chunk)
                size -= len(chunk)

    def discard(self, uploads: Sequence[Upload], deadline: Deadline) -> None:
        del deadline
        for one in uploads:
            Path(one.part).unlink(missing_ok=True)
            Path(f"{one.part}.copy").unlink(missing_ok=True)

    def _start(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closed.is_set():
                raise closed(self._name)
            # A session of its own, so that a timeout can kill all that it started; "/" because a folder of the
            # operator's with a json.py in it must not shadow the standard library of a `python -c`.
            pipe = subprocess.PIPE
            child = subprocess.Popen(
                list(argv), stdin=pipe, stdout=pipe, stderr=pipe, cwd="/", start_new_session=True, bufsize=0
            )
            self._children.add(child)
            return child

    @contextmanager
    def _owned(self, child: subprocess.Popen[bytes]) -> Iterator[None]:
        try:
            yield
        except BaseException:
            _kill_group(child)
            raise
        finally:
            for stream in (child.stdin, child.stdout, child.stderr):
                if stream is not None:
                    stream.close()
            child.wait()
            with self._lock:
                self._children.discard(child)

    def _await(self, child: subprocess.Popen[bytes], deadline: Deadline) -> None:
        try:
            child.wait(deadline.left())
        except subprocess.TimeoutExpired:
            raise deadline.error() from None

    def _go_on(self, deadline: Deadline) -> None:
        deadline.left()
        if self._closed.is_set():
            raise closed(self._name)

    def _hash(self, path: Path, deadline: Deadline) -> str:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                self._go_on(deadline)
                digest.update(chunk)
        return digest.hexdigest()


class _Conversation:
    """Feeds a child's stdin and reads both its outputs at once, so that no pipe fills up and stops it."""

    def __init__(self, child: subprocess.Popen[bytes], stdin: bytes, max_output: int) -> None:
        if not (child.stdin and child.stdout and child.stderr):
            raise ValueError("a child without three pipes")
        self.stdout = bytearray()
        self.stderr = bytearray()
        self._stdin = child.stdin
        self._pending = memoryview(stdin)
        self._max = max_output
        self._streams = {child.stdout.fileno(): self.stdout, child.stderr.fileno(): self.stderr}
        if stdin:
            os.set_blocking(child.stdin.fileno(), False)
        else:
            child.stdin.close()

    @property
    def open(self) -> bool:
        return bool(self._streams)

    def exchange(self, wait: float) -> bool:
        """Move what can be moved within `wait` seconds; False once there is more output than allowed."""
        with selectors.PollSelector() as ready:
            for stream in self._streams:
                ready.register(stream, selectors.EVENT_READ)
            if not self._stdin.closed:
                ready.register(self._stdin.fileno(), selectors.EVENT_WRITE)
            for key, _ in ready.select(wait):
                if key.fd in self._streams:
                    self._read(key.fd)
                else:
                    self._write(key.fd)
        return len(self.stdout) + len(self.stderr) <= self._max

    def _read(self, stream: int) -> None:
        data = os.read(stream, _PIPE_WRITE)
        if data:
            self._streams[stream] += data
        else:
            del self._streams[stream]

    def _write(self, stream: int) -> None:
        try:
            self._pending = self._pending[os.write(stream, self._pending[:_PIPE_WRITE]) :]
        except BrokenPipeError:
            self._pending = self._pending[:0]
        if not self._pending:
            self._stdin.close()


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    if child.returncode is not None:
        return  # reaped: its number may be another process by now
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        child.kill()


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _write_all(sink: BinaryIO, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[sink.write(view) :]


@contextmanager
def _readable(path: Path, where: str) -> Iterator[BinaryIO]:
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise TransferError(f"{path} is no regular file", where=where)
    try:
        file = path.open("rb")
    except OSError as error:
        raise TransferError(f"{path} cannot be read ({error.strerror})", where=where) from None
    with file:
        yield file


@contextmanager
def _translated(path: PurePosixPath, where: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise files.disk_full(path, where) from None
        raise TransferError(f"{path} cannot be written ({error.strerror})", where=where) from None
