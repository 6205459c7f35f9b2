"""SSHTransport: one connection, reused by every call, made at the first one and made again after it was lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from edge.transport import files
from edge.transport.allowance import Allowance
from edge.transport.base import CHUNK, MAX_OUTPUT, Completed, Deadline, closed, program, quoted, too_much
from edge.transport.files import Piece, Upload
from edge.transport.pace import Pace
from edge.transport.ssh.channel import Sink, converse, feed
from edge.transport.ssh.connection import Link, connect, watch
from edge.transport.ssh.endpoint import Endpoint
from edge.transport.ssh.errors import lost, translated
from profiles.errors import EdgebenchError, Timeout, TransferError, TransportError
from profiles.progress import Progress, silent

if TYPE_CHECKING:
    import paramiko

_NO_SPACE = (b"No space left on device", b"Disk quota exceeded")
_WRONG_KIND, _TAKEN = 65, 66
_AT_ONCE = 64
"""Files that one command takes: its words have to fit into one of 128 KiB."""

# Scripts for a POSIX shell; their words come as arguments, never as text. Exit codes of our own are 64 and above.
# Few processes: on a small board each costs more than the file that it is for.
_LOOK = """\
export LC_ALL=C; umask 077; while [ $# -ge 4 ]; do [ -d "$1" ] || mkdir -p -- "$1" || exit 64; \
if [ -d "$2" ]; then exit 65; \
elif [ -f "$2" ] && s=$(sha256sum < "$2") && [ "${s%% *}" = "$4" ]; then echo eb:present; \
elif [ -f "$3" ]; then n=$(wc -c < "$3") && echo eb:$((n)); else echo eb:0; fi; shift 4; done"""
# A part that is gone on with becomes another file first: the session that began it may still live, and write late.
_SEND = """\
export LC_ALL=C; umask 077; n=$1; shift; i=0; want=; nl=$(printf '\\nx'); nl=${nl%x}; \
while [ $i -lt $n ]; do \
if [ "$4" = 0 ]; then rm -f -- "$1" "$1.copy" || exit 64; \
elif rm -f -- "$1.copy" && head -c "$4" < "$1" > "$1.copy"; then mv -f -- "$1.copy" "$1" || exit 64; \
else rm -f -- "$1.copy"; fi; i=$((i + 1)); \
if [ $i -lt $n ]; then head -c "$2" >> "$1"; else cat >> "$1"; fi || exit 64; \
want="$want $3"; set -- "$@" "$1"; shift 4; done; \
for part do [ -f "$part" ] || exit 66; done; sums=$(sha256sum -- "$@") || exit 64; \
for part do s=${sums%% *}; \
s=${s#\\\\}; sums=${sums#*"$nl"}; want=${want# }; w=${want%% *}; want=${want#"$w"}; \
if [ "$s" != "$w" ]; then echo "eb:$s"; elif mv -f -- "$part" "${part%.part}"; then echo eb:stored; \
elif [ -f "$part" ]; then exit 64; else exit 66; fi; done"""
_READ = """\
export LC_ALL=C; if [ -L "$1" ] || { [ -e "$1" ] && [ ! -f "$1" ]; }; then exit 65; fi; exec cat -- "$1\""""


class SSHTransport:
    """Calls may run side by side on the one connection. One that runs past its timeout ends the connection, for the
    others too: whether the server or the command hangs cannot be told apart. The next call connects anew."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._closed = threading.Event()
        self._connecting = threading.Lock()
        self._pace = Pace(endpoint.bandwidth)
        self._link: Link | None = None

    @property
    def name(self) -> str:
        return self._endpoint.name

    def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float, max_output: int = MAX_OUTPUT
    ) -> Completed:
        return self._run(argv, stdin, Deadline(timeout, program(argv), self._endpoint.where), max_output)

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
        deadline = Deadline(timeout, f"the upload of {files.named(uploads)}", self._endpoint.where)
        return sum(
            files.upload(self, uploads[at : at + _AT_ONCE], deadline=deadline, progress=progress, allowance=allowance)
            for at in range(0, len(uploads), _AT_ONCE)
        )

    def get(self, remote: PurePosixPath, local: Path, *, limit: int, timeout: float) -> None:
        files.absolute(remote)
        deadline = Deadline(timeout, f"the download of {remote.name}", self._endpoint.where)
        argv = _script(_READ, str(remote))
        output = _Output(MAX_OUTPUT, too_much(argv, MAX_OUTPUT, self._endpoint.where))
        with files.arriving(local) as target:
            sink = files.Limited(target, limit, remote, self.name)

            def take(data: bytes) -> None:
                sink.write(data)
                self._pace.spend(len(data), deadline, self._closed)

            with self._command(argv, deadline, self._pace.window) as command:
                status = command.end(b"", take, output.err)
            if status == _WRONG_KIND:
                raise TransferError(f"{remote} is no regular file", where=self.name)
            if status:
                complaint = Completed(status, b"", bytes(output.stderr)).complaint
                raise TransferError(f"{remote} cannot be read ({complaint})", where=self.name)

    def close(self) -> None:
        self._closed.set()
        link = self._link
        if link is not None:
            link.kill()

    def look(self, uploads: Sequence[Upload], deadline: Deadline) -> list[int | None]:
        words = [(str(one.remote.parent), str(one.remote), str(one.part), one.sha256) for one in uploads]
        done = self._run(_script(_LOOK, *chain.from_iterable(words)), b"", deadline)
        answers = _answers(done)
        if not done.ok:
            remote = uploads[min(len(answers), len(uploads) - 1)].remote
            if done.returncode == _WRONG_KIND:
                raise TransferError(f"{remote} is a folder", where=self.name)
            raise self._unwritable(remote, done)
        if len(answers) != len(uploads) or not all(one == "present" or one.isdecimal() for one in answers):
            raise self._not_understood()
        return [None if answer == "present" else int(answer) for answer in answers]

    def send(self, pieces: Sequence[Piece], deadline: Deadline) -> list[str | None]:
        words = [(str(one.upload.part), str(one.size - one.start), one.upload.sha256, str(one.start)) for one in pieces]
        argv = _script(_SEND, str(len(pieces)), *chain.from_iterable(words))
        output = _Output(MAX_OUTPUT, too_much(argv, MAX_OUTPUT, self._endpoint.where))
        under_way = pieces[0]

        def everything() -> Generator[bytes, None, None]:
            nonlocal under_way
            for under_way in pieces:
                yield from under_way.pieces(CHUNK)

        def count(sent: int) -> None:
            under_way.step(sent)
            self._pace.spend(sent, deadline, self._closed)

        with closing(everything()) as data, self._command(argv, deadline) as command:
            try:
                command.feed(data, count)
            except TransferError:  # of ours: what is under way there ends first, or it would outlive its removal
                with suppress(TransportError):
                    command.end(b"", output.out, output.err)
                raise
            status = command.end(b"", output.out, output.err)
        done = Completed(status, bytes(output.stdout), bytes(output.stderr))
        answers = _answers(done)
        if status == _TAKEN:
            return [*(None if answer == "stored" else answer for answer in answers), *[""] * len(pieces)][: len(pieces)]
        if status:
            failed = pieces[min(len(answers), len(pieces) - 1)] if answers else under_way
            raise self._unwritable(failed.upload.remote, done)
        if len(answers) != len(pieces):
            raise self._not_understood()
        return [None if answer == "stored" else answer for answer in answers]

    def discard(self, uploads: Sequence[Upload], deadline: Deadline) -> None:
        left = (name for one in uploads for name in (str(one.part), f"{one.part}.copy"))
        self._run(["rm", "-f", "--", *left], b"", deadline)

    def _run(self, argv: Sequence[str], stdin: bytes, deadline: Deadline, max_output: int = MAX_OUTPUT) -> Completed:
        output = _Output(max_output, too_much(argv, max_output, self._endpoint.where))
        with self._command(argv, deadline) as command:
            status = command.end(stdin, output.out, output.err)
        return Completed(status, bytes(output.stdout), bytes(output.stderr))

    @contextmanager
    def _command(self, argv: Sequence[str], deadline: Deadline, window: int | None = None) -> Iterator[_Command]:
        """A command that runs on a channel of its own; what goes wrong in the block comes out as an error of ours."""
        line = quoted(argv)
        link = self._connected(deadline)
        with self._failing_cleanly(link, deadline), watch(deadline, link.kill):
            channel = link.session.open_session(window_size=window)
            try:
                channel.exec_command(line)
                yield _Command(channel, link, deadline)
            finally:
                channel.close()

    def _connected(self, deadline: Deadline) -> Link:
        """The connection that is there, or a new one; who comes while one is being made waits for it."""
        if not self._connecting.acquire(timeout=deadline.left()):
            raise deadline.error()
        try:
            if self._link is None or not self._link.alive:
                self._drop()
                self._link = link = Link(self._endpoint)
                self._refuse_when_closed()
                patience = min(self._endpoint.connect_timeout, deadline.left())
                with self._failing_cleanly(link, deadline):
                    connect(link, Deadline(patience, "connecting", self._endpoint.where))
            return self._link
        finally:
            self._connecting.release()

    @contextmanager
    def _failing_cleanly(self, link: Link, deadline: Deadline) -> Iterator[None]:
        try:
            yield
        except EdgebenchError as error:
            self._refuse_when_closed()
            if isinstance(error, Timeout):
                link.kill()
                raise
            if deadline.passed:
                link.kill()
                raise deadline.error() from None
            raise
        except Exception as error:  # noqa: BLE001 - paramiko raises again what a server's bytes made its thread raise
            self._refuse_when_closed()
            if deadline.passed:
                link.kill()
                raise deadline.error() from None
            raise (translated(error, self._endpoint) if link.alive else lost(self._endpoint, error)) from None

    def _refuse_when_closed(self) -> None:
        if self._closed.is_set():
            self._drop()
            raise closed(self._endpoint.where) from None

    def _drop(self) -> None:
        link = self._link
        if link is not None:
            link.kill()

    def _not_understood(self) -> TransferError:
        fix = "let what its shell reads at the start (such as ~/.bashrc) print nothing"
        return TransferError("what the device answered to an upload is not understood", where=self.name, fix=fix)

    def _unwritable(self, path: PurePosixPath, done: Completed) -> TransferError:
        if any(sign in done.stderr for sign in _NO_SPACE):
            return files.disk_full(path, self.name)
        return TransferError(f"{path} cannot be written ({done.complaint})", where=self.name)


class _Command:
    """One command under way."""

    def __init__(self, channel: paramiko.Channel, link: Link, deadline: Deadline) -> None:
        self._channel = channel
        self._link = link
        self._deadline = deadline

    def feed(self, pieces: Iterable[bytes], step: Callable[[int], None]) -> None:
        feed(self._channel, pieces, step=step, deadline=self._deadline)

    def end(self, stdin: bytes, stdout: Sink, stderr: Sink) -> int:
        """Its exit status; -1 when a signal ended it. Errors: ConnectError when the connection ended first."""
        status = converse(self._channel, stdin, stdout=stdout, stderr=stderr, deadline=self._deadline)
        if status == -1 and not self._link.alive:
            raise lost(self._link.endpoint)
        return status


class _Output:
    """Both outputs of a command, with one limit in bytes for the two together."""

    def __init__(self, limit: int, error: TransportError) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self._limit = limit
        self._error = error

    def out(self, data: bytes) -> None:
        self._take(data, self.stdout)

    def err(self, data: bytes) -> None:
        self._take(data, self.stderr)

    def _take(self, data: bytes, into: bytearray) -> None:
        if len(self.stdout) + len(self.stderr) + len(data) > self._limit:
            raise self._error
        into += data


def _script(script: str, *words: str) -> list[str]:
    return ["sh", "-c", script, "sh", *words]


def _answers(done: Completed) -> list[str]:
    """What our script printed: a login shell may have talked before it."""
    words = done.stdout.decode(errors="replace").split()
    return [word.removeprefix("eb:") for word in words if word.startswith("eb:")]
