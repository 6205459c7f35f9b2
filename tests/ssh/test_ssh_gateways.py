"""Devices behind gateways, and behind commands that carry the bytes: real OpenSSH servers and a real ssh."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path, PurePosixPath

import pytest

from edge.transport.base import Deadline
from edge.transport.ssh import Endpoint, SSHTransport, close_gateways
from edge.transport.ssh.connection import Link, connect
from edge.transport.ssh.dial import Tunnel
from profiles.errors import ConnectError, HostKeyError, Timeout, TransportError
from tests.ssh.proxy import Proxy
from tests.ssh.sshd import Sshd, free_port, start, wait_until

MANY = 40


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    yield
    close_gateways()


def behind(device: Sshd, *gateways: Sshd) -> SSHTransport:
    """A transport to the device through the gateways, the first one first."""
    via = None
    for gateway in gateways:
        via = replace(gateway.endpoint, name=f"gateway {gateway.name}", via=via, is_gateway=True)
    return SSHTransport(replace(device.endpoint, via=via))


def logins(server: Sshd) -> int:
    return server.log.count("Accepted publickey")


def test_a_chain_of_gateways(start_sshd: Callable[..., Sshd], tmp_path: Path) -> None:
    first, second, device = (start_sshd(name=name) for name in ("first", "second", "board"))
    payload = tmp_path / "payload"
    payload.write_bytes(os.urandom(3_000_000))
    digest = sha256(payload.read_bytes()).hexdigest()
    with closing(behind(device, first, second)) as transport:
        done = transport.run(["sh", "-c", "echo $HOME"], timeout=30)
        assert done.stdout.decode().strip() == str(device.home)
        target = PurePosixPath(device.home) / "there"
        assert transport.put(payload, target, sha256=digest, timeout=60) == 3_000_000
        transport.get(target, tmp_path / "back", limit=4_000_000, timeout=60)
    assert (tmp_path / "back").read_bytes() == payload.read_bytes()
    assert [logins(server) for server in (first, second, device)] == [1, 1, 1]


def test_forty_devices_share_one_login_at_their_gateway(start_sshd: Callable[..., Sshd]) -> None:
    """MaxStartups 3: a fourth connection that has not logged in yet would be dropped."""
    gateway = start_sshd(name="bastion", extra="MaxStartups 3:100:3\nMaxSessions 1")
    device = start_sshd(name="board")
    with ExitStack() as stack:
        transports = [stack.enter_context(closing(behind(device, gateway))) for _ in range(MANY)]
        with ThreadPoolExecutor(MANY) as pool:
            done = list(pool.map(lambda transport: transport.run(["true"], timeout=120).ok, transports))
    assert all(done)
    assert (logins(gateway), logins(device)) == (1, MANY)


def test_a_server_that_turns_many_away_is_asked_again(start_sshd: Callable[..., Sshd]) -> None:
    server = start_sshd(extra="MaxStartups 2:100:2")
    with ExitStack() as stack:
        transports = [stack.enter_context(closing(SSHTransport(server.endpoint))) for _ in range(12)]
        with ThreadPoolExecutor(12) as pool:
            assert all(pool.map(lambda transport: transport.run(["true"], timeout=60).ok, transports))
    assert logins(server) == 12
    assert "MaxStartups" in server.log, "somebody was turned away"


def test_a_server_that_turns_everybody_away_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        calls: list[float] = []

        def hang_up() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    calls.append(time.monotonic())
                    connection.close()

        threading.Thread(target=hang_up, daemon=True).start()
        port = listener.getsockname()[1]
        endpoint = Endpoint("board", "127.0.0.1", port, "me", (), False, (), Path("/none"), f"[127.0.0.1]:{port}")
        with closing(SSHTransport(endpoint)) as transport, pytest.raises(ConnectError, match="hung up"):
            transport.run(["true"], timeout=30)
        listener.shutdown(socket.SHUT_RDWR)
    assert len(calls) == 5
    assert calls[-1] - calls[0] < 8


def test_a_gateway_that_restarted_is_logged_in_to_again_once(start_sshd: Callable[..., Sshd]) -> None:
    gateway, device = start_sshd(name="bastion"), start_sshd(name="board")
    with ExitStack() as stack:
        transports = [stack.enter_context(closing(behind(device, gateway))) for _ in range(8)]
        assert all(transport.run(["true"], timeout=30).ok for transport in transports)
        gateway.restart("")
        for transport in transports:
            with suppress(ConnectError):  # where it had not heard of the end
                transport.run(["true"], timeout=30)
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(lambda transport: transport.run(["true"], timeout=30).ok, transports))
    assert logins(gateway) == 2


def test_what_a_gateway_cannot_reach_or_may_not(start_sshd: Callable[..., Sshd], sshd: Sshd) -> None:
    gateway = start_sshd(name="bastion")
    nobody = replace(sshd.endpoint, port=free_port(), via=gateway.endpoint)
    with (
        closing(SSHTransport(nobody)) as transport,
        pytest.raises(ConnectError, match=r"the gateway .* does not reach 127.0.0.1:\d+ \(Connect failed\)"),
    ):
        transport.run(["true"], timeout=20)
    gateway.restart("AllowTcpForwarding no")
    with (
        closing(behind(sshd, gateway)) as transport,
        pytest.raises(ConnectError, match=r"may not forward .*AllowTcpForwarding"),
    ):
        transport.run(["true"], timeout=20)


def test_a_gateway_whose_key_is_not_known_sees_no_login(start_sshd: Callable[..., Sshd], sshd: Sshd) -> None:
    gateway = start_sshd(name="bastion")
    gateway.known_hosts.write_text("")
    with closing(behind(sshd, gateway)) as transport, pytest.raises(HostKeyError, match="gateway bastion") as caught:
        transport.run(["true"], timeout=20)
    assert f"run `ssh -p {gateway.port} " in str(caught.value), "devices trust is for devices alone"
    assert logins(gateway) == 0


def test_a_device_that_hangs_costs_its_timeout_and_not_its_neighbour_s_connection(
    start_sshd: Callable[..., Sshd], sshd: Sshd
) -> None:
    gateway, frozen = start_sshd(name="bastion"), start_sshd(name="frozen")
    frozen.freeze()
    with closing(behind(frozen, gateway)) as hanging, closing(behind(sshd, gateway)) as neighbour:
        assert neighbour.run(["true"], timeout=20).ok
        begin = time.monotonic()
        with pytest.raises(Timeout):
            hanging.run(["true"], timeout=1.0)
        assert time.monotonic() - begin < 4
        assert neighbour.run(["true"], timeout=20).ok
    assert logins(gateway) == 1


def test_a_gateway_that_hangs_costs_the_timeout_and_is_left(start_sshd: Callable[..., Sshd], sshd: Sshd) -> None:
    gateway = start_sshd(name="bastion")
    with closing(behind(sshd, gateway)) as first:
        assert first.run(["true"], timeout=20).ok
        gateway.freeze()
        with closing(behind(sshd, gateway)) as second:
            begin = time.monotonic()
            with pytest.raises(Timeout):
                second.run(["true"], timeout=1.0)
            assert time.monotonic() - begin < 10
            gateway.thaw()
            assert second.run(["true"], timeout=30).ok
    assert logins(gateway) == 2, "the connection that did not answer was given up"


def test_closing_ends_a_wait_for_a_gateway_at_once(start_sshd: Callable[..., Sshd], sshd: Sshd) -> None:
    gateway = start_sshd(name="bastion")
    gateway.freeze()
    transport = behind(sshd, gateway)
    errors: list[TransportError] = []

    def call() -> None:
        try:
            transport.run(["true"], timeout=60)
        except TransportError as error:
            errors.append(error)

    waiting = [threading.Thread(target=call) for _ in range(3)]
    for thread in waiting:
        thread.start()
    running = lambda: {thread.name for thread in threading.enumerate()}  # noqa: E731
    wait_until(lambda: "edgebench-gateway" in running(), "the connection to the gateway to be on its way")
    begin = time.monotonic()
    transport.close()
    close_gateways()
    for thread in waiting:
        thread.join(20)
    assert time.monotonic() - begin < 8
    assert len(errors) == 3
    assert "closed by edgebench" in str(errors[0])


def test_an_upload_through_a_gateway_that_is_cut_goes_on_where_it_was(
    start_sshd: Callable[..., Sshd], sshd: Sshd, tmp_path: Path
) -> None:
    gateway = start_sshd(name="bastion")
    payload = tmp_path / "payload"
    payload.write_bytes(os.urandom(20 << 20))
    digest = sha256(payload.read_bytes()).hexdigest()
    target = PurePosixPath(sshd.home) / f"cut-{os.getpid()}"
    with Proxy(gateway.port, cut_after=8 << 20) as proxy:
        via = gateway.at_port(proxy.port)
        with closing(SSHTransport(replace(sshd.endpoint, via=via))) as transport:
            with pytest.raises(TransportError):
                transport.put(payload, target, sha256=digest, timeout=60)
            assert transport.put(payload, target, sha256=digest, timeout=60) < (16 << 20)
    assert sha256(Path(target).read_bytes()).hexdigest() == digest


def test_a_tunnel_of_a_dead_connection_ends_quietly(start_sshd: Callable[..., Sshd]) -> None:
    """The connection takes nothing more, which its own thread has not heard of: who closes the tunnel finds out."""
    server = start_sshd(name="bastion")
    link = Link(server.endpoint)
    connect(link, Deadline(30, "connecting", "board"))
    channels = [link.session.open_channel("direct-tcpip", ("127.0.0.1", server.port), ("127.0.0.1", 0)) for _ in "ab"]
    server.freeze()  # or it would end the connection, too
    link.session.sock.shutdown(socket.SHUT_WR)
    with pytest.raises(EOFError):
        channels[0].close()
    tunnel = Tunnel(channels[1])
    tunnel.carrier.close()
    tunnel.end()
    link.kill()


def command_to(server: Sshd) -> str:
    """OpenSSH's own client as the carrier, through a gateway."""
    options = f"-o UserKnownHostsFile={server.known_hosts} -i {server.key} -o BatchMode=yes -o LogLevel=ERROR"
    return f"ssh -F none {options} -p {server.port} -W 127.0.0.1:%p {server.user}@127.0.0.1"


