"""Logging in with certificates, with a passphrase, and with a second factor: real OpenSSH, and a real terminal."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from edge.transport.ssh import SSHTransport
from profiles.errors import ConnectError
from tests.ssh.sshd import Sshd
from tests.terminal import typed

ROOT = Path(__file__).resolve().parents[2]
CODE = "424242"

# Two devices through one gateway, asked for one after the other; prints what came of each.
SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path
from edge.transport.ssh import Endpoint, SSHTransport, close_gateways
from profiles.errors import EdgebenchError
user, key, known = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
def endpoint(name, port):
    return Endpoint(name, "127.0.0.1", int(port), user, (key,), True, (known,), known, f"[127.0.0.1]:{port}",
                    connect_timeout=float(CONNECT_S))
first, *others = sys.argv[4:]
for port in others or [first]:
    transport = SSHTransport(replace(endpoint("board", port), via=endpoint("gateway", first) if others else None))
    try:
        print("DONE", transport.run(["echo", "hello"], timeout=20).stdout.decode().strip(), flush=True)
    except EdgebenchError as error:
        print("FAILED", error, flush=True)
    transport.close()
close_gateways()
"""


def keygen(*words: object) -> None:
    subprocess.run(["ssh-keygen", "-q", *map(str, words)], check=True)


def run(
    server: Sshd,
    *more: Sshd,
    key: Path,
    answers: dict[str, str] | None,
    patience: float = 60.0,
    connect_s: float = 15.0,
    thinks_s: float = 0.0,
) -> str:
    """The script at a terminal of its own, which after a while types an answer to each question that holds the key;
    with None in a session without any terminal. What was shown is returned."""
    known = server.folder / "all_known"
    known.write_text("".join(one.known_hosts.read_text() for one in (server, *more)))
    ports = [str(one.port) for one in (server, *more)]
    argv = [
        sys.executable,
        "-c",
        SCRIPT.replace("CONNECT_S", str(connect_s)),
        server.user,
        str(key),
        str(known),
        *ports,
    ]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "SSH_AUTH_SOCK": ""}
    if answers is None:
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False, start_new_session=True)
        return done.stdout + done.stderr
    return _typed(argv, env, dict(answers), patience, thinks_s)


def _typed(argv: list[str], env: dict[str, str], answers: dict[str, str], patience: float, thinks_s: float) -> str:
    def answer(text: str) -> bytes | None:
        for question, words in answers.items():
            if question in text:
                time.sleep(thinks_s)
                return f"{words}\n".encode()
        return None

    return typed(argv, env, answer, patience=patience).text


@pytest.fixture
def certified(start_sshd: Callable[..., Sshd], tmp_path: Path) -> tuple[Sshd, Path]:
    """A server that trusts an authority and no key, and a key that the authority signed."""
    keygen("-t", "ed25519", "-N", "", "-f", tmp_path / "ca")
    keygen("-t", "ed25519", "-N", "", "-f", tmp_path / "me")
    server = start_sshd(extra=f"TrustedUserCAKeys {tmp_path}/ca.pub\nAuthorizedKeysFile none")
    keygen("-s", tmp_path / "ca", "-I", "me", "-n", server.user, tmp_path / "me.pub")
    return server, tmp_path / "me"


def test_a_certificate_beside_the_key(certified: tuple[Sshd, Path]) -> None:
    server, key = certified
    with closing(SSHTransport(replace(server.endpoint, keys=(key,)))) as transport:
        assert transport.run(["true"], timeout=20).ok
    assert "Accepted certificate ID" in server.log or "ED25519-CERT" in server.log


def test_a_certificate_of_the_config_and_one_of_another_key(certified: tuple[Sshd, Path], tmp_path: Path) -> None:
    server, key = certified
    elsewhere = tmp_path / "elsewhere.pub"
    Path(f"{key}-cert.pub").rename(elsewhere)
    with closing(SSHTransport(replace(server.endpoint, keys=(key,)))) as transport, pytest.raises(ConnectError):
        transport.run(["true"], timeout=20)
    named = replace(server.endpoint, keys=(server.key, key), certificates=(elsewhere,))
    with closing(SSHTransport(named)) as transport:
        assert transport.run(["true"], timeout=20).ok


def test_a_damaged_certificate_is_named(certified: tuple[Sshd, Path]) -> None:
    server, key = certified
    Path(f"{key}-cert.pub").write_text("ssh-ed25519-cert-v01@openssh.com AAAA\n")
    with (
        closing(SSHTransport(replace(server.endpoint, keys=(key,)))) as transport,
        pytest.raises(ConnectError, match=r"me, or the certificate beside it, cannot be understood"),
    ):
        transport.run(["true"], timeout=20)


