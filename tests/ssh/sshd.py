"""A real OpenSSH server on a free loopback port, for tests: own host keys, own login key, own home folder.

Use as a plugin: `pytest_plugins = ["tests.ssh.sshd"]`. Fixtures: `sshd` (one server for the session) and `start_sshd`
(a server of the test's own, to freeze, kill or misconfigure).
"""

from __future__ import annotations

import contextlib
import functools
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from edge.transport.ssh import Endpoint, SSHTransport


PATIENCE_S = 20.0
HOST_KEYS = ("ed25519", "ecdsa", "rsa")


@dataclass
class Sshd:
    """A server that runs. `folder` holds its files, `home` is HOME of every command it starts."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]
    name: str = "board"
    user: str = field(default_factory=getpass.getuser)
    program: str = "sshd"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def tool(self, name: str, script: str) -> None:
        """A stand-in for a program of the device, a shell script that comes first on its PATH."""
        path = self.folder / "tools" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n# a stand-in for {name}\n{script}\n")
        path.chmod(0o755)

    @property
    def key(self) -> Path:
        """The private key that may log in."""
        return self.folder / "login"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def host_key(self, kind: str = "ed25519") -> str:
        """`TYPE BASE64` of a host key."""
        return " ".join((self.folder / f"host_{kind}.pub").read_text().split()[:2])

    @property
    def endpoint(self) -> Endpoint:
        from edge.transport.ssh import Endpoint  # not for every tier: a machine with a GPU may lack paramiko

        return Endpoint(
            name=self.name,
            host="127.0.0.1",
            port=self.port,
            user=self.user,
            keys=(self.key,),
            own_keys=True,
            known_hosts=(self.known_hosts,),
            trust_file=self.known_hosts,
            host_key_name=f"[127.0.0.1]:{self.port}",
        )

    def at_port(self, port: int) -> Endpoint:
        """The same server behind another port, such as a proxy's, with its key known there."""
        known = self.folder / f"known_hosts.{port}"
        known.write_text(f"[127.0.0.1]:{port} {self.host_key()}\n")
        return replace(
            self.endpoint, port=port, known_hosts=(known,), trust_file=known, host_key_name=f"[127.0.0.1]:{port}"
        )

    def fleet_toml(self, profile: str = "local") -> str:
        """A fleet file that has this server as its one device."""
        return (
            f'[devices.{self.name}]\nhost = "127.0.0.1"\nport = {self.port}\nuser = "{self.user}"\n'
            f'key = "{self.key}"\nknown_hosts = "{self.known_hosts}"\nprofile = "{profile}"\n'
        )

    def processes(self) -> list[int]:
        """The server and everything below it."""
        return [self.process.pid, *descendants(self.process.pid)]

    def sessions(self) -> list[int]:
        return descendants(self.process.pid)

    def cut_sessions(self) -> None:
        """Kill the server's processes for open connections, not the listener; detached jobs are not among them."""
        for pid in self.sessions():
            with contextlib.suppress(FileNotFoundError):  # it has just ended by itself
                if Path(f"/proc/{pid}/comm").read_text().strip().startswith("sshd"):
                    _signal(pid, signal.SIGKILL)

    def freeze(self) -> None:
        """Stop the server and its sessions: connections stay open, and nothing answers."""
        for pid in self.processes():
            _signal(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in self.processes():
            _signal(pid, signal.SIGCONT)

    def greets(self, port: int | None = None) -> bool:
        """Whether it answers a new connection as SSH servers do, through `port` if that is another's."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port or self.port), 20) as probe:
            return probe.recv(4) == b"SSH-"
        return False

    def restart(self, extra: str) -> None:
        """Anew on the same port with more lines in its configuration."""
        self.stop()
        wait_until(lambda: not _answers_at(self.port), "the old sshd to be gone")
        config = self.folder / "sshd_config"
        config.write_text(f"{extra}\n{config.read_text()}")
        self.process = _launch(self.folder, self.program)
        wait_until(lambda: _listens(self), "sshd to listen")

    def told(self) -> str:
        """For who reads why a test failed: its processes with their states, and the end of its log."""
        states = [f"{pid} {_state(pid)}" for pid in self.processes()]
        return "\n".join([f"{self.name}: {', '.join(states)}", *self.log.splitlines()[-12:]])

    def stop(self) -> None:
        for pid in reversed(self.processes()):
            _signal(pid, signal.SIGKILL)
        self.process.wait(PATIENCE_S)


def missing() -> str | None:
    """Why no server can be started here, or None."""
    if not _sshd_path():
        return "no sshd here (apt-get install openssh-server)"
    return None if shutil.which("ssh-keygen") else "no ssh-keygen here (apt-get install openssh-client)"


def start(folder: Path, *, name: str = "board", extra: str = "", program: str = "sshd") -> Sshd:
    """Start a server whose files lie in `folder`; `extra` lines go first into its configuration, and so win. `program`
    is the name that it runs under, and with it the PAM service that it uses."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "home").mkdir(exist_ok=True)
    _keygen(folder / "host_ed25519", "ed25519")
    _keygen(folder / "host_ecdsa", "ecdsa")
    for suffix, content in _rsa_key().items():
        (folder / f"host_rsa{suffix}").write_bytes(content)
        (folder / f"host_rsa{suffix}").chmod(0o600)
    _keygen(folder / "login", "ed25519")
    shutil.copy(folder / "login.pub", folder / "authorized_keys")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd confines itself
    port = free_port()
    (folder / "sshd_config").write_text(_config(folder, port, extra))
    server = Sshd(folder, port, _launch(folder, program), name=name, program=program)
    server.known_hosts.write_text("".join(f"[127.0.0.1]:{port} {server.host_key(kind)}\n" for kind in HOST_KEYS))
    try:
        wait_until(lambda: _listens(server), "sshd to listen")
    except BaseException:
        server.stop()
        raise
    return server


@contextlib.contextmanager
def started(folder: Path, count: int) -> Iterator[list[Sshd]]:
    """Servers host-0, host-1, ... with their files below `folder`, for as long as the block lasts."""
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(8) as pool:

        def begin(number: int) -> Sshd:
            server = start(folder / f"h{number}", name=f"host-{number}")
            stack.callback(server.stop)
            return server

        yield list(pool.map(begin, range(count)))


def _launch(folder: Path, program: str = "sshd") -> subprocess.Popen[bytes]:
    path = Path(str(_sshd_path()))
    if program != path.name:
        if not (folder / program).is_symlink():
            (folder / program).symlink_to(path)
        path = folder / program
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [str(path), "-D", "-e", "-f", str(folder / "sshd_config")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], object], what: str, patience: float = PATIENCE_S) -> None:
    """Look until it is so, and fail when it never is."""
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {patience:g} s in vain for {what}")
        time.sleep(0.005)


