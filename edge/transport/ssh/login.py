"""Logging in by key: the files that were named, the agent, OpenSSH's default files. Passwords are never asked for."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from edge.known_hosts import HostKey
from edge.transport.base import Deadline
from edge.transport.ssh.endpoint import Endpoint
from profiles.errors import ConnectError

if TYPE_CHECKING:
    import paramiko


def login(session: paramiko.Transport, endpoint: Endpoint, deadline: Deadline) -> None:
    """Errors: ConnectError that names the user, the keys that were tried and those that could not be; paramiko's."""
    import paramiko

    tried: list[str] = []
    problems: list[str] = []
    with closing(paramiko.Agent()) as agent:
        for label, key in _candidates(endpoint, agent, problems):
            session.auth_timeout = deadline.left()
            tried.append(label)
            try:
                still_needed = session.auth_publickey(endpoint.user, key)
            except paramiko.BadAuthenticationType:
                raise
            except paramiko.AuthenticationException:
                deadline.left()
                if not session.is_active():  # too many keys for its MaxAuthTries
                    break
                continue
            if still_needed:
                raise paramiko.ssh_exception.PartialAuthentication(still_needed)
            return
    raise _refused(endpoint, tried, problems)


def _candidates(endpoint: Endpoint, agent: paramiko.Agent, problems: list[str]) -> Iterator[tuple[str, paramiko.PKey]]:
    files = _from_files(endpoint, problems)
    from_agent = _from_agent(endpoint, agent)
    if endpoint.own_keys:
        yield from files
        yield from from_agent
    else:
        yield from from_agent
        yield from files


def _from_agent(endpoint: Endpoint, agent: paramiko.Agent) -> Iterator[tuple[str, paramiko.PKey]]:
    named = {_public_blob(path) for path in endpoint.keys}
    for key in agent.get_keys():
        if not endpoint.agent_only_for_keys or key.asbytes() in named:
            yield f"{HostKey(key.get_name(), key.asbytes())} of the agent", key


def _from_files(endpoint: Endpoint, problems: list[str]) -> Iterator[tuple[str, paramiko.PKey]]:
    for path in endpoint.keys:
        key = _load(path, endpoint, problems)
        if key is not None:
            yield str(path), key


def _load(path: Path, endpoint: Endpoint, problems: list[str]) -> paramiko.PKey | None:
    import paramiko

    try:
        return paramiko.PKey.from_path(path)
    except OSError as error:
        if endpoint.own_keys:
            problems.append(f"the key file {path} cannot be read ({error.strerror})")
    except (TypeError, paramiko.PasswordRequiredException):
        problems.append(f"the key {path} needs a passphrase (ssh-add {path})")
    except Exception as error:  # noqa: BLE001 - a key file is foreign input, and its readers raise what they like
        problems.append(f"the key file {path} cannot be understood ({error})")
    return None


def _public_blob(path: Path) -> bytes:
    """The public half beside a key, which says which key of the agent is meant; empty without one."""
    try:
        return base64.b64decode(path.with_name(path.name + ".pub").read_text(encoding="utf-8").split()[1])
    except (OSError, UnicodeDecodeError, IndexError, binascii.Error):
        return b""


def _refused(endpoint: Endpoint, tried: list[str], problems: list[str]) -> ConnectError:
    copy = f"ssh-copy-id -p {endpoint.port} {endpoint.user}@{endpoint.host}"
    if not tried and not problems:
        return ConnectError(
            f"there is no key to log in with as {endpoint.user}",
            where=endpoint.where,
            fix=f"set key in fleet.toml or start an ssh-agent, and let the device know the key: {copy}",
        )
    facts = [f"keys tried: {', '.join(tried)}"] if tried else []
    return ConnectError(
        f"the login as {endpoint.user} was refused ({'; '.join([*facts, *problems])})",
        where=endpoint.where,
        fix="mend that" if problems and not tried else f"set user and key in fleet.toml, or allow the key: {copy}",
    )
