"""A device, an ssh-agent or a clock that stops or jumps at any point: a call costs its timeout and no more, and closing
costs nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from edge.transport.ssh import SSHTransport
from profiles.errors import ConnectError, Timeout, TransportError
from tests.faults import leaks
from tests.ssh.proxy import Proxy
from tests.ssh.sshd import Sshd, wait_until

GRACE_S = 3.0
"""What a busy machine may add."""


@pytest.fixture(autouse=True)
def no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


def test_at_every_packet_of_a_connection(server: Sshd) -> None:
    """Version, key exchange, service, login, channel, command, its end: the server answers no more from there on."""
    with Proxy(server.port) as proxy:
        endpoint = server.at_port(proxy.port)
        with closing(SSHTransport(endpoint)) as transport:
            assert transport.run(["true"], timeout=20).ok
        frozen = 0
        for number in range(proxy.pieces):
            begin = proxy.pieces
            proxy.before = lambda piece, last=begin + number: server.freeze() if piece == last else None
            transport = SSHTransport(endpoint)
            start = time.monotonic()
            try:
                transport.run(["true"], timeout=0.8)
            except Timeout:
                frozen += 1
                assert 0.7 < time.monotonic() - start < 0.8 + GRACE_S, f"packet {number}"
            start = time.monotonic()
            transport.close()
            assert time.monotonic() - start < GRACE_S, f"closing after packet {number}"
            server.thaw()
        assert frozen >= 7


def _wait(transport: SSHTransport, server: Sshd, folder: Path, timeout: float) -> object:
    return transport.run(["sh", "-c", 'touch "$1"; exec sleep 600', "sh", str(folder / "begun")], timeout=timeout)


def _feed(transport: SSHTransport, server: Sshd, folder: Path, timeout: float) -> object:
    """The window of the channel is full, and the socket is, too."""
    script = 'touch "$1"; exec sleep 600'
    return transport.run(["sh", "-c", script, "sh", str(folder / "begun")], stdin=bytes(32 << 20), timeout=timeout)


def _upload(transport: SSHTransport, server: Sshd, folder: Path, timeout: float) -> object:
    model = folder / "model"
    model.write_bytes(os.urandom(32 << 20))
    return transport.put(
        model, PurePosixPath(server.home) / "model", sha256="0" * 64, timeout=timeout,
        progress=lambda what, done=0, total=0: (folder / "begun").touch() if done > 4 << 20 else None,
    )  # fmt: skip


def _download(transport: SSHTransport, server: Sshd, folder: Path, timeout: float) -> object:
    """`begun` by the device's own `cat`, which is slow enough to be caught."""
    server.tool("cat", f'touch "{folder}/begun"; head -c 3000000 /dev/zero; exec sleep 600')
    (server.home / "big").write_bytes(b"x")
    return transport.get(PurePosixPath(server.home) / "big", folder / "back", limit=1 << 30, timeout=timeout)


@pytest.mark.parametrize("call", [_wait, _feed, _upload, _download])
class TestInMidCall:
    def test_it_costs_its_timeout(self, server: Sshd, tmp_path: Path, call: Callable[..., object]) -> None:
        with closing(SSHTransport(server.endpoint)) as transport:
            assert transport.run(["true"], timeout=20).ok
            freezer = threading.Thread(target=_freeze_once_begun, args=(server, tmp_path))
            freezer.start()
            start = time.monotonic()
            with pytest.raises(Timeout):
                call(transport, server, tmp_path, 1.5)
            assert time.monotonic() - start < 1.5 + GRACE_S
            freezer.join()
            start = time.monotonic()
        assert time.monotonic() - start < GRACE_S
        assert not list(tmp_path.glob(".*part"))
        leaks.end_commands(server)

    def test_closing_ends_it_at_once(self, server: Sshd, tmp_path: Path, call: Callable[..., object]) -> None:
        transport = SSHTransport(server.endpoint)
        assert transport.run(["true"], timeout=20).ok
        errors: list[TransportError] = []

        def work() -> None:
            try:
                call(transport, server, tmp_path, 60)
            except TransportError as error:
                errors.append(error)

        worker = threading.Thread(target=work)
        worker.start()
        _freeze_once_begun(server, tmp_path)
        start = time.monotonic()
        transport.close()
        worker.join()
        assert time.monotonic() - start < GRACE_S
        assert "closed by edgebench" in str(errors[0])
        leaks.end_commands(server)


