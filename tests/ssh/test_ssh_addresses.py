"""Addresses and names of hosts: IPv6, and a HostKeyAlias, against a real OpenSSH."""

from __future__ import annotations

import base64
import socket
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from edge.inventory.devices import Device
from edge.places import Places
from edge.transport.ssh import SSHTransport, fetch_host_keys, resolve
from profiles.errors import ConnectError, HostKeyError
from profiles.load import device_profile
from tests.ssh.sshd import Sshd

Start = Callable[..., Sshd]


@pytest.fixture
def on_ipv6(start_sshd: Start) -> Sshd:
    """A server on ::1, beside 127.0.0.1."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"there is no IPv6 here ({error.strerror})")
    return start_sshd(extra="ListenAddress ::1")


def test_a_device_with_an_ipv6_address(on_ipv6: Sshd) -> None:
    known = on_ipv6.folder / "known_hosts.6"
    known.write_text(f"[::1]:{on_ipv6.port} {on_ipv6.host_key()}\n")
    device = Device(
        "board",
        "::1",
        device_profile("local"),
        user=on_ipv6.user,
        port=on_ipv6.port,
        key=on_ipv6.key,
        known_hosts=known,
    )
    endpoint = resolve(device, Places(on_ipv6.folder, on_ipv6.folder, on_ipv6.folder))
    assert endpoint.where == f"board ({on_ipv6.user}@[::1]:{on_ipv6.port})"
    shown = {base64.b64encode(key.blob).decode() for key in fetch_host_keys(endpoint, timeout=20)}
    assert on_ipv6.host_key().split()[1] in shown
    with closing(SSHTransport(endpoint)) as transport:
        done = transport.run(["sh", "-c", 'echo "$SSH_CONNECTION"'], timeout=20)
    assert done.stdout.startswith(b"::1 ")


def test_nothing_listens_on_ipv6(on_ipv6: Sshd) -> None:
    on_ipv6.stop()
    endpoint = replace(on_ipv6.endpoint, host="::1")
    with closing(SSHTransport(endpoint)) as transport, pytest.raises(ConnectError, match="nothing listens at port"):
        transport.run(["true"], timeout=20)


def test_a_host_key_alias_is_the_name_that_counts(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two boards behind one address, as behind a port forward: each has its key under a name of its own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    known, config = tmp_path / ".ssh" / "known_hosts", tmp_path / ".ssh" / "config"
    config.write_text(
        f"Host board\n HostName 127.0.0.1\n Port {sshd.port}\n User {sshd.user}\n IdentityFile {sshd.key}\n"
        " HostKeyAlias Board-7\n"
    )
    endpoint = resolve(Device("board", "board", device_profile("local")), Places(tmp_path, tmp_path, tmp_path))
    known.write_text(f"[127.0.0.1]:{sshd.port} {sshd.host_key()}\n")
    with closing(SSHTransport(endpoint)) as transport, pytest.raises(HostKeyError, match="is not known"):
        transport.run(["true"], timeout=20)
    known.write_text(f"board-7 {sshd.host_key()}\n")
    with closing(SSHTransport(endpoint)) as transport:
        assert transport.run(["true"], timeout=20).ok
