"""Host keys as OpenSSH writes them: known_hosts files, SHA256 fingerprints. Nothing here opens a connection.

A key is trusted when a known_hosts file holds exactly its bytes for exactly this host and port, or the key of an
authority whose certificate it comes with; nothing is ever trusted at first sight. Formats: sshd(8), SSH_KNOWN_HOSTS
FILE FORMAT, with `@cert-authority` and `@revoked`.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import hmac
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from profiles.errors import ConfigError, HostKeyError

if TYPE_CHECKING:
    from edge.transport.ssh.certificates import HostCertificate

DEFAULT_PORT = 22
_FINGERPRINT = re.compile(r"\bSHA256:[A-Za-z0-9+/]{43}(?![A-Za-z0-9+/])=?")


@dataclass(frozen=True)
class HostKey:
    """A public host key: its type, such as `ssh-ed25519`, and its bytes as they go over the wire."""

    kind: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """`SHA256:…` as `ssh-keygen -lf` prints it: base64 without padding."""
        digest = base64.b64encode(hashlib.sha256(self.blob).digest()).decode()
        return f"SHA256:{digest.rstrip('=')}"

    def __str__(self) -> str:
        return f"{self.kind} {self.fingerprint}"

    @property
    def line(self) -> str:
        return f"{self.kind} {base64.b64encode(self.blob).decode()}"


@dataclass(frozen=True)
class Entry:
    """One line of a known_hosts file that could be read."""

    hosts: str
    key: HostKey
    marker: str
    file: Path
    number: int

    @property
    def revoked(self) -> bool:
        return self.marker == "@revoked"

    @property
    def is_authority(self) -> bool:
        return self.marker == "@cert-authority"

    def names(self, host: str) -> bool:
        """Whether the line speaks of `host` (as `host_name` writes it), by name, pattern or hash."""
        if self.hosts.startswith("|1|"):
            return _hash_matches(self.hosts, host)
        matched = False
        for pattern in self.hosts.lower().split(","):
            if pattern.startswith("!") and _glob(pattern[1:], host):
                return False
            matched = matched or _glob(pattern, host)
        return matched


def host_name(host: str, port: int = DEFAULT_PORT) -> str:
    """How known_hosts files name a host: `host`, or `[host]:port` when the port is not 22."""
    return host.lower() if port == DEFAULT_PORT else f"[{host.lower()}]:{port}"


def read(files: Iterable[Path]) -> tuple[Entry, ...]:
    """The entries of all files that exist; lines that cannot be read are skipped, as ssh does.

    Errors: ConfigError for a file that exists and cannot be read.
    """
    return tuple(entry for path in files for entry in _read_file(path))


def known_keys(entries: Iterable[Entry], host: str) -> tuple[Entry, ...]:
    """The entries that vouch for `host` by its own key."""
    return tuple(entry for entry in entries if not entry.marker and entry.names(host))


def authorities(entries: Iterable[Entry], host: str) -> tuple[Entry, ...]:
    """The entries of authorities that may vouch for `host`, whatever its port."""
    names = {host, plain_name(host)}
    return tuple(entry for entry in entries if entry.is_authority and any(entry.names(name) for name in names))


def plain_name(host: str) -> str:
    """`host` of `[host]:port`: what certificates name."""
    return host[1:].rpartition("]:")[0] if host.startswith("[") and "]:" in host else host


def verify(
    entries: Sequence[Entry],
    host: str,
    received: HostKey,
    *,
    where: str,
    commands: tuple[str, str],
    certificate: HostCertificate | None = None,
) -> None:
    """Accept `received` as the key of `host`, or raise HostKeyError with both fingerprints and what to do.
    `certificate` is what it came with; `commands` keep the key, and keep it in the place of another."""
    known = known_keys(entries, host)
    trusted = authorities(entries, host)
    _refuse_revoked(entries, host, received, certificate, where)
    if certificate is not None and any(entry.key == certificate.authority for entry in trusted):
        if not certificate.fault:
            return
        fix = "have its authority sign its host key anew"
        raise HostKeyError(f"the host key of {host} is not accepted: {certificate.fault}", where=where, fix=fix)
    if any(entry.key == received for entry in known):
        return
    if not known:
        named = [f"; the authority in {entry.file} line {entry.number} has not signed it" for entry in trusted]
        raise HostKeyError(
            f"the host key of {host} is not known: {received}{''.join(named[:1])}",
            where=where,
            fix=f"compare it with the device's own and run {commands[0]}",
        )
    expected = next((entry for entry in known if entry.key.kind == received.kind), known[0])
    raise HostKeyError(
        f"the host key of {host} has changed: expected {expected.key} ({expected.file} line {expected.number}), "
        f"received {received}; either the device was installed anew, or somebody is between it and you (an attack)",
        where=where,
        fix=f"find out which, for example with `ssh-keygen -lf` on the device's own console, before you run "
        f"{commands[1]}",
    )


def _refuse_revoked(
    entries: Sequence[Entry], host: str, received: HostKey, certificate: HostCertificate | None, where: str
) -> None:
    names = {host, plain_name(host)}
    revoked = {entry.key for entry in entries if entry.revoked and any(entry.names(name) for name in names)}
    if received in revoked:
        raise HostKeyError(f"the host key of {host} is marked as revoked: {received}", where=where)
    if certificate is not None and certificate.authority in revoked:
        told = f"the authority that signed the host key of {host} is marked as revoked: {certificate.authority}"
        raise HostKeyError(told, where=where)


def add(path: Path, host: str, keys: Iterable[HostKey], *, replace: bool = False) -> tuple[HostKey, ...]:
    """Add `keys` of `host` (as `host_name` writes it) to the file and return those that were not in it.

    The file is written beside and renamed, mode 0600; lines of other hosts stay as they are. With `replace` all older
    keys of this host go. Errors: HostKeyError when the file has another key of the same type and `replace` is not
    given; ConfigError when the file cannot be written.
    """
    keys = tuple(keys)
    with _locked(path):
        entries = tuple(_read_file(path))
        known = known_keys(entries, host)
        if not replace:
            _refuse_changed(known, host, keys)
        dropped = {entry.number for entry in known if replace and entry.key not in keys}
        new = tuple(key for key in keys if all(entry.key != key for entry in known))
        lines = _without(_lines(path), dropped, host) + [f"{host} {key.line}" for key in new]
        _write(path, lines)
    return new


def read_fingerprints(path: Path) -> frozenset[str]:
    """Every `SHA256:…` in the file, whatever stands around it, such as the output of `ssh-keygen -lf`.

    Errors: ConfigError when the file cannot be read or has none.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror})", where=str(path)) from None
    found = frozenset(match.rstrip("=") for match in _FINGERPRINT.findall(text))
    if not found:
        raise ConfigError(
            "holds no SHA256 fingerprint",
            where=str(path),
            fix="make it on the device with `for f in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $f; done`",
        )
    return found