def descendants(pid: int) -> list[int]:
    """Every process below `pid`, parents first."""
    found = []
    for child in _children(pid):
        found += [child, *descendants(child)]
    return found


@pytest.fixture(scope="session")
def sshd() -> Iterator[Sshd]:
    """One server for all tests that leave it as it was."""
    yield from _server("board")


@pytest.fixture
def start_sshd() -> Iterator[Callable[..., Sshd]]:
    """Start servers of the test's own: `start_sshd(extra="MaxSessions 1")`."""
    _skip_without()
    with contextlib.ExitStack() as stack:

        def begin(name: str = "board", extra: str = "", program: str = "sshd") -> Sshd:
            server = start(_folder(stack), name=name, extra=extra, program=program)
            stack.callback(server.stop)
            return server

        yield begin


@pytest.fixture
def ssh(sshd: Sshd) -> Iterator[SSHTransport]:
    """A transport to the session's server."""
    from edge.transport.ssh import SSHTransport

    transport = SSHTransport(sshd.endpoint)
    with contextlib.closing(transport):
        yield transport


def _server(name: str) -> Iterator[Sshd]:
    _skip_without()
    with contextlib.ExitStack() as stack:
        server = start(_folder(stack), name=name)
        stack.callback(server.stop)
        yield server


def _skip_without() -> None:
    reason = missing()
    if reason:
        pytest.skip(reason)


def _folder(stack: contextlib.ExitStack) -> Path:
    """Not pytest's tmp_path: a server can outlive one test, and the path of a socket or key has to be short."""
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ebsshd-", ignore_cleanup_errors=True)))


def _config(folder: Path, port: int, extra: str) -> str:
    keys = "\n".join(f"HostKey {folder}/host_{kind}" for kind in HOST_KEYS)
    return f"""{extra}
Port {port}
ListenAddress 127.0.0.1
{keys}
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
AuthorizedKeysFile {folder}/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
{"" if "MaxStartups" in extra else "MaxStartups 200:30:400"}
MaxSessions 100
Subsystem sftp internal-sftp
SetEnv HOME={folder}/home PATH={folder}/tools:{os.environ["PATH"]}
LogLevel VERBOSE
"""


def _sshd_path() -> str | None:
    return shutil.which("sshd") or next((path for path in ("/usr/sbin/sshd",) if Path(path).exists()), None)


@functools.cache
def _rsa_key() -> dict[str, bytes]:
    """One for all servers, as making it takes a second; their other keys tell them apart."""
    with tempfile.TemporaryDirectory(prefix="ebsshd-") as folder:
        path = Path(folder) / "host_rsa"
        _keygen(path, "rsa")
        return {suffix: path.with_name(path.name + suffix).read_bytes() for suffix in ("", ".pub")}


def _keygen(path: Path, kind: str) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(path)], check=True, stdin=subprocess.DEVNULL)


def _listens(server: Sshd) -> bool:
    if server.process.poll() is not None:
        raise AssertionError(f"sshd ended: {server.log}")
    return _answers_at(server.port)


def _answers_at(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _children(pid: int) -> list[int]:
    """Those of every thread; none of a process that has just ended."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            found += map(int, path.read_text().split())
    return found


def _state(pid: int) -> str:
    """As /proc says it: R runs, S sleeps, T is stopped."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return "gone"


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
