"""Logging in by key: the files that were named, with their certificates, the agent, OpenSSH's default files. Where a
server wants more than a key (a one-time password) and somebody sits at a terminal, its questions are passed on."""

from __future__ import annotations

import base64
import math
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from edge.transport.base import Deadline
from edge.transport.ssh import prompts
from edge.transport.ssh.certificates import certified_key
from edge.transport.ssh.endpoint import Endpoint
from edge.transport.ssh.key_agent import KeyAgent
from edge.transport.ssh.known_hosts import HostKey
from profiles.errors import LoginError, printable

if TYPE_CHECKING:
    import paramiko


_QUESTIONS = "keyboard-interactive"
_ATTEMPTS = 3
_PASSPHRASES: dict[Path, str] = {}
_PASSPHRASES_LOCK = threading.Lock()


def login(session: paramiko.Transport, endpoint: Endpoint, deadline: Deadline) -> None:
    """Errors: LoginError that names the user, the keys that were tried and those that could not be; paramiko's."""
    import paramiko

    tried: list[str] = []
    problems: list[str] = []
    session.auth_timeout = math.inf  # the caller bounds it: paramiko's own clock is the wall's
    with closing(KeyAgent(deadline, problems)) as agent:
        for label, key in _candidates(endpoint, agent, problems, deadline):
            deadline.left()
            tried.append(label)
            try:
                still_needed = session.auth_publickey(endpoint.user, key)
            except paramiko.BadAuthenticationType as error:
                if _QUESTIONS in error.allowed_types and prompts.possible():
                    _answer(session, endpoint, deadline, error.allowed_types)
                    return
                raise
            except paramiko.AuthenticationException:
                deadline.left()
                if not session.is_active():  # too many keys for its MaxAuthTries
                    break
                continue
            if still_needed:
                _answer(session, endpoint, deadline, still_needed)
            return
    raise _refused(endpoint, tried, problems)


def _answer(session: paramiko.Transport, endpoint: Endpoint, deadline: Deadline, needed: list[str]) -> None:
    """What a server wants beside a key, or instead of any. Errors: paramiko's for what is no question."""
    import paramiko

    if _QUESTIONS not in needed:
        raise paramiko.ssh_exception.PartialAuthentication(needed)
    if not prompts.possible():
        raise LoginError(
            f"the login as {endpoint.user} wants an answer beside the key, and there is no terminal to ask at",
            where=endpoint.where,
            fix="run it at a terminal, or allow this user to log in by key alone (sshd_config, AuthenticationMethods)",
        )
    if not _answered(session, endpoint, deadline):
        raise LoginError(f"the answers of {endpoint.user} were refused", where=endpoint.where, fix="try again")


def _answered(session: paramiko.Transport, endpoint: Endpoint, deadline: Deadline) -> bool:
    """Whether the server took the operator's answers. Its own clock (LoginGraceTime) bounds the asking."""
    import paramiko

    def handler(title: str, text: str, questions: list[tuple[str, bool]]) -> list[str]:
        told = " ".join(printable(part) for part in (title, text) if part)
        with deadline.paused():
            return [
                prompts.ask(
                    f"{endpoint.address} asks{f' ({told})' if told else ''}: {printable(one)}", secret=not shown
                )
                or ""
                for one, shown in questions
            ]

    try:
        return not session.auth_interactive(endpoint.user, handler)
    except paramiko.AuthenticationException:
        return False


def _candidates(
    endpoint: Endpoint, agent: KeyAgent, problems: list[str], deadline: Deadline
) -> Iterator[tuple[str, paramiko.PKey]]:
    files = _from_files(endpoint, problems, deadline)
    from_agent = _from_agent(endpoint, agent)
    if endpoint.own_keys:
        yield from files
        yield from from_agent
    else:
        yield from from_agent
        yield from files


def _from_agent(endpoint: Endpoint, agent: KeyAgent) -> Iterator[tuple[str, paramiko.PKey]]:
    named = {_public_blob(path) for path in endpoint.keys}
    for key in agent.keys:
        if not endpoint.agent_only_for_keys or key.asbytes() in named:
            yield f"{HostKey(key.get_name(), key.asbytes())} of the agent", key