def _read_file(path: Path) -> Iterator[Entry]:
    for number, line in enumerate(_lines(path), 1):
        entry = _entry(line, path, number)
        if entry:
            yield entry


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").removesuffix("\n").split("\n")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror})", where=str(path)) from None


def _entry(line: str, path: Path, number: int) -> Entry | None:
    words = line.split()
    marker = words.pop(0) if words and words[0].startswith("@") else ""
    if len(words) < 3 or words[0].startswith("#") or marker not in ("", "@revoked", "@cert-authority"):
        return None
    hosts, kind, text = words[:3]
    try:
        blob = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    length = int.from_bytes(blob[:4], "big")
    if blob[4 : 4 + length] != kind.encode("utf-8", "surrogateescape"):
        return None
    return Entry(hosts, HostKey(kind, blob), marker, path, number)


def _hash_matches(hashed: str, host: str) -> bool:
    """`|1|salt|HMAC-SHA1(salt, host)`, as HashKnownHosts writes it."""
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in hashed.split("|")[2:4])
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.new(salt, host.encode(), "sha1").digest(), digest)


def _glob(pattern: str, host: str) -> bool:
    """OpenSSH knows `*` and `?`; brackets stand for themselves, as in `[host]:2222`."""
    return fnmatchcase(host, pattern.replace("[", "[[]"))


def _refuse_changed(known: Iterable[Entry], host: str, keys: Sequence[HostKey]) -> None:
    for entry in known:
        for key in keys:
            if entry.key.kind == key.kind and entry.key != key:
                raise HostKeyError(
                    f"{host} is on record with another key: {entry.key}, now {key}",
                    where=f"{entry.file} line {entry.number}",
                    fix="replace it only when you know why it changed (--replace)",
                )


def _without(lines: Sequence[str], dropped: set[int], host: str) -> list[str]:
    """The lines, with `host` taken out of the numbered ones, which go when they named nothing else."""
    kept = []
    for number, line in enumerate(lines, 1):
        if number not in dropped:
            kept.append(line)
            continue
        names, rest = line.split(maxsplit=1)
        others = [] if names.startswith("|") else [name for name in names.split(",") if name.lower() != host]
        if others:
            kept.append(f"{','.join(others)} {rest}")
    return kept


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One writer at a time, by a lock on the folder: it leaves no file of its own."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise ConfigError(f"cannot be written ({error.strerror})", where=str(path)) from None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _write(path: Path, lines: Iterable[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    try:
        handle, name = tempfile.mkstemp(prefix=".known_hosts.", dir=path.parent)  # mode 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(text)
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot be written ({error.strerror})", where=str(path)) from None
