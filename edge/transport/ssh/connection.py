"""Opening an SSH connection: TCP, host key, login. Bounded in every step, and stopped from any thread.

The host key is compared here with our own reader of known_hosts, and not by paramiko's SSHClient, whose reader stops
at an `@cert-authority` line, knows no patterns, and asks the server for the first known type of key alone.
"""

from __future__ import annotations

import contextlib
import logging
import math
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from edge.transport.base import Deadline
from edge.transport.ssh import certificates, known_hosts
from edge.transport.ssh.dial import Command, Tcp, Way
from edge.transport.ssh.endpoint import Endpoint
from edge.transport.ssh.errors import hung_up, translated
from edge.transport.ssh.gateways import Gateways
from edge.transport.ssh.known_hosts import HostKey
from edge.transport.ssh.login import login
from profiles.errors import ConnectError, EdgebenchError

if TYPE_CHECKING:
    import paramiko

KEEPALIVE_S = 15

REKEY_BYTES = 1 << 35
"""New keys after 32 GiB, within OpenSSH's own 64 GiB for AES (ssh_config(5), RekeyLimit; RFC 4344). paramiko's 512 MiB
is reached while shipping models, and when the server closes a channel in just that moment paramiko's thread waits for
itself for 30 s (seen with 5.1: after 255 commands that were sent 2 MB each)."""

UNBOUNDED = math.inf
"""For paramiko's own timeouts, which go by the wall clock and fail a call when that jumps: `watch`, which is monotonic,
bounds each call. (Its timer of the handshake is monotonic too.)"""

_FAST_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
_JOIN_S = 2.0
_LEAST_WAIT_S = 0.01
_PAUSES_S = (0.2, 0.5, 1.0, 2.0)
_ECDSA = tuple(f"ecdsa-sha2-nistp{bits}" for bits in (256, 384, 521))
_CERTIFIED = tuple(kind + certificates.SUFFIX for kind in ("ssh-ed25519", *_ECDSA, "rsa-sha2-512", "rsa-sha2-256"))
"""Algorithms of host keys that come with a certificate: asked for where an authority is known."""


class Link:
    """A way to a server and the SSH session on it."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._way: Way | None = None
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
        """Connect and agree on keys; the host key is returned, not judged. `host_keys` are algorithms, best first.

        A server that hangs up before it has said anything is asked again, a few times and each time later: one that is
        logging in too many others does so (sshd_config, MaxStartups).
        """
        logging.getLogger("paramiko").addHandler(logging.NullHandler())  # else its threads print tracebacks
        for pause in _PAUSES_S:
            try:
                return self._open(deadline, host_keys)
            except Exception as error:
                pause *= random.uniform(0.5, 1.5)  # noqa: PLW2901  many that were turned away come at many times
                if not hung_up(error) or self.complaint or self._killed.is_set() or deadline.remaining < pause:
                    raise
            self._end()
            if self._killed.wait(pause):
                raise OSError("closed")
        return self._open(deadline, host_keys)

    def _open(self, deadline: Deadline, host_keys: Sequence[str]) -> HostKey:
        import paramiko

        way = self._dial(deadline)
        self._session = session = paramiko.Transport(way.carrier)
        session.daemon = True
        session.banner_timeout = session.channel_timeout = UNBOUNDED
        session.handshake_timeout = deadline.left()
        session.packetizer.REKEY_BYTES = REKEY_BYTES
        _prefer(session, host_keys)
        if self._killed.is_set():
            raise OSError("closed")
        with watch(deadline, self.kill):
            session.start_client()
            deadline.left()
            key = session.get_remote_server_key()
        self.certificate = key.public_blob.key_blob if key.public_blob else b""
        return HostKey(key.get_name(), key.asbytes())

    @property
    def complaint(self) -> str:
        """What carries the bytes has to say of a failure, "" for nothing."""
        return self._way.complaint() if self._way is not None else ""

    def login(self, deadline: Deadline) -> None:
        with watch(deadline, self.kill):
            login(self.session, self.endpoint, deadline)
        self.session.set_keepalive(KEEPALIVE_S)

    def kill(self) -> None:
        """End it at once; whoever waits on it gets an error. From any thread, repeatedly."""
        self._killed.set()
        self._end()

    def _end(self) -> None:
        way, session = self._way, self._session
        if session is not None:
            session.close()
            session.packetizer.complete_handshake()  # ends a timer that a failed handshake leaves running
        if way is not None:
            way.end()
        if session is not None and session.ident and session is not threading.current_thread():
            session.join(_JOIN_S)

    def _dial(self, deadline: Deadline) -> Way:
        """Errors: ConnectError, Timeout, OSError."""
        endpoint = self.endpoint
        if endpoint.via is not None:
            self._way = GATEWAYS.tunnel(endpoint.via, endpoint, deadline, self._killed)
        elif endpoint.proxy_command is not None:
            self._way = Command(endpoint.proxy_command, endpoint)
        else:
            self._way = tcp = Tcp()
            tcp.open(endpoint, deadline)
        if self._killed.is_set():
            self._way.end()
            raise OSError("closed")
        return self._way


def connect(link: Link, deadline: Deadline) -> None:
    """Open `link` to a host whose key is known, and log in. Errors: ConnectError, HostKeyError, Timeout."""
    endpoint = link.endpoint
    entries = known_hosts.read(endpoint.known_hosts)
    host = endpoint.host_key_name
    known = [name for entry in known_hosts.known_keys(entries, host) for name in _algorithms(entry.key.kind)]
    certified = known_hosts.authorities(entries, host)
    with _ended_on_error(link, deadline):
        key = link.open(deadline, [*(_CERTIFIED if certified else ()), *known])
        certificate = certificates.check(link.certificate, known_hosts.plain_name(host))
        commands = endpoint.trusting(), endpoint.trusting(anew=True)
        known_hosts.verify(entries, host, key, where=endpoint.where, commands=commands, certificate=certificate)
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
    over = threading.Event()

    def guard() -> None:
        while not deadline.passed:
            if over.wait(max(deadline.remaining, _LEAST_WAIT_S)):  # it may stand still with next to nothing left
                return
        stop()

    thread = threading.Thread(target=guard, name="edgebench-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        if thread is not threading.current_thread():
            thread.join(_JOIN_S)


@contextlib.contextmanager
def _ended_on_error(link: Link, deadline: Deadline) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        complaint = link.complaint
        link.kill()
        if not isinstance(error, Exception):
            raise
        if deadline.passed:
            raise deadline.error() from None
        if isinstance(error, EdgebenchError):
            raise
        if complaint:  # a proxy command knows better why nothing came
            told = f"no connection ({complaint})"
            raise ConnectError(told, where=link.endpoint.where, fix="run the command by hand") from None
        raise translated(error, link.endpoint) from None  # whatever a server's bytes made paramiko raise


GATEWAYS: Gateways[Link] = Gateways(Link, connect)
"""Of this process."""


def close_gateways() -> None:
    """End the connections to gateways, which outlive the transports behind them. Repeatedly."""
    GATEWAYS.close()


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
