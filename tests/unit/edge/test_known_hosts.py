"""known_hosts files as sshd(8) describes them; fingerprints as ssh-keygen prints them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import stat
from pathlib import Path

import pytest

from edge.transport.ssh import known_hosts
from edge.transport.ssh.known_hosts import HostKey
from profiles.errors import ConfigError, HostKeyError


def _key(seed: str, kind: str = "ssh-ed25519") -> HostKey:
    body = hashlib.sha256(seed.encode()).digest()
    return HostKey(kind, len(kind).to_bytes(4, "big") + kind.encode() + len(body).to_bytes(4, "big") + body)


A, B = _key("a"), _key("b")
RSA = _key("r", "ssh-rsa")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config" / "known_hosts"


def _knows(file: Path, text: str, host: str) -> bool:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return bool(known_hosts.known_keys(known_hosts.read([file]), host))


def test_a_fingerprint_is_as_openssh_prints_it() -> None:
    line = "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"  # github.com's, which it publishes
    key = HostKey("ssh-ed25519", base64.b64decode(line))
    assert key.fingerprint == "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"


@pytest.mark.parametrize(
    ("hosts", "host", "known"),
    [
        ("orin-1", "orin-1", True),
        ("orin-1,10.0.0.21", "10.0.0.21", True),
        ("ORIN-1", "orin-1", True),
        ("orin-1", "orin-11", False),
        ("orin-1", "[orin-1]:2222", False),
        ("[orin-1]:2222", "[orin-1]:2222", True),
        ("[orin-1]:2222", "o", False),
        ("*.lab", "orin.lab", True),
        ("orin-?", "orin-7", True),
        ("*.lab,!bad.lab", "bad.lab", False),
        ("!bad.lab,*.lab", "good.lab", True),
    ],
)
def test_hosts_and_patterns(file: Path, hosts: str, host: str, known: bool) -> None:
    assert _knows(file, f"{hosts} {A.line} a comment\n", host) is known


def test_hashed_hosts(file: Path) -> None:
    salt = b"0123456789abcdefghij"
    digest = hmac.new(salt, b"[orin-1]:2222", "sha1").digest()
    hashed = f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"
    assert _knows(file, f"{hashed} {A.line}\n", "[orin-1]:2222")
    assert not _knows(file, f"{hashed} {A.line}\n", "orin-1")
    assert not _knows(file, f"|1|x|y {A.line}\n|1|x {A.line}\n", "orin-1")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "# orin-1 " + A.line,
        f"@cert-authority orin-1 {A.line}",
        f"@something orin-1 {A.line}",
        "orin-1 ssh-ed25519",
        "orin-1 ssh-ed25519 !!!",
        "orin-1 ssh-ed25519 AAAA",
        f"orin-1 ssh-rsa {A.line.split()[1]}",
        "orin-1 1024 35 1234567890",
    ],
)
def test_lines_that_say_nothing_are_skipped(file: Path, line: str) -> None:
    assert not _knows(file, f"{line}\n", "orin-1")
    assert _knows(file, f"{line}\norin-1 {B.line}", "orin-1")


@pytest.mark.parametrize(
    ("hosts", "host", "vouches"),
    [
        ("*.lab", "[orin.lab]:2222", True),
        ("[orin.lab]:2222", "[orin.lab]:2222", True),
        ("orin.lab", "board.lab", False),
    ],
)
def test_an_authority_vouches_for_a_host_at_any_port(file: Path, hosts: str, host: str, vouches: bool) -> None:
    assert not _knows(file, f"@cert-authority {hosts} {A.line}\n", host)
    assert bool(known_hosts.authorities(known_hosts.read([file]), host)) is vouches


def test_a_missing_file_knows_nobody(file: Path) -> None:
    assert known_hosts.read([file]) == ()


def test_adding_keeps_the_rest_and_is_private(file: Path) -> None:
    file.parent.mkdir()
    file.write_text(f"# mine\nother {A.line}\n@cert-authority * {B.line}\n")
    assert known_hosts.add(file, "orin-1", [A, RSA]) == (A, RSA)
    assert file.read_text() == (
        f"# mine\nother {A.line}\n@cert-authority * {B.line}\norin-1 {A.line}\norin-1 {RSA.line}\n"
    )
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["known_hosts"]


def test_adding_twice_adds_once(file: Path) -> None:
    known_hosts.add(file, "orin-1", [A])
    assert known_hosts.add(file, "orin-1", [A]) == ()
    assert file.read_text() == f"orin-1 {A.line}\n"


def test_a_changed_key_is_refused_and_nothing_written(file: Path) -> None:
    known_hosts.add(file, "orin-1", [A])
    with pytest.raises(HostKeyError) as caught:
        known_hosts.add(file, "orin-1", [B])
    assert A.fingerprint in str(caught.value)
    assert B.fingerprint in str(caught.value)
    assert file.read_text() == f"orin-1 {A.line}\n"


def test_replacing_takes_one_host_alone(file: Path) -> None:
    file.parent.mkdir()
    file.write_text(f"orin-1,10.0.0.21 {A.line} bench\norin-1 {RSA.line}\norin-2 {A.line}\n")
    known_hosts.add(file, "orin-1", [B], replace=True)
    assert file.read_text() == f"10.0.0.21 {A.line} bench\norin-2 {A.line}\norin-1 {B.line}\n"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written"):
        known_hosts.add(tmp_path / "file" / "known_hosts", "orin-1", [A])


@pytest.mark.parametrize(
    "text",
    [
        f"256 {A.fingerprint} root@orin-1 (ED25519)\n3072 {B.fingerprint} no comment (RSA)\n",
        f"orin-1 {A.fingerprint}\norin-2 {B.fingerprint}",
        f"[orin-1]:2222 {A.fingerprint}=\r\n{B.fingerprint}",
    ],
)
def test_fingerprints_are_found_in_any_text(tmp_path: Path, text: str) -> None:
    (tmp_path / "list").write_text(text)
    assert known_hosts.read_fingerprints(tmp_path / "list") == {A.fingerprint, B.fingerprint}


@pytest.mark.parametrize("text", ["", "MD5:16:27:ac:a5", "SHA256:short", A.fingerprint + "A"])
def test_a_file_without_fingerprints(tmp_path: Path, text: str) -> None:
    (tmp_path / "list").write_text(text)
    with pytest.raises(ConfigError, match="holds no SHA256 fingerprint"):
        known_hosts.read_fingerprints(tmp_path / "list")
