"""Talking to one command over one channel: feeding it, reading both of its outputs, and its end. Never unbounded."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from edge.transport.base import Deadline

if TYPE_CHECKING:
    import paramiko

Sink = Callable[[bytes], None]

_READ = 1 << 18
_WRITE = 32_000  # fits one packet: OpenSSH takes 32,768 bytes with their headers
_WAIT_FOR_WINDOW_S = 0.01


def converse(channel: paramiko.Channel, stdin: bytes, *, stdout: Sink, stderr: Sink, deadline: Deadline) -> int:
    """Feed `stdin`, pass on what comes out, and return the exit status: -1 for a signal, or a lost connection.

    Both directions move in one loop, so that no full window stops the command. Errors: Timeout, those of the sinks.
    """
    pending = memoryview(stdin)
    if not pending:
        channel.shutdown_write()
    ready = select.poll()
    ready.register(channel.fileno(), select.POLLIN)
    while not _drained(channel, stdout, stderr):
        if pending:
            pending = _feed_some(channel, pending)
        wait = _WAIT_FOR_WINDOW_S if pending else deadline.left()
        ready.poll(min(wait, deadline.left()) * 1000)
    if not channel.status_event.wait(deadline.left()):
        raise deadline.error()
    return channel.recv_exit_status()


def feed(
    channel: paramiko.Channel, pieces: Iterable[bytes], *, step: Callable[[int], None], deadline: Deadline
) -> None:
    """Send `pieces` to a command that prints little; returns early when it stops reading. Errors: Timeout."""
    for piece in pieces:
        view = memoryview(piece)
        while view:
            channel.settimeout(deadline.left())
            sent = _send(channel, view)
            if not sent:
                return
            step(sent)
            view = view[sent:]


def _drained(channel: paramiko.Channel, stdout: Sink, stderr: Sink) -> bool:
    """Pass on what has arrived; True when nothing more will."""
    ended = bool(channel.eof_received or channel.closed)  # asked first: what came before the end is still read below
    while channel.recv_ready():
        stdout(channel.recv(_READ))
    while channel.recv_stderr_ready():
        stderr(channel.recv_stderr(_READ))
    return ended


def _feed_some(channel: paramiko.Channel, pending: memoryview) -> memoryview:
    while pending and channel.send_ready():
        sent = _send(channel, pending)
        pending = pending[sent:] if sent else pending[:0]
    if channel.closed:
        pending = pending[:0]
    if not pending:
        channel.shutdown_write()
    return pending


def _send(channel: paramiko.Channel, data: memoryview) -> int:
    """Bytes sent; 0 when the command reads no more."""
    try:
        return channel.send(bytes(data[:_WRITE]))
    except TimeoutError:
        raise
    except OSError:  # "Socket is closed": the command has ended, and its exit status says why
        return 0