def test_a_proxy_command(start_sshd: Callable[..., Sshd], sshd: Sshd) -> None:
    gateway = start_sshd(name="bastion")
    command = command_to(gateway).replace("%p", str(sshd.port))
    transport = SSHTransport(replace(sshd.endpoint, proxy_command=command))
    with closing(transport):
        assert transport.run(["true"], timeout=30).ok
        assert carriers(command)
    wait_until(lambda: not carriers(command), "the proxy command to end with the connection")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("echo no way there >&2; exit 3", r"no connection \(ProxyCommand: no way there\); run the command by hand"),
        ("sh -c 'exit 3'", r"ProxyCommand: it ended with status 3"),
        ("/there/is/none", r"ProxyCommand: .*not found"),
    ],
)
def test_a_proxy_command_that_fails_is_quoted(sshd: Sshd, command: str, told: str) -> None:
    transport = SSHTransport(replace(sshd.endpoint, proxy_command=command))
    with closing(transport), pytest.raises(ConnectError, match=told):
        transport.run(["true"], timeout=20)


def test_a_proxy_command_that_says_nothing_costs_the_timeout(sshd: Sshd) -> None:
    command = "sleep 4242"
    transport = SSHTransport(replace(sshd.endpoint, proxy_command=command))
    begin = time.monotonic()
    with closing(transport), pytest.raises(Timeout):
        transport.run(["true"], timeout=1.0)
    assert time.monotonic() - begin < 4
    wait_until(lambda: not carriers(command), "the proxy command to be ended")


def carriers(command: str) -> list[int]:
    found = subprocess.run(["pgrep", "-f", command[:60]], capture_output=True, text=True, check=False).stdout.split()
    return [int(pid) for pid in found]


def test_a_gateway_outlives_no_server(tmp_path: Path) -> None:
    """Killed, not closed: whoever waits on it hears of it."""
    if os.geteuid() != 0 and not os.access("/usr/sbin/sshd", os.X_OK):
        pytest.skip("no sshd here")
    gateway, device = start(tmp_path / "g", name="bastion"), start(tmp_path / "d")
    try:
        with closing(behind(device, gateway)) as transport:
            threading.Timer(1.0, lambda: [os.kill(pid, signal.SIGKILL) for pid in gateway.sessions()]).start()
            begin = time.monotonic()
            with pytest.raises(ConnectError):
                transport.run(["sleep", "30"], timeout=60)
            assert time.monotonic() - begin < 10
    finally:
        gateway.stop()
        device.stop()