def _freeze_once_begun(server: Sshd, folder: Path) -> None:
    wait_until((folder / "begun").exists, "the call to be under way")
    server.freeze()


class TestTheKeyAgent:
    @pytest.fixture
    def agent(self, server: Sshd, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
        """An ssh-agent with the login's key."""
        path = server.folder / "agent"
        process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
        wait_until(path.exists, "ssh-agent to listen")
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        subprocess.run(["ssh-add", "-q", str(server.key)], check=True)
        yield process
        process.kill()
        process.wait()

    def test_that_hangs_costs_the_timeout(self, server: Sshd, agent: subprocess.Popen[bytes]) -> None:
        agent.send_signal(signal.SIGSTOP)
        start = time.monotonic()
        with closing(SSHTransport(replace(server.endpoint, keys=(), own_keys=False))) as transport:
            with pytest.raises((Timeout, ConnectError)) as caught:
                transport.run(["true"], timeout=1.0)
            assert "the ssh-agent at" in str(caught.value)
            assert "does not answer" in str(caught.value)
        assert time.monotonic() - start < 1.0 + GRACE_S

    def test_that_hangs_does_not_keep_a_key_file_from_its_turn(
        self, server: Sshd, agent: subprocess.Popen[bytes]
    ) -> None:
        agent.send_signal(signal.SIGSTOP)
        with closing(SSHTransport(replace(server.endpoint, own_keys=False))) as transport:
            assert transport.run(["true"], timeout=4).ok

    def test_that_hangs_when_it_is_to_sign_costs_the_timeout(
        self, server: Sshd, agent: subprocess.Popen[bytes]
    ) -> None:
        with Proxy(server.port) as proxy:
            endpoint = replace(server.at_port(proxy.port), keys=(), own_keys=False)
            with closing(SSHTransport(endpoint)) as transport:
                assert transport.run(["true"], timeout=20).ok, "the agent's key is taken"
            counted = proxy.pieces
            for number in range(counted):
                last = proxy.pieces + number
                proxy.before = lambda piece, last=last: agent.send_signal(signal.SIGSTOP) if piece == last else None
                start = time.monotonic()
                with closing(SSHTransport(endpoint)) as transport:
                    try:
                        transport.run(["true"], timeout=0.8)
                    except TransportError:
                        assert time.monotonic() - start < 0.8 + GRACE_S
                agent.send_signal(signal.SIGCONT)


class TestTheWallClock:
    """Of this process: `time.time` goes on from another hour at some moment of a call."""

    @pytest.mark.parametrize("hours", [-5, 5])
    def test_that_jumps_at_any_packet_ends_no_call(
        self, server: Sshd, monkeypatch: pytest.MonkeyPatch, hours: int
    ) -> None:
        offset, real = [0.0], time.time
        monkeypatch.setattr(time, "time", lambda: real() + offset[0])
        with Proxy(server.port) as proxy:
            proxy.before = lambda _piece: offset.__setitem__(0, offset[0] + hours * 3600)
            with closing(SSHTransport(server.at_port(proxy.port))) as transport:
                assert transport.run(["echo", "there"], timeout=20).stdout == b"there\n"
                start = time.monotonic()
                with pytest.raises(Timeout):
                    transport.run(["sleep", "600"], timeout=0.8)
                assert 0.7 < time.monotonic() - start < 0.8 + GRACE_S
        leaks.end_commands(server)


def test_the_kernel_watches_for_a_peer_that_died(server: Sshd) -> None:
    """Whatever the wall clock does: as /proc/net/tcp says, a timer of the connection is that of keepalive (2)."""
    with closing(SSHTransport(server.endpoint)) as transport:
        assert transport.run(["true"], timeout=20).ok
        wait_until(lambda: _timer(server.port) == "02", "everything to be acknowledged")


def _timer(port: int) -> str:
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return next((row[5][:2] for row in rows if row[2].endswith(f":{port:04X}") and row[3] == "01"), "")