def test_a_passphrase_is_asked_for_once_and_only_at_a_terminal(start_sshd: Callable[..., Sshd], tmp_path: Path) -> None:
    gateway, one, two = (start_sshd(name=name) for name in ("gateway", "one", "two"))
    key = tmp_path / "locked"
    keygen("-t", "ed25519", "-N", "open sesame", "-f", key)
    for server in (gateway, one, two):
        shutil.copy(f"{key}.pub", server.folder / "authorized_keys")
    silent = run(gateway, one, two, key=key, answers=None)
    assert silent.count("FAILED") == 2
    assert f"the key {key} needs a passphrase (ssh-add {key})" in silent
    shown = run(gateway, one, two, key=key, answers={"Passphrase of": "open sesame"})
    assert shown.count("DONE hello") == 2, shown
    assert shown.count("Passphrase of") == 1


def test_a_wrong_passphrase_is_asked_for_again_and_then_given_up(sshd: Sshd, tmp_path: Path) -> None:
    key = tmp_path / "locked"
    keygen("-t", "ed25519", "-N", "open sesame", "-f", key)
    shown = run(sshd, key=key, answers={"Passphrase of": "open barley"})
    assert shown.count("Passphrase of") == 3, shown
    assert "needs a passphrase" in shown


@pytest.fixture
def with_codes(start_sshd: Callable[..., Sshd], tmp_path: Path) -> Iterator[Sshd]:
    """A gateway that wants a key and a code: sshd with PAM, under a name that has a PAM service of its own."""
    service = Path("/etc/pam.d") / f"ebcode-{os.getpid()}"
    if os.geteuid() != 0 or not service.parent.is_dir():
        pytest.skip("a PAM service can only be made by root")
    modules = list(Path("/usr/lib").glob("*/security/pam_exec.so")) + list(Path("/lib").glob("*/security/pam_exec.so"))
    if not modules:
        pytest.skip("no pam_exec here")
    check = tmp_path / "check"
    check.write_text(f'#!/bin/sh\nread -r code\n[ "$code" = "{CODE}" ]\n')
    check.chmod(0o755)
    tmp_path.chmod(0o755)
    lines = (
        f"auth required pam_exec.so expose_authtok quiet {check}",
        "auth required pam_permit.so",  # grants the credentials, of which pam_exec says nothing
        "account required pam_permit.so",
        "session required pam_permit.so",
    )
    service.write_text("".join(f"{line}\n" for line in lines))
    try:
        yield start_sshd(
            name="gateway",
            program=service.name,
            extra="UsePAM yes\nKbdInteractiveAuthentication yes\nAuthenticationMethods publickey,keyboard-interactive",
        )
    finally:
        service.unlink()


def test_a_code_is_asked_for_once_for_all_devices_behind_a_gateway(
    with_codes: Sshd, start_sshd: Callable[..., Sshd]
) -> None:
    one, two = (start_sshd(name=name) for name in ("one", "two"))
    for server in (one, two):
        shutil.copy(f"{with_codes.key}.pub", server.folder / "authorized_keys")
    shown = run(with_codes, one, two, key=with_codes.key, answers={"Password:": CODE})
    assert shown.count("DONE hello") == 2, shown + with_codes.log
    assert shown.count("Password:") == 1


def test_who_takes_no_key_of_ours_is_given_no_password(with_codes: Sshd, tmp_path: Path) -> None:
    """Many servers ask for a password then; on a fleet whose keys are not right yet that would be asked and asked."""
    keygen("-t", "ed25519", "-N", "", "-f", tmp_path / "other")
    with_codes.restart("AuthenticationMethods any\nUsePAM yes\nKbdInteractiveAuthentication yes")
    shown = run(with_codes, key=tmp_path / "other", answers={"Password:": CODE})
    assert "FAILED" in shown, shown
    assert "Password:" not in shown


def test_a_server_that_takes_answers_alone_is_given_them(with_codes: Sshd) -> None:
    with_codes.restart("AuthenticationMethods keyboard-interactive")
    shown = run(with_codes, key=with_codes.key, answers={"Password:": CODE})
    assert "DONE hello" in shown, shown + with_codes.log


def test_who_types_slowly_is_waited_for(with_codes: Sshd) -> None:
    """Longer than a connection may take otherwise: that is the device's time, not the operator's."""
    shown = run(with_codes, key=with_codes.key, answers={"Password:": CODE}, connect_s=4, thinks_s=6)
    assert "DONE hello" in shown, shown


def test_a_code_that_nobody_can_be_asked_for_or_that_is_wrong(with_codes: Sshd) -> None:
    silent = run(with_codes, key=with_codes.key, answers=None)
    assert "wants an answer beside the key, and there is no terminal to ask at; run it at a terminal" in silent
    shown = run(with_codes, key=with_codes.key, answers={"Password:": "1"})
    assert "FAILED" in shown, shown
    assert "were refused" in shown
