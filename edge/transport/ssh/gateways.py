"""Gateways (bastions, jump hosts): one authenticated connection to each, shared by all devices behind it.

So forty devices behind one bastion cost it one connection, one login, and its operator one prompt.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from edge.transport.base import Deadline
from edge.transport.ssh import prompts
from edge.transport.ssh.dial import Tunnel
from edge.transport.ssh.endpoint import Endpoint
from profiles.errors import ConnectError

if TYPE_CHECKING:
    import paramiko

_STEP_S = 0.05
_ANSWER_S = 5.0
_OPENING_S = 600.0  # longer than a gateway takes to find out that a host is off
_PROHIBITED, _FAILED = 1, 2  # RFC 4254, 5.1: reasons why a channel is not opened


class Connection(Protocol):
    """A Link, as far as this file needs it."""

    @property
    def session(self) -> paramiko.Transport: ...
    @property
    def alive(self) -> bool: ...
    def kill(self) -> None: ...


C = TypeVar("C", bound=Connection)


class _Attempt(Generic[C]):
    """A connection on its way, made by a thread of its own: who waits for it may leave, and others still get it."""

    def __init__(self, link: C, connect: Callable[[], None]) -> None:
        self.link = link
        self.done = threading.Event()
        self.error: Exception | None = None
        threading.Thread(target=self._make, args=(connect,), name="edgebench-gateway", daemon=True).start()

    @property
    def usable(self) -> bool:
        """Whether it may be waited for, or used."""
        return not self.done.is_set() or (self.error is None and self.link.alive)

    def _make(self, connect: Callable[[], None]) -> None:
        try:
            connect()
        except Exception as error:  # noqa: BLE001  told by each thread that waits
            self.error = error
        self.done.set()


class Gateways(Generic[C]):
    """`make` gives an unconnected connection to a gateway, `connect` opens it and logs in."""

    def __init__(self, make: Callable[[Endpoint], C], connect: Callable[[C, Deadline], None]) -> None:
        self._make = make
        self._connect = connect
        self._lock = threading.Lock()
        self._attempts: dict[Endpoint, _Attempt[C]] = {}

    def tunnel(self, gateway: Endpoint, target: Endpoint, deadline: Deadline, stopped: threading.Event) -> Tunnel:
        """A way to the target's host and port, as the gateway sees them. `stopped` ends the wait.

        Errors: ConnectError that says whether the gateway or the way from it failed; Timeout; OSError when stopped.
        """
        link = self._connected(gateway, deadline, stopped)
        opening = _Opening(link, target)
        try:
            _wait(opening.done.wait, deadline, stopped)
        except BaseException:
            opening.abandon()
            if deadline.passed and not _answers(link):  # a host behind it may be off: that is no fault of the gateway
                link.kill()
            raise
        if opening.channel is None:
            raise _refused(opening.error, gateway, target)
        return Tunnel(opening.channel)

    def close(self) -> None:
        """End every connection, those that are being made as well. Repeatedly; a later `tunnel` connects anew."""
        with self._lock:
            attempts = list(self._attempts.values())
            self._attempts.clear()
        for attempt in attempts:
            attempt.link.kill()

    def _connected(self, endpoint: Endpoint, deadline: Deadline, stopped: threading.Event) -> C:
        """The connection that is there, or a new one; who comes while one is being made waits for it."""
        with self._lock:
            attempt = self._attempts.get(endpoint)
            if attempt is None or not attempt.usable:
                if attempt is not None:
                    attempt.link.kill()
                attempt = self._attempts[endpoint] = self._begin(endpoint)
        _wait(attempt.done.wait, deadline, stopped)
        if attempt.error is not None:
            raise copy.copy(attempt.error)
        return attempt.link

    def _begin(self, endpoint: Endpoint) -> _Attempt[C]:
        link = self._make(endpoint)
        deadline = Deadline(endpoint.connect_timeout, "connecting", endpoint.where)
        return _Attempt(link, lambda: self._connect(link, deadline))


class _Opening:
    """A channel that a thread of its own opens: paramiko's call cannot be stopped."""

    def __init__(self, link: Connection, target: Endpoint) -> None:
        self.done = threading.Event()
        self.channel: paramiko.Channel | None = None
        self.error: Exception | None = None
        self._lock = threading.Lock()
        self._abandoned = False
        threading.Thread(target=self._open, args=(link, target), name="edgebench-tunnel", daemon=True).start()

    def abandon(self) -> None:
        """What may still come of it is closed."""
        with self._lock:
            self._abandoned = True
            if self.channel is not None:
                self.channel.close()

    def _open(self, link: Connection, target: Endpoint) -> None:
        try:
            place = (target.host, target.port)
            channel = link.session.open_channel("direct-tcpip", place, ("127.0.0.1", 0), timeout=_OPENING_S)
        except Exception as error:  # noqa: BLE001  told by the thread that waits
            self.error = error
        else:
            with self._lock:
                self.channel = channel
                if self._abandoned:
                    channel.close()
        self.done.set()


def _wait(ready: Callable[[float], bool], deadline: Deadline, stopped: threading.Event) -> None:
    """Errors: Timeout; OSError when it was stopped. While somebody is being asked for a passphrase the clock stands."""
    while not ready(min(_STEP_S, deadline.left())):
        if stopped.is_set():
            raise OSError("closed")
        if prompts.asking():
            deadline.extend(_STEP_S)


def _answers(link: Connection) -> bool:
    """Whether the other end is there: it answers a request that it does not know, too."""
    done = threading.Event()

    def ask() -> None:
        link.session.global_request("keepalive@openssh.com", wait=True)
        done.set()

    threading.Thread(target=ask, name="edgebench-keepalive", daemon=True).start()
    return done.wait(_ANSWER_S) and link.alive


def _refused(error: Exception | None, gateway: Endpoint, target: Endpoint) -> ConnectError:
    code, text = getattr(error, "code", 0), getattr(error, "text", "") or str(error)
    place, of_gateway = f"{target.host}:{target.port}", f"the gateway {gateway.address}"
    if code == _PROHIBITED:
        what, fix = f"{of_gateway} may not forward to {place}", "allow it there (sshd_config, AllowTcpForwarding)"
    elif code == _FAILED:
        what = f"{of_gateway} does not reach {place}"
        fix = "check that the device is on, and that its address is right as the gateway sees it"
    else:
        what, fix = f"the connection to {of_gateway} was lost", "run it again: it goes on from there"
    return ConnectError(f"{what} ({text})", where=target.where, fix=fix)
