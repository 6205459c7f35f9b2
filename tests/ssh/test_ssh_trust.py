"""Fetching host keys, and trusting them, against a real OpenSSH."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from edge.transport.ssh import SSHTransport, fetch_host_keys, known_hosts
from profiles.errors import ConnectError, HostKeyError, Timeout
from tests.ssh.sshd import HOST_KEYS, Sshd, free_port


def test_every_type_of_key_is_fetched(sshd: Sshd) -> None:
    keys = fetch_host_keys(sshd.endpoint, timeout=20)
    assert {key.line for key in keys} == {sshd.host_key(kind) for kind in HOST_KEYS}


def test_nobody_logs_in_to_fetch_them(start_sshd: Callable[..., Sshd]) -> None:
    server = start_sshd()
    fetch_host_keys(replace(server.endpoint, keys=()), timeout=20)
    assert "Accepted" not in server.log


def test_fetching_from_a_frozen_server_costs_the_timeout(start_sshd: Callable[..., Sshd]) -> None:
    server = start_sshd()
    server.freeze()
    start = time.monotonic()
    with pytest.raises(Timeout, match="fetching the host keys"):
        fetch_host_keys(server.endpoint, timeout=0.7)
    assert time.monotonic() - start < 1.7


def test_fetching_where_nothing_listens(sshd: Sshd) -> None:
    with pytest.raises(ConnectError, match="nothing listens"):
        fetch_host_keys(replace(sshd.endpoint, port=free_port()), timeout=20)


def test_what_was_trusted_is_accepted_by_us_and_by_ssh(sshd: Sshd, tmp_path: Path) -> None:
    ours = tmp_path / "config" / "known_hosts"
    endpoint = replace(sshd.endpoint, known_hosts=(ours,))
    keys = fetch_host_keys(endpoint, timeout=20)
    assert known_hosts.add(ours, endpoint.host_key_name, keys) == keys
    with closing(SSHTransport(endpoint)) as transport:
        assert transport.run(["true"], timeout=20).ok
    found = subprocess.run(
        ["ssh-keygen", "-F", endpoint.host_key_name, "-f", str(ours)], capture_output=True, text=True, check=True
    )
    assert sshd.host_key() in found.stdout


def test_a_new_key_is_taken_only_when_told(start_sshd: Callable[..., Sshd], sshd: Sshd, tmp_path: Path) -> None:
    ours = tmp_path / "known_hosts"
    other = start_sshd()
    host = sshd.endpoint.host_key_name
    old, new = (fetch_host_keys(server.endpoint, timeout=20) for server in (other, sshd))
    known_hosts.add(ours, host, old)
    with pytest.raises(HostKeyError, match="on record with another key"):
        known_hosts.add(ours, host, new)
    known_hosts.add(ours, host, new, replace=True)
    with closing(SSHTransport(replace(sshd.endpoint, known_hosts=(ours,)))) as transport:
        assert transport.run(["true"], timeout=20).ok
    assert {entry.key for entry in known_hosts.read([ours])} == set(new)
