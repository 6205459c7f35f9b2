"""Every exception that paramiko has is translated."""

from __future__ import annotations

import errno
import inspect
import socket
from pathlib import Path

import paramiko
import paramiko.ssh_exception
import pytest

from edge.transport.ssh import Endpoint
from edge.transport.ssh.errors import BY_NAME, translated
from profiles.errors import ConnectError, Timeout, TransportError

ENDPOINT = Endpoint("orin-1", "10.0.0.21", 22, "nvidia", (), False, (), Path("known_hosts"), "10.0.0.21")


def _exceptions() -> list[type[BaseException]]:
    modules = (paramiko.ssh_exception, paramiko)
    found = {item for module in modules for _, item in inspect.getmembers(module, inspect.isclass)}
    return sorted((item for item in found if issubclass(item, BaseException)), key=lambda item: item.__name__)


@pytest.mark.parametrize("kind", _exceptions(), ids=lambda kind: kind.__name__)
def test_each_of_paramiko_has_its_sentence(kind: type[BaseException]) -> None:
    assert kind.__name__ in BY_NAME, f"edge.transport.ssh.errors does not know {kind}"


@pytest.mark.parametrize("name", BY_NAME)
def test_each_sentence_says_where(name: str) -> None:
    error = BY_NAME[name](OSError("why"), ENDPOINT)
    assert isinstance(error, TransportError)
    assert error.where == "orin-1 (nvidia@10.0.0.21:22)"


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (socket.gaierror(socket.EAI_NONAME, "no"), ConnectError, "cannot be resolved"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "no"), ConnectError, "nothing listens"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), ConnectError, "connection was lost"),
        (OSError(errno.EHOSTUNREACH, "no"), ConnectError, "no route"),
        (OSError(errno.EPERM, "not permitted"), ConnectError, "not permitted"),
        (TimeoutError(), Timeout, "no answer"),
        (EOFError(), ConnectError, "connection was lost"),
        (paramiko.ChannelException(1, "Administratively prohibited"), ConnectError, "opened no session"),
        (RuntimeError("odd"), TransportError, "RuntimeError: odd"),
    ],
)
def test_what_becomes_of_it(error: Exception, kind: type[TransportError], says: str) -> None:
    ours = translated(error, ENDPOINT)
    assert type(ours) is kind
    assert says in str(ours)
