"""The way to a server: TCP, a channel through a gateway, or a program that carries the bytes. Each is a socket to what
speaks SSH over it, and each ends when it is told to."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import threading
from typing import TYPE_CHECKING, Any, Protocol, cast

from edge.transport.base import Deadline
from edge.transport.ssh.endpoint import Endpoint
from profiles.errors import ConnectError

if TYPE_CHECKING:
    import paramiko

_DEAD_PEER_MS = 60_000
_ASK_PEER_S = 15
_END_S = 2.0


class Way(Protocol):
    """An open way. `carrier` is what paramiko.Transport takes."""

    @property
    def carrier(self) -> socket.socket | paramiko.Channel: ...

    def end(self) -> None:
        """Close it, so that a thread that waits on it wakes up. From any thread, repeatedly."""

    def complaint(self) -> str:
        """What it has to say of a failure, "" for nothing."""


class Tcp:
    """A TCP connection, tried at every address of the host in turn."""

    def __init__(self) -> None:
        self.carrier = socket.socket()
        self._ended = threading.Event()

    def open(self, endpoint: Endpoint, deadline: Deadline) -> None:
        """Errors: OSError, Timeout."""
        addresses = _addresses(endpoint, deadline)
        errors: list[OSError] = []
        for number, (family, address) in enumerate(addresses):
            self.carrier.close()
            self.carrier = connection = socket.socket(family, socket.SOCK_STREAM)
            try:
                connection.settimeout(deadline.left() / (len(addresses) - number))
                if self._ended.is_set():
                    raise OSError("closed")
                connection.connect(address)
                _notice_dead_peers(connection)
            except OSError as error:
                connection.close()
                errors.append(error)
            except BaseException:
                connection.close()
                raise
            else:
                return
        deadline.left()
        raise errors[0]

    def end(self) -> None:
        self._ended.set()
        with contextlib.suppress(OSError):
            self.carrier.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits on it; close alone does not
        self.carrier.close()

    def complaint(self) -> str:
        return ""


class Command:
    """ProxyCommand of ~/.ssh/config: its standard input and output are the connection. As with ssh, it is the
    operator's own text and a shell runs it."""

    def __init__(self, command: str, endpoint: Endpoint) -> None:
        self.carrier, theirs = socket.socketpair()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as the command
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._said,
                start_new_session=True,
            )
        except OSError as error:
            self.carrier.close()
            self._said.close()
            raise ConnectError(f"ProxyCommand cannot be started ({error.strerror})", where=endpoint.where) from None
        finally:
            theirs.close()

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self.carrier.shutdown(socket.SHUT_RDWR)
        self.carrier.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_S)
                break
        self._said.close()

    def complaint(self) -> str:
        """Its last line on stderr, or how it ended."""
        if self._said.closed:
            return ""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.2)
        size = os.fstat(self._said.fileno()).st_size
        text = os.pread(self._said.fileno(), 2000, max(0, size - 2000))
        lines = text.decode("utf-8", "replace").strip().splitlines()
        code = self._process.poll()
        ended = "" if code in (None, 0) else f"it ended with status {code}"
        return "ProxyCommand: " + (lines[-1][:300] if lines else ended) if lines or ended else ""


class _Quiet:
    """A channel whose end is quiet: paramiko closes what carries a session in its own thread too, and tells the other
    side so, over a connection that may be gone with any of paramiko's errors."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._channel.close()


class Tunnel:
    """A channel of a gateway's connection, which others use at the same time."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self.carrier = cast("paramiko.Channel", _Quiet(channel))

    def end(self) -> None:
        self.carrier.close()

    def complaint(self) -> str:
        return ""


def _addresses(endpoint: Endpoint, deadline: Deadline) -> list[tuple[int, tuple[object, ...]]]:
    """The name resolved, in a thread of its own: getaddrinfo takes no timeout and cannot be stopped."""
    found: list[tuple[int, tuple[object, ...]]] = []
    failed: list[OSError] = []
    done = threading.Event()

    def ask() -> None:
        try:
            for family, _, _, _, address in socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM):
                found.append((family, address))
        except OSError as error:
            failed.append(error)
        except UnicodeError:  # a name with an empty or overlong label
            failed.append(socket.gaierror(socket.EAI_NONAME, "not a host name"))
        done.set()

    thread = threading.Thread(target=ask, name="edgebench-resolve", daemon=True)
    thread.start()
    if not done.wait(deadline.left()):
        raise deadline.error()
    thread.join()
    if failed:
        raise failed[0]
    return found


def _notice_dead_peers(connection: socket.socket) -> None:
    """The kernel asks, by a clock that does not jump: paramiko's own keepalive goes by the wall clock."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), _ASK_PEER_S)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: a peer that acknowledges nothing for so long is gone
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_PEER_MS)
