"""Certificates as OpenSSH makes them: a key that an authority vouches for, for some names and some time.

Format: OpenSSH, PROTOCOL.certkeys; what is accepted: `sshkey_cert_check_host` in its sshkey.c. Read by cryptography,
which paramiko brings along.
"""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge.transport.ssh.known_hosts import HostKey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.serialization import SSHCertificate

SUFFIX = "-cert-v01@openssh.com"


@dataclass(frozen=True)
class HostCertificate:
    """`authority` is the key that signed it; `fault` says why it is not accepted for the host, "" when it is."""

    authority: HostKey
    fault: str


def check(blob: bytes, host: str) -> HostCertificate | None:
    """What a certificate, as it goes over the wire, says of `host` (its name alone, without a port); None for what is
    none. Its signature, its kind, its names and its dates are checked; whether the authority is trusted is not."""
    kind = blob[4 : 4 + int.from_bytes(blob[:4], "big")].decode("ascii", "replace")
    if not kind.endswith(SUFFIX):
        return None
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import SSHCertificate, load_ssh_public_identity

    try:
        made = load_ssh_public_identity(f"{kind} ".encode() + base64.b64encode(blob))
        if not isinstance(made, SSHCertificate):
            return None
        authority = _authority(made)
        made.verify_cert_signature()
    except InvalidSignature:
        return HostCertificate(authority, "the signature of its certificate is wrong")
    except (ValueError, UnsupportedAlgorithm):
        return None
    return HostCertificate(authority, _fault(made, host.lower(), time.time()))


def certified_key(line: bytes) -> bytes:
    """The key that a `-cert.pub` file is for, as it goes over the wire. Errors: ValueError for what is none."""
    from cryptography.hazmat.primitives.serialization import SSHCertificate, load_ssh_public_identity

    made = load_ssh_public_identity(line)
    if not isinstance(made, SSHCertificate):
        raise ValueError("it is a key and no certificate")  # noqa: TRY004  it is data
    return _wire(made.public_key())


def _authority(made: SSHCertificate) -> HostKey:
    blob = _wire(made.signature_key())
    return HostKey(blob[4 : 4 + int.from_bytes(blob[:4], "big")].decode(), blob)


def _wire(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return base64.b64decode(key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1])


def _fault(made: SSHCertificate, host: str, now: float) -> str:
    from cryptography.hazmat.primitives.serialization import SSHCertificateType

    if made.type is not SSHCertificateType.HOST:
        return "its certificate is one of a user"
    if made.critical_options:
        return f"its certificate wants what is not known: {', '.join(_text(name) for name in made.critical_options)}"
    if now < made.valid_after:
        return f"its certificate is valid from {_date(made.valid_after)} on"
    if now >= made.valid_before:
        return f"its certificate was valid until {_date(made.valid_before)}"
    names = [_text(name).lower() for name in made.valid_principals]
    if names and host not in names:
        return f"its certificate is for {', '.join(names)}"
    return ""


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")


def _date(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(min(seconds, 253_402_300_799)))  # 9999
