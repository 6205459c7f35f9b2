"""A bandwidth limit, against a real OpenSSH: that it is kept, in both directions, and costs no timeout."""

from __future__ import annotations

import os
import threading
import time
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path, PurePosixPath

import pytest

from edge.transport.ssh import SSHTransport
from profiles.errors import TransportError
from tests.ssh.sshd import Sshd

RATE = 400_000.0
SIZE = 800_000


@pytest.fixture
def payload(tmp_path: Path) -> tuple[Path, str]:
    path = tmp_path / "payload"
    path.write_bytes(os.urandom(SIZE))
    return path, sha256(path.read_bytes()).hexdigest()


def test_both_directions_keep_to_the_rate_and_not_to_the_timeout(
    sshd: Sshd, payload: tuple[Path, str], tmp_path: Path
) -> None:
    path, digest = payload
    target = PurePosixPath(sshd.home) / "paced"
    with closing(SSHTransport(replace(sshd.endpoint, bandwidth=RATE))) as transport:
        assert transport.run(["true"], timeout=20).ok
        begin = time.monotonic()
        assert transport.put(path, target, sha256=digest, timeout=1.5) == SIZE
        assert time.monotonic() - begin >= SIZE / RATE * 0.95
        begin = time.monotonic()
        transport.get(target, tmp_path / "back", limit=SIZE, timeout=1.5)
        assert time.monotonic() - begin >= SIZE / RATE * 0.95
    assert (tmp_path / "back").read_bytes() == path.read_bytes()


def test_two_uploads_at_once_share_the_rate(sshd: Sshd, payload: tuple[Path, str]) -> None:
    path, digest = payload
    with closing(SSHTransport(replace(sshd.endpoint, bandwidth=RATE))) as transport:
        assert transport.run(["true"], timeout=20).ok

        def put(name: str) -> None:
            transport.put(path, PurePosixPath(sshd.home) / name, sha256=digest, timeout=10)

        threads = [threading.Thread(target=put, args=(f"shared-{number}",)) for number in range(2)]
        begin = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert time.monotonic() - begin >= 2 * SIZE / RATE * 0.95


def test_closing_ends_a_pause(sshd: Sshd, payload: tuple[Path, str]) -> None:
    path, digest = payload
    transport = SSHTransport(replace(sshd.endpoint, bandwidth=1000.0))
    threading.Timer(1.0, transport.close).start()
    begin = time.monotonic()
    with pytest.raises(TransportError, match="closed by edgebench"):
        transport.put(path, PurePosixPath(sshd.home) / "never", sha256=digest, timeout=20)
    assert time.monotonic() - begin < 8
