"""Opening an SSH connection: TCP, host key, login. Bounded in every step, and stopped from any thread.

The host key is compared here with our own reader of known_hosts, and not by paramiko's SSHClient, whose reader stops
at an `@cert-authority` line, knows no patterns, and asks the server for the first known type of key alone.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from edge import host_certificates, known_hosts
from edge.known_hosts import HostKey
from edge.transport.base import Deadline
from edge.transport.ssh.endpoint import Endpoint
from edge.transport.ssh.errors import translated
from edge.transport.ssh.login import login
from profiles.errors import ConnectError, EdgebenchError

if TYPE_CHECKING:
    import paramiko

KEEPALIVE_S = 15

REKEY_BYTES = 1 << 35
"""New keys after 32 GiB, within OpenSSH's own 64 GiB for AES (ssh_config(5), RekeyLimit; RFC 4344). paramiko's 512 MiB
is reached while shipping models, and when the server closes a channel in just that moment paramiko's thread waits for
itself for 30 s (seen with 5.1: after 255 commands that were sent 2 MB each)."""

_DEAD_PEER_MS = 60_000
_FAST_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
_JOIN_S = 2.0
_ECDSA = tuple(f"ecdsa-sha2-nistp{bits}" for bits in (256, 384, 521))
_CERTIFIED = tuple(kind + host_certificates.SUFFIX for kind in ("ssh-ed25519", *_ECDSA, "rsa-sha2-512", "rsa-sha2-256"))
"""Algorithms of host keys that come with a certificate: asked for where an authority is known."""


class Link:
    """A TCP connection and the SSH session on it."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._socket: socket.socket | None = None
        self._session: paramiko.Transport | None = None
        self._killed = threading.Event()
        self.certificate = b""  # that the host key came with

    @property
    def session(self) -> paramiko.Transport:
        if self._session is None:
            raise ConnectError("is not connected", where=self.endpoint.where)
        return self._session

    @property
    def alive(self) -> bool:
        return self._session is not None and self._session.is_active() and self._session.saved_exception is None

    def open(self, deadline: Deadline, host_keys: Sequence[str] = ()) -> HostKey:
        """Connect and agree on keys; the host key is returned, not judged. `host_keys` are algorithms, best first."""
        import paramiko

        logging.getLogger("paramiko").addHandler(logging.NullHandler())  # else its threads print tracebacks
        connection = self._dial(deadline)
        self._session = session = paramiko.Transport(connection)
        session.daemon = True
        session.banner_timeout = session.handshake_timeout = deadline.left()
        session.packetizer.REKEY_BYTES = REKEY_BYTES
        _prefer(session, host_keys)
        if self._killed.is_set():
            raise OSError("closed")
        with watch(deadline, self.kill):
            session.start_client(timeout=deadline.left())
            deadline.left()
            key = session.get_remote_server_key()
        self.certificate = key.public_blob.key_blob if key.public_blob else b""
        return HostKey(key.get_name(), key.asbytes())

    def login(self, deadline: Deadline) -> None:
        with watch(deadline, self.kill):
            login(self.session, self.endpoint, deadline)
        self.session.set_keepalive(KEEPALIVE_S)

    def kill(self) -> None:
        """End it at once; whoever waits on it gets an error. From any thread, repeatedly."""
        self._killed.set()
        connection, session = self._socket, self._session
        if session is not None:
            session.close()
            session.packetizer.complete_handshake()  # ends a timer that a failed handshake leaves running
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits on it; close alone does not
            connection.close()
        if session is not None and session.ident and session is not threading.current_thread():
            session.join(_JOIN_S)

    def _dial(self, deadline: Deadline) -> socket.socket:
        addresses = _addresses(self.endpoint, deadline)
        errors: list[OSError] = []
        for number, (family, address) in enumerate(addresses):
            self._socket = connection = socket.socket(family, socket.SOCK_STREAM)
            try:
                connection.settimeout(deadline.left() / (len(addresses) - number))
                if self._killed.is_set():
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
                return connection
        deadline.left()
        raise errors[0]


def connect(link: Link, deadline: Deadline) -> None:
    """Open `link` to a host whose key is known, and log in. Errors: ConnectError, HostKeyError, Timeout."""
    endpoint = link.endpoint
    entries = known_hosts.read(endpoint.known_hosts)
    host = endpoint.host_key_name
    known = [name for entry in known_hosts.known_keys(entries, host) for name in _algorithms(entry.key.kind)]
    certified = known_hosts.authorities(entries, host)
    with _ended_on_error(link, deadline):
        key = link.open(deadline, [*(_CERTIFIED if certified else ()), *known])
        certificate = host_certificates.check(link.certificate, known_hosts.plain_name(host))
        known_hosts.verify(entries, host, key, certificate=certificate, where=endpoint.where, device=endpoint.name)
        link.login(deadline)


def fetch_host_keys(endpoint: Endpoint, *, timeout: float) -> tuple[HostKey, ...]:
    """Every host key of the server, by one connection for each type and without logging in; `timeout` is for all.

    Errors: ConnectError, Timeout.
    """
    import paramiko

    deadline = Deadline(timeout, "fetching the host keys", endpoint.where)
    keys: list[HostKey] = []
    refusal: Exception | None = None
    for algorithms in (("ssh-ed25519",), *((kind,) for kind in _ECDSA), _algorithms("ssh-rsa")):
        link = Link(endpoint)
        with _ended_on_error(link, deadline):
            try:
                keys.append(link.open(deadline, (*algorithms, "only")))
            except paramiko.SSHException as error:
                if not isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
                    raise
                refusal = error
            finally:
                link.kill()
    if not keys and refusal is not None:
        raise translated(refusal, endpoint)
    return tuple(keys)


@contextlib.contextmanager
def watch(deadline: Deadline, stop: Callable[[], None]) -> Iterator[None]:
    """Calls `stop` when the deadline passes inside the block: paramiko has calls that take no timeout."""
    timer = threading.Timer(deadline.left(), stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join(_JOIN_S)


@contextlib.contextmanager
def _ended_on_error(link: Link, deadline: Deadline) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        link.kill()
        if not isinstance(error, Exception):
            raise
        if deadline.passed:
            raise deadline.error() from None
        if isinstance(error, EdgebenchError):
            raise
        raise translated(error, link.endpoint) from None  # whatever a server's bytes made paramiko raise


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
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: a peer that acknowledges nothing for so long is gone
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_PEER_MS)


def _prefer(session: paramiko.Transport, host_keys: Sequence[str]) -> None:
    options = session.get_security_options()
    fast = [name for name in _FAST_CIPHERS if name in options.ciphers]
    options.ciphers = (*fast, *(name for name in options.ciphers if name not in fast))
    usable = (*_CERTIFIED, *options.key_types)
    wanted = [name for name in dict.fromkeys(host_keys) if name in usable]
    others = [] if "only" in host_keys else [name for name in options.key_types if name not in wanted]
    options.key_types = (*wanted, *others)


def _algorithms(kind: str) -> tuple[str, ...]:
    """An RSA key signs by SHA-2 today, under other names than its own."""
    return ("rsa-sha2-512", "rsa-sha2-256") if kind == "ssh-rsa" else (kind,)
