"""Talking to one command over one channel: feeding it, reading both of its outputs, and its end. Never unbounded."""

from __future__ import annotations

import threading
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
    bell = _Bell(channel)
    while True:
        if pending:
            pending = _feed_some(channel, pending)
        if _drained(channel, stdout, stderr) and not pending:
            break
        left = deadline.left()
        bell.wait(min(_WAIT_FOR_WINDOW_S, left) if pending else left)
        bell.rearm()
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


class _Bell(threading.Event):
    """Rings when there is something to read from either output, or its end.

    Not `select` on the channel: paramiko joins the two outputs without a lock there, and loses a wake-up when one is
    emptied while the other is filled (seen with 5.1: a command that writes 5 MB to both hung).
    """

    def __init__(self, channel: paramiko.Channel) -> None:
        super().__init__()
        channel.in_buffer.set_event(self)
        channel.in_stderr_buffer.set_event(self)

    def clear(self) -> None:
        """paramiko calls this when one of the two is empty: the other need not be."""

    def rearm(self) -> None:
        super().clear()


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
    if channel.closed or channel.exit_status_ready():
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
