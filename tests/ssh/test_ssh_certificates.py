"""Host keys that an authority signed, by real OpenSSH servers and real ssh-keygen."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from edge.transport.ssh import Endpoint, SSHTransport, certificates
from profiles.errors import HostKeyError
from tests.ssh.sshd import HOST_KEYS, Sshd

HOST = "orin-7.lab"


@pytest.fixture(scope="module", params=["ed25519", "ecdsa", "rsa"])
def authority(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("authority") / "ca"
    subprocess.run(["ssh-keygen", "-q", "-t", request.param, "-N", "", "-f", str(path)], check=True)
    return path


def line_of(public: Path) -> str:
    return " ".join(public.with_suffix(".pub").read_text().split()[:2])


def certified(start: Callable[..., Sshd], authority: Path, kind: str, *options: str, names: str = HOST) -> Sshd:
    """A server whose host key of that kind is signed; it has the others as well, unsigned."""
    server = start()
    key = server.folder / f"host_{kind}"
    sign = ["ssh-keygen", "-q", "-s", str(authority), "-I", "a board", *options, *(["-n", names] if names else [])]
    subprocess.run([*sign, f"{key}.pub"], check=True)
    server.restart(f"HostCertificate {key}-cert.pub")
    return server


def endpoint_of(server: Sshd, *lines: str) -> Endpoint:
    known = server.folder / "known"
    known.write_text("".join(f"{line}\n" for line in lines))
    return replace(server.endpoint, known_hosts=(known,), host_key_name=f"[{HOST}]:{server.port}")


def answers(endpoint: Endpoint) -> bool:
    with closing(SSHTransport(endpoint)) as transport:
        return transport.run(["true"], timeout=20).ok


@pytest.mark.parametrize("kind", HOST_KEYS)
def test_a_host_is_known_by_its_authority(start_sshd: Callable[..., Sshd], authority: Path, kind: str) -> None:
    server = certified(start_sshd, authority, kind, "-h")
    assert answers(endpoint_of(server, f"@cert-authority *.lab {line_of(authority)}"))
    assert answers(endpoint_of(server, f"[{HOST}]:{server.port} {server.host_key(kind)}")), "and by its own key"


@pytest.mark.parametrize(
    ("options", "names", "told"),
    [
        (("-h",), "other.lab", "its certificate is for other.lab"),
        (("-h", "-V", "20200101:20200201"), HOST, "its certificate was valid until 2020-02-01"),
        (("-h", "-V", "20900101:20900201"), HOST, "its certificate is valid from 2090-01-01"),
        ((), HOST, "its certificate is one of a user"),
    ],
)
def test_a_certificate_that_does_not_hold_is_refused(
    start_sshd: Callable[..., Sshd],
    tmp_path: Path,
    authority: Path,
    options: tuple[str, ...],
    names: str,
    told: str,
) -> None:
    """... though sshd itself may not even show it: then the key alone is judged."""
    key = tmp_path / "host"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    sign = ["ssh-keygen", "-q", "-s", str(authority), "-I", "a board", *options, "-n", names, f"{key}.pub"]
    subprocess.run(sign, check=True)
    kind, text = (tmp_path / "host-cert.pub").read_text().split()[:2]
    found = certificates.check(base64.b64decode(text), HOST)
    assert found is not None
    assert found.fault.startswith(told), (kind, found)
    if options[:1] == ("-h",):
        server = certified(start_sshd, authority, "ed25519", *options, names=names)
        with pytest.raises(HostKeyError, match=told):
            answers(endpoint_of(server, f"@cert-authority *.lab {line_of(authority)}"))


def test_an_authority_that_is_not_known_or_revoked_vouches_for_nobody(
    start_sshd: Callable[..., Sshd], authority: Path
) -> None:
    server = certified(start_sshd, authority, "ed25519", "-h")
    own = f"[{HOST}]:{server.port} {server.host_key('ed25519')}"
    other = f"@cert-authority * {server.host_key('rsa')}"
    with pytest.raises(HostKeyError, match=r"is not known: .*known line 1 has not signed it"):
        answers(endpoint_of(server, other))
    assert answers(endpoint_of(server, other, own)), "its own key is known beside"
    lines = (f"@cert-authority * {line_of(authority)}", own, f"@revoked * {line_of(authority)}")
    with pytest.raises(HostKeyError, match=r"authority that signed .* is marked as revoked"):
        answers(endpoint_of(server, *lines))
    with pytest.raises(HostKeyError, match=r"host key of .* is marked as revoked"):
        answers(endpoint_of(server, *lines[:2], f"@revoked {HOST} {server.host_key('ed25519')}"))


def test_a_signature_that_was_tampered_with_is_refused(tmp_path: Path, authority: Path) -> None:
    key = tmp_path / "host"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    sign = ["ssh-keygen", "-q", "-h", "-s", str(authority), "-I", "a board", "-n", HOST, f"{key}.pub"]
    subprocess.run(sign, check=True)
    blob = base64.b64decode((tmp_path / "host-cert.pub").read_text().split()[1])
    good = certificates.check(blob, HOST)
    assert good is not None
    assert good.fault == ""
    changed = blob.replace(HOST.encode(), b"orin-8.lab")
    bad = certificates.check(changed, "orin-8.lab")
    assert bad is not None
    assert "signature" in bad.fault
    assert certificates.check(blob[:40], HOST) is None
    assert certificates.check(b"", HOST) is None
