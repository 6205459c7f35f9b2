"""An upload that is disturbed at any point goes on where it was, and no file has its name before it has its hash."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path, PurePosixPath

import pytest

from edge.transport.base import Transport
from edge.transport.local import LocalTransport
from edge.transport.ssh import SSHTransport
from profiles.errors import ConnectError, Timeout, TransportError
from tests.faults import leaks
from tests.ssh.proxy import Proxy
from tests.ssh.sshd import Sshd, wait_until

SIZE = 8 << 20
WINDOW = 3 << 20
"""Bytes that may be under way, and are sent again: what a channel of OpenSSH takes ahead, and socket buffers."""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(os.urandom(SIZE))
    return path


@pytest.fixture
def remote(server: Sshd) -> PurePosixPath:
    return PurePosixPath(server.home) / "artifacts" / "1" / "model.onnx"


def put(transport: Transport, model: Path, remote: PurePosixPath, timeout: float = 30) -> int:
    return transport.put(model, remote, sha256=_hash(model), timeout=timeout)


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def arrived(model: Path, remote: PurePosixPath) -> bool:
    """Whole, under its own name, and nothing beside it."""
    return [path.name for path in Path(remote).parent.iterdir()] == [remote.name] and _hash(Path(remote)) == _hash(
        model
    )


@pytest.mark.parametrize("percent", [0, 1, 50, 99])
@pytest.mark.parametrize("how", [Proxy.cut, Proxy.reset])
def test_cut_at_some_percent(
    server: Sshd, model: Path, remote: PurePosixPath, percent: int, how: Callable[[Proxy], None]
) -> None:
    with Proxy(server.port) as proxy, closing(SSHTransport(server.at_port(proxy.port))) as transport:
        transport.run(["true"], timeout=20)
        begin, cut = proxy.passed, threading.Event()

        def fault(_piece: int) -> None:
            if proxy.passed - begin >= 600 + percent * SIZE // 100 and not cut.is_set():
                cut.set()
                how(proxy)

        proxy.before = fault
        with pytest.raises(ConnectError, match="connection was lost"):
            put(transport, model, remote)
        assert not Path(remote).exists()
        leaks.assert_quiet(server)  # what was under way there has ended
        left = sum(path.stat().st_size for path in Path(remote).parent.glob("*.part"))
        assert left >= percent * SIZE // 100 - WINDOW or how is Proxy.reset
        assert put(transport, model, remote) == SIZE - left
    assert arrived(model, remote)


@pytest.mark.parametrize("program", ["sha256sum", "mv"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_cut_while_the_device_hashes_or_renames(
    server: Sshd, model: Path, remote: PurePosixPath, program: str, number: signal.Signals
) -> None:
    """The stand-in stops at the moment, kills the session that started it, and then does what it is for."""
    server.tool(program, f'[ -e "$HOME/once" ] || {{ touch "$HOME/once"; kill -{number} "$(cat "$HOME/session")"; }}')
    with (server.folder / "tools" / program).open("a") as script:
        script.write(f'PATH=/usr/bin:/bin exec {program} "$@"\n')
    with closing(SSHTransport(server.endpoint)) as transport:
        transport.run(["sh", "-c", 'ps -o ppid= -p $PPID > "$HOME/session"'], timeout=20)
        (server.home / "session").write_text(str(server.sessions()[0]))
        with pytest.raises(ConnectError, match="connection was lost"):
            put(transport, model, remote)
        leaks.assert_quiet(server)
        assert not Path(remote).exists() or _hash(Path(remote)) == _hash(model)
        assert put(transport, model, remote) == 0, "all bytes had arrived"
    assert arrived(model, remote)


def test_a_session_that_was_frozen_writes_to_no_finished_file(server: Sshd, model: Path, remote: PurePosixPath) -> None:
    """Its buffers are full of the model when it stands still; it wakes up after another session has finished."""
    frozen: list[int] = []

    def freeze(_what: str, done: int = 0, _total: int = 0) -> None:
        if done > SIZE // 32 and not frozen:
            part = Path(f"{remote}.part")
            wait_until(lambda: part.exists() and part.stat().st_size, "the device to write")
            frozen.extend(server.sessions())
            for pid in frozen:
                os.kill(pid, signal.SIGSTOP)

    with closing(SSHTransport(server.endpoint)) as transport:
        with pytest.raises(Timeout):
            transport.put(model, remote, sha256=_hash(model), timeout=1.5, progress=freeze)
        assert put(transport, model, remote) <= SIZE
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
        transport.close()
        leaks.assert_quiet(server)
        assert _hash(Path(remote)) == _hash(model)


@pytest.mark.parametrize("through", ["ssh", "local"])
def test_two_that_ship_the_same_at_once_both_arrive(
    server: Sshd, model: Path, remote: PurePosixPath, through: str
) -> None:
    """The second one comes while the first is at its half, and goes on while the first one does."""
    transports: list[Transport] = [
        SSHTransport(server.endpoint) if through == "ssh" else LocalTransport() for _ in range(2)
    ]
    half, other_has_begun, errors = threading.Event(), threading.Event(), []

    def first(_what: str, done: int = 0, _total: int = 0) -> None:
        if done >= SIZE // 2 and not half.is_set():
            half.set()
            other_has_begun.wait(20)

    def second(_what: str, _done: int = 0, _total: int = 0) -> None:
        other_has_begun.set()

    def ship(transport: Transport, progress: Callable[..., None]) -> None:
        try:
            transport.put(model, remote, sha256=_hash(model), timeout=30, progress=progress)
        except TransportError as error:
            errors.append(error)

    threads = [threading.Thread(target=ship, args=pair) for pair in zip(transports, (first, second), strict=True)]
    threads[0].start()
    assert half.wait(20)
    if through == "ssh":
        wait_until(lambda: Path(f"{remote}.part").stat().st_size > SIZE // 8, "the first half to be on its way")
    threads[1].start()
    for thread in threads:
        thread.join()
    for transport in transports:
        transport.close()
    assert errors == []
    assert arrived(model, remote)


def test_a_link_in_place_of_a_file_is_not_followed(server: Sshd, tmp_path: Path) -> None:
    (server.home / "secret").write_text("key")
    (server.home / "result.json").symlink_to(server.home / "secret")
    for transport in (SSHTransport(server.endpoint), LocalTransport()):
        with closing(transport), pytest.raises(TransportError, match=r"result\.json is no regular file"):
            transport.get(PurePosixPath(server.home) / "result.json", tmp_path / "back", limit=100, timeout=20)
    assert not (tmp_path / "back").exists()
