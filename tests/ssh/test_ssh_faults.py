"""What goes wrong between the controller and a device, made to go wrong for real, with a real OpenSSH."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from edge.transport.files import Upload
from edge.transport.ssh import Endpoint, SSHTransport
from profiles.errors import ConnectError, HostKeyError, LoginError, Timeout, TransferError, TransportError
from tests.ssh.proxy import Proxy
from tests.ssh.sshd import Sshd, free_port, wait_until

Start = Callable[..., Sshd]


@contextlib.contextmanager
def to(endpoint: Endpoint) -> Iterator[SSHTransport]:
    with contextlib.closing(SSHTransport(endpoint)) as transport:
        yield transport


def refusal(endpoint: Endpoint, kind: type[TransportError], timeout: float = 10) -> TransportError:
    with to(endpoint) as transport, pytest.raises(kind) as caught:
        transport.run(["true"], timeout=timeout)
    assert caught.type is kind
    return caught.value


class TestFrozenServer:
    def test_connecting_costs_its_timeout_and_no_more(self, start_sshd: Start) -> None:
        server = start_sshd()
        server.freeze()
        start = time.monotonic()
        refusal(server.endpoint, Timeout, timeout=0.7)
        assert 0.6 < time.monotonic() - start < 1.7

    def test_the_connect_timeout_bounds_a_long_call(self, start_sshd: Start) -> None:
        server = start_sshd()
        server.freeze()
        start = time.monotonic()
        error = refusal(replace(server.endpoint, connect_timeout=0.5), Timeout, timeout=60)
        assert time.monotonic() - start < 1.5
        assert "connecting did not finish within 0.5 s" in str(error)

    @pytest.mark.parametrize("call", ["run", "run with stdin", "put", "get"])
    def test_a_call_costs_its_timeout_and_no_more(self, start_sshd: Start, tmp_path: Path, call: str) -> None:
        server = start_sshd()
        big = tmp_path / "big"
        big.write_bytes(os.urandom(8 << 20))
        calls: dict[str, Callable[[SSHTransport], object]] = {
            "run": lambda t: t.run(["true"], timeout=0.7),
            "run with stdin": lambda t: t.run(["cat"], stdin=bytes(8 << 20), timeout=0.7),
            "put": lambda t: t.put(big, PurePosixPath(tmp_path / "there"), sha256="0" * 64, timeout=0.7),
            "get": lambda t: t.get(PurePosixPath(big), tmp_path / "back", limit=1 << 30, timeout=0.7),
        }
        with to(server.endpoint) as transport:
            transport.run(["true"], timeout=10)
            server.freeze()
            start = time.monotonic()
            with pytest.raises(Timeout):
                calls[call](transport)
            assert 0.6 < time.monotonic() - start < 1.7
            server.thaw()
            assert transport.run(["true"], timeout=10).ok, "it connects anew"
        assert not list(tmp_path.glob(".*part"))

    def test_frozen_in_mid_upload(self, start_sshd: Start, tmp_path: Path) -> None:
        """The socket's buffers are full by then: paramiko's own write has no timeout."""
        server = start_sshd()
        model = _model(tmp_path, 64 << 20)
        with to(server.endpoint) as transport:
            start = time.monotonic()
            with pytest.raises(Timeout, match=r"the upload of model\.onnx did not finish within 1\.5 s"):
                transport.put(
                    model,
                    PurePosixPath(server.home / "model.onnx"),
                    sha256=_hash(model),
                    timeout=1.5,
                    progress=lambda what, done=0, total=0: server.freeze() if done > (8 << 20) else None,
                )
            assert time.monotonic() - start < 2.5

    def test_closing_does_not_wait_for_it(self, start_sshd: Start) -> None:
        server = start_sshd()
        transport = SSHTransport(server.endpoint)
        transport.run(["true"], timeout=10)
        server.freeze()
        start = time.monotonic()
        transport.close()
        assert time.monotonic() - start < 1


class TestLostConnection:
    def test_a_cut_upload_is_resumed(self, sshd: Sshd, tmp_path: Path) -> None:
        model = _model(tmp_path, 24 << 20)
        remote = PurePosixPath(sshd.home / "cut" / "model.onnx")
        with Proxy(sshd.port, cut_after=12 << 20) as proxy, to(sshd.at_port(proxy.port)) as transport:
            with pytest.raises(ConnectError, match="connection was lost"):
                transport.put(model, remote, sha256=_hash(model), timeout=60)
            wait_until(lambda: _settled(Path(f"{remote}.part")), "what was under way to be written")
            before = proxy.passed
            sent = transport.put(model, remote, sha256=_hash(model), timeout=60)
            assert sent < model.stat().st_size
            assert proxy.passed - before < 20 << 20
        assert _hash(Path(remote)) == _hash(model)
        assert [path.name for path in Path(remote).parent.iterdir()] == ["model.onnx"]

    @pytest.mark.parametrize("said", ["eb:present", "eb:junk", "eb:-1"])
    def test_a_shell_that_answers_for_our_script_is_not_believed(
        self, start_sshd: Start, tmp_path: Path, said: str
    ) -> None:
        server = start_sshd()
        (server.home / ".bashrc").write_text(f"echo {said}\n")
        model = _model(tmp_path, 1000)
        with to(server.endpoint) as transport:
            assert said.encode() in transport.run(["true"], timeout=20).stdout, "the account's shell reads .bashrc"
            with pytest.raises(TransferError, match=r"is not understood; let what its shell reads .* print nothing"):
                transport.put(model, PurePosixPath(server.home) / "m", sha256=_hash(model), timeout=20)
        assert not (server.home / "m").exists()

    @pytest.mark.parametrize("cut_at", [100_000, 9 << 20, 17 << 20])
    def test_a_batch_that_is_cut_is_taken_up_where_it_was(self, sshd: Sshd, tmp_path: Path, cut_at: int) -> None:
        """What has arrived is whole; of the file under way what has arrived; of the others nothing."""
        models = [_model(tmp_path / str(number), 6 << 20) for number in range(3)]
        folder = PurePosixPath(sshd.home / f"batch-{cut_at}")
        uploads = [Upload(path, folder / path.parent.name, _hash(path)) for path in models]
        with Proxy(sshd.port, cut_after=cut_at) as proxy, to(sshd.at_port(proxy.port)) as transport:
            with pytest.raises(ConnectError, match="connection was lost"):
                transport.put_all(uploads, timeout=60)
            wait_until(lambda: all(_settled(path) for path in Path(folder).iterdir()), "what was under way")
            whole = [one for one in uploads if Path(one.remote).exists()]
            assert all(_hash(Path(one.remote)) == one.sha256 for one in whole)
            sent = transport.put_all(uploads, timeout=60)
            assert sent <= (18 << 20) - cut_at + (4 << 20), "at most what a window holds is sent again"
        assert sorted(path.name for path in Path(folder).iterdir()) == ["0", "1", "2"]
        assert all(_hash(Path(one.remote)) == one.sha256 for one in uploads)

    def test_a_killed_session_is_no_timeout(self, start_sshd: Start) -> None:
        server = start_sshd()
        with to(server.endpoint) as transport:
            transport.run(["true"], timeout=10)
            for pid in server.sessions():
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ConnectError):
                transport.run(["true"], timeout=10)
            assert transport.run(["true"], timeout=10).ok, "it connects anew"

    def test_a_session_killed_under_a_command(self, start_sshd: Start) -> None:
        """The end of the connection is not taken for the end of the command."""
        server = start_sshd()
        with to(server.endpoint) as transport, pytest.raises(ConnectError, match="connection was lost"):
            transport.run(["sh", "-c", "kill -9 $PPID; sleep 60"], timeout=30)

    def test_a_black_hole_costs_the_timeout(self, sshd: Sshd) -> None:
        with Proxy(sshd.port) as proxy, to(sshd.at_port(proxy.port)) as transport:
            transport.run(["true"], timeout=10)
            proxy.black_hole()
            start = time.monotonic()
            with pytest.raises(Timeout):
                transport.run(["true"], timeout=0.7)
            assert time.monotonic() - start < 1.7

    def test_one_connection_serves_all_calls(self, start_sshd: Start, tmp_path: Path) -> None:
        server = start_sshd()
        model = _model(tmp_path, 1 << 20)
        with to(server.endpoint) as transport:
            for _ in range(3):
                transport.run(["true"], timeout=10)
                transport.put(model, PurePosixPath(server.home / "m"), sha256=_hash(model), timeout=10)
        assert server.log.count("Accepted publickey") == 1

    def test_a_connection_outlives_a_gigabyte(self, start_sshd: Start) -> None:
        """paramiko would agree on new keys after 512 MiB, and hang when a command ends at that moment."""
        server = start_sshd()
        with to(server.endpoint) as transport:
            for _ in range(400):  # a window of 2 MiB each: `true` reads none of it
                assert transport.run(["true"], stdin=bytes(3 << 20), timeout=20).ok
        assert server.log.count("Accepted publickey") == 1


class TestNoConnection:
    def test_nothing_listens(self, sshd: Sshd) -> None:
        error = refusal(replace(sshd.endpoint, port=free_port()), ConnectError)
        assert "nothing listens at port" in error.message
        assert "start sshd" in error.fix

    def test_the_name_is_unknown(self, sshd: Sshd) -> None:
        error = refusal(replace(sshd.endpoint, host="no-such-host.invalid"), ConnectError, timeout=30)
        assert "the name no-such-host.invalid cannot be resolved" in error.message

    def test_what_is_no_host_name(self, sshd: Sshd) -> None:
        error = refusal(replace(sshd.endpoint, host="a..b"), ConnectError)
        assert "cannot be resolved" in error.message

    def test_what_answers_is_no_ssh_server(self, sshd: Sshd) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            start = time.monotonic()
            refusal(sshd.at_port(listener.getsockname()[1]), Timeout, timeout=0.7)
            assert time.monotonic() - start < 1.7

    def test_what_answers_speaks_another_protocol(self, sshd: Sshd) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            answer = threading.Thread(target=_answer, args=(listener, b"HTTP/1.1 400 Bad Request\r\n\r\n"))
            answer.start()
            error = refusal(sshd.at_port(listener.getsockname()[1]), ConnectError)
            answer.join()
            assert "does not speak SSH" in error.message

    def test_a_server_that_sends_nonsense(self, sshd: Sshd) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            answer = threading.Thread(target=_answer, args=(listener, b"SSH-2.0-x\r\n" + bytes(range(256)) * 64))
            answer.start()
            refusal(sshd.at_port(listener.getsockname()[1]), ConnectError)
            answer.join()


class TestHostKey:
    def test_an_unknown_one_is_shown_and_refused(self, sshd: Sshd, tmp_path: Path) -> None:
        error = refusal(replace(sshd.endpoint, known_hosts=(tmp_path / "none",)), HostKeyError)
        assert _fingerprint(sshd) in error.message
        assert "edgebench devices trust board" in error.fix

    def test_a_changed_one_shows_both(self, start_sshd: Start, sshd: Sshd) -> None:
        other = start_sshd()
        known = sshd.folder / "changed"
        known.write_text(f"[127.0.0.1]:{sshd.port} {other.host_key()}\n")
        error = refusal(replace(sshd.endpoint, known_hosts=(known,)), HostKeyError)
        assert _fingerprint(other) in error.message
        assert _fingerprint(sshd) in error.message
        assert "attack" in error.message
        assert f"{known} line 1" in error.message

    def test_the_type_that_is_known_is_asked_for(self, sshd: Sshd) -> None:
        known = sshd.folder / "rsa-only"
        known.write_text(f"[127.0.0.1]:{sshd.port} {sshd.host_key('rsa')}\n")
        with to(replace(sshd.endpoint, known_hosts=(known,))) as transport:
            assert transport.run(["true"], timeout=10).ok

    def test_lines_that_cannot_be_read_do_no_harm(self, sshd: Sshd) -> None:
        known = sshd.folder / "odd-lines"
        authority = f"@cert-authority *.example.com {sshd.host_key()}\n"
        known.write_text(f"{authority}host ssh-ed25519 not-base64!\nhost ssh-future AAAA\n\n# a\n{_known(sshd)}")
        with to(replace(sshd.endpoint, known_hosts=(known,))) as transport:
            assert transport.run(["true"], timeout=10).ok

    def test_a_certificate_authority_vouches_for_nobody(self, sshd: Sshd) -> None:
        known = sshd.folder / "authority"
        known.write_text(f"@cert-authority * {sshd.host_key()}\n")
        assert "is not known" in str(refusal(replace(sshd.endpoint, known_hosts=(known,)), HostKeyError))

    def test_a_revoked_one_is_refused(self, sshd: Sshd) -> None:
        known = sshd.folder / "revoked"
        known.write_text(f"{_known(sshd)}@revoked * {sshd.host_key()}\n")
        assert "revoked" in str(refusal(replace(sshd.endpoint, known_hosts=(known,)), HostKeyError))

    def test_hashed_as_ssh_keygen_does(self, sshd: Sshd) -> None:
        known = sshd.folder / "hashed"
        known.write_text(_known(sshd))
        subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(known)], check=True, capture_output=True)
        assert "127.0.0.1" not in known.read_text()
        with to(replace(sshd.endpoint, known_hosts=(known,))) as transport:
            assert transport.run(["true"], timeout=10).ok


class TestLogin:
    def test_a_refused_key_is_named(self, sshd: Sshd, tmp_path: Path) -> None:
        key = _key(tmp_path)
        error = refusal(replace(sshd.endpoint, keys=(key,)), LoginError)
        assert f"the login as {sshd.user} was refused" in error.message
        assert str(key) in error.message
        assert "ssh-copy-id" in error.fix

    def test_a_missing_key_file(self, sshd: Sshd, tmp_path: Path) -> None:
        error = refusal(replace(sshd.endpoint, keys=(tmp_path / "none",)), LoginError)
        assert f"the key file {tmp_path / 'none'} cannot be read (No such file or directory)" in error.message

    def test_a_key_with_a_passphrase(self, sshd: Sshd, tmp_path: Path) -> None:
        key = _key(tmp_path, passphrase="secret")
        error = refusal(replace(sshd.endpoint, keys=(key,)), LoginError)
        assert f"the key {key} needs a passphrase (ssh-add {key})" in error.message

    def test_a_file_that_is_no_key(self, sshd: Sshd, tmp_path: Path) -> None:
        (tmp_path / "junk").write_text("junk")
        error = refusal(replace(sshd.endpoint, keys=(tmp_path / "junk",)), LoginError)
        assert "cannot be understood" in error.message

    def test_no_key_at_all(self, sshd: Sshd) -> None:
        error = refusal(replace(sshd.endpoint, keys=(), own_keys=False), LoginError)
        assert "there is no key to log in with" in error.message

    def test_a_server_that_takes_no_keys(self, start_sshd: Start) -> None:
        server = start_sshd(extra="PubkeyAuthentication no\nPasswordAuthentication yes")
        error = refusal(server.endpoint, LoginError)
        assert "by key is not allowed; the server takes password" in error.message

    def test_more_than_a_key_is_wanted(self, start_sshd: Start) -> None:
        server = start_sshd(extra="PasswordAuthentication yes\nAuthenticationMethods publickey,password")
        assert "needs more than a key" in refusal(server.endpoint, LoginError).message

    def test_too_many_wrong_keys(self, start_sshd: Start, tmp_path: Path) -> None:
        server = start_sshd(extra="MaxAuthTries 2")
        keys = tuple(_key(tmp_path, f"k{number}") for number in range(4))
        assert "was refused" in refusal(replace(server.endpoint, keys=keys), LoginError).message

    def test_by_agent(self, sshd: Sshd, agent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        subprocess.run(["ssh-add", "-q", str(sshd.key)], check=True, env={**os.environ, "SSH_AUTH_SOCK": str(agent)})
        monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
        with to(replace(sshd.endpoint, keys=(), own_keys=False)) as transport:
            assert transport.run(["true"], timeout=10).ok

    def test_a_key_with_a_passphrase_that_the_agent_has(
        self, sshd: Sshd, agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        locked = tmp_path / "locked"
        shutil.copy(sshd.key, locked)
        shutil.copy(f"{sshd.key}.pub", f"{locked}.pub")
        subprocess.run(["ssh-add", "-q", str(locked)], check=True, env={**os.environ, "SSH_AUTH_SOCK": str(agent)})
        subprocess.run(["ssh-keygen", "-q", "-p", "-N", "secret", "-f", str(locked)], check=True, capture_output=True)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
        endpoint = replace(sshd.endpoint, keys=(locked,), agent_only_for_keys=True)
        with to(endpoint) as transport:
            assert transport.run(["true"], timeout=10).ok

    def test_a_public_key_names_one_of_the_agents(
        self, sshd: Sshd, agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """IdentityFile x.pub with IdentitiesOnly: the private half is in the agent alone, as on a token."""
        env = {**os.environ, "SSH_AUTH_SOCK": str(agent)}
        subprocess.run(["ssh-add", "-q", str(_key(tmp_path, "another")), str(sshd.key)], check=True, env=env)
        named = tmp_path / "mine.pub"
        shutil.copy(f"{sshd.key}.pub", named)
        endpoint = replace(sshd.endpoint, keys=(named,), agent_only_for_keys=True)
        assert "there is no key to log in with" in refusal(endpoint, LoginError).message
        monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
        with to(endpoint) as transport:
            assert transport.run(["true"], timeout=10).ok


def test_no_more_sessions(start_sshd: Start) -> None:
    server = start_sshd(extra="MaxSessions 0")
    assert "opened no session" in refusal(server.endpoint, ConnectError).message


def test_a_login_shell_that_talks_does_not_confuse_an_upload(start_sshd: Start, tmp_path: Path) -> None:
    server = start_sshd()
    (server.home / ".bashrc").write_text("echo Welcome to the board, 12 updates\n")
    model = _model(tmp_path, 1 << 20)
    remote = PurePosixPath(server.home / "m")
    with to(server.endpoint) as transport:
        assert transport.put(model, remote, sha256=_hash(model), timeout=10) == 1 << 20
        assert transport.put(model, remote, sha256=_hash(model), timeout=10) == 0


def test_a_server_that_cannot_store(sshd: Sshd, tmp_path: Path) -> None:
    model = _model(tmp_path, 1 << 10)
    with to(sshd.endpoint) as transport, pytest.raises(TransferError, match="cannot be written"):
        transport.put(model, PurePosixPath("/proc/none/m"), sha256=_hash(model), timeout=10)


@pytest.fixture(autouse=True)
def no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture
def agent(sshd: Sshd) -> Iterator[Path]:
    """The socket of an ssh-agent without keys."""
    path = sshd.folder / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
    wait_until(path.exists, "ssh-agent to listen")
    yield path
    process.terminate()
    process.wait()
    path.unlink(missing_ok=True)


def _answer(listener: socket.socket, data: bytes) -> None:
    connection, _ = listener.accept()
    with connection, contextlib.suppress(OSError):
        connection.sendall(data)
        while connection.recv(65_536):
            pass


def _key(folder: Path, name: str = "key", passphrase: str = "") -> Path:
    path = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(path)], check=True)
    return path


def _fingerprint(server: Sshd) -> str:
    shown = subprocess.run(
        ["ssh-keygen", "-lf", str(server.folder / "host_ed25519.pub")], check=True, capture_output=True, text=True
    )
    return shown.stdout.split()[1]


def _known(server: Sshd) -> str:
    return f"[127.0.0.1]:{server.port} {server.host_key()}\n"


def _model(folder: Path, size: int) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "model.onnx"
    path.write_bytes(os.urandom(size))
    return path


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _settled(path: Path) -> bool:
    """The server's last writes after a cut are done: no process has the file open."""
    return path.exists() and not any(_opens(process, path) for process in Path("/proc").glob("[0-9]*"))


def _opens(process: Path, path: Path) -> bool:
    with contextlib.suppress(OSError):
        return any(os.path.realpath(fd) == str(path) for fd in (process / "fd").iterdir())
    return False
