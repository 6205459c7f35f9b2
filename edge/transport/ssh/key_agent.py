"""The operator's ssh-agent, asked with a time limit: paramiko's own Agent waits for ever for one that hangs."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

from edge.transport.base import Deadline

if TYPE_CHECKING:
    from collections.abc import Sequence

    import paramiko

LIST_S = 5.0
"""How long it may take to list its keys. To sign with one it has the time of the login: it may ask its owner."""


class KeyAgent:
    """Its keys, none where there is no agent; what is wrong with it goes into `problems`. Close it after the login."""

    def __init__(self, deadline: Deadline, problems: list[str]) -> None:
        self.keys: Sequence[paramiko.AgentKey] = ()
        self._agent: paramiko.agent.AgentSSH | None = None
        self._ask(deadline, problems)

    def _ask(self, deadline: Deadline, problems: list[str]) -> None:
        import paramiko
        from paramiko.agent import AgentSSH, get_agent_connection

        connection = get_agent_connection()
        if connection is None:
            return
        self._agent = agent = AgentSSH()
        connection.settimeout(min(LIST_S, deadline.left() / 2))
        try:
            agent._connect(_Connection(connection))  # type: ignore[attr-defined]  # noqa: SLF001  as paramiko.Agent does
        except (OSError, paramiko.SSHException) as error:
            late = isinstance(error.__cause__, TimeoutError)
            told = "does not answer" if late else f"cannot be asked ({error})"
            problems.append(f"the ssh-agent at {os.environ.get('SSH_AUTH_SOCK')} {told}")
            return
        connection.settimeout(deadline.left() + 1.0)  # whose login it is for tells of it first
        self.keys = agent.get_keys()

    def close(self) -> None:
        if self._agent is not None:
            self._agent._close()  # type: ignore[attr-defined]  # noqa: SLF001  as above


class _Connection:
    """To the agent, whose timeout ends paramiko's thread as any failed login does: it takes an OSError to have a
    number."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, data: bytes) -> int:
        with _as_ssh():
            return self._connection.send(data)

    def recv(self, count: int) -> bytes:
        with _as_ssh():
            return self._connection.recv(count)

    def close(self) -> None:
        self._connection.close()


@contextlib.contextmanager
def _as_ssh() -> Iterator[None]:
    import paramiko

    try:
        yield
    except TimeoutError as error:
        raise paramiko.SSHException("the ssh-agent does not answer") from error