def _from_files(endpoint: Endpoint, problems: list[str], deadline: Deadline) -> Iterator[tuple[str, paramiko.PKey]]:
    """As ssh does it: a key with its certificate first, then without."""
    for path in endpoint.keys:
        if _is_public(path):  # of a key that the agent has
            continue
        key = _load(path, endpoint, problems, deadline)
        if key is None:
            continue
        key.public_blob = None
        for certificate in _certificates(path, endpoint, key, problems):
            yield f"{path} with {certificate.name}", key
            key.public_blob = None
        yield str(path), key


def _certificates(path: Path, endpoint: Endpoint, key: paramiko.PKey, problems: list[str]) -> Iterator[Path]:
    """Each in turn loaded into the key that it is for: those of CertificateFile, and the one beside the key."""
    for certificate in (*endpoint.certificates, path.with_name(f"{path.name}-cert.pub")):
        if not certificate.is_file():
            continue
        try:
            fits = certified_key(certificate.read_bytes()) == key.asbytes()
            if fits:
                key.load_certificate(str(certificate))
        except Exception as error:  # noqa: BLE001 - a certificate is foreign input
            problems.append(f"the certificate {certificate} cannot be understood ({error})")
            continue
        if fits:
            yield certificate


def _load(path: Path, endpoint: Endpoint, problems: list[str], deadline: Deadline) -> paramiko.PKey | None:
    import paramiko

    try:
        try:
            return paramiko.PKey.from_path(path)
        except (TypeError, paramiko.PasswordRequiredException):
            return _unlocked(path, problems, deadline)
    except OSError as error:
        if endpoint.own_keys:
            problems.append(f"the key file {path} cannot be read ({error.strerror})")
    except Exception as error:  # noqa: BLE001 - a key file is foreign input, and its readers raise what they like
        beside = path.with_name(f"{path.name}-cert.pub")  # which paramiko reads as well
        what = f"the key file {path}{', or the certificate beside it,' if beside.is_file() else ''}"
        problems.append(f"{what} cannot be understood ({error})")
    return None


def _unlocked(path: Path, problems: list[str], deadline: Deadline) -> paramiko.PKey | None:
    """A key whose passphrase the operator types, once for all devices of this process."""
    import paramiko

    with _PASSPHRASES_LOCK:
        for attempt in range(_ATTEMPTS):
            with deadline.paused():
                phrase = _PASSPHRASES.get(path) or prompts.ask(f"Passphrase of {path}{' (again)' if attempt else ''}:")
            if not phrase:
                break
            try:
                key = paramiko.PKey.from_path(path, phrase.encode())  # type: ignore[arg-type]  # bytes, as cryptography wants
            except ValueError:  # "Incorrect password?"
                _PASSPHRASES.pop(path, None)
                continue
            _PASSPHRASES[path] = phrase
            return key
    problems.append(f"the key {path} needs a passphrase (ssh-add {path})")
    return None


def _is_public(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(16).startswith((b"ssh-", b"ecdsa-", b"sk-"))
    except OSError:
        return False


def _public_blob(path: Path) -> bytes:
    """The public half of a key, which says which key of the agent is meant: of the file beside it, or the file itself
    where the key is in the agent alone; empty without one."""
    for file in (path.with_name(path.name + ".pub"), path):
        try:
            kind, encoded = file.read_text(encoding="utf-8").split()[:2]
            blob = base64.b64decode(encoded)
        except (OSError, ValueError):  # which errors of either encoding are, too
            continue
        if kind.encode() in blob:
            return blob
    return b""


def _refused(endpoint: Endpoint, tried: list[str], problems: list[str]) -> LoginError:
    copy = f"ssh-copy-id -p {endpoint.port} {endpoint.user}@{endpoint.host}"
    if not tried and not problems:
        return LoginError(
            f"there is no key to log in with as {endpoint.user}",
            where=endpoint.where,
            fix=f"set key in fleet.toml or start an ssh-agent, and let the device know the key: {copy}",
        )
    facts = [f"keys tried: {', '.join(tried)}"] if tried else []
    return LoginError(
        f"the login as {endpoint.user} was refused ({'; '.join([*facts, *problems])})",
        where=endpoint.where,
        fix="mend that" if problems and not tried else f"set user and key in fleet.toml, or allow the key: {copy}",
    )
