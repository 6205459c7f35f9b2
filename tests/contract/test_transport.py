"""What every transport keeps, whatever carries the bytes: LocalTransport and SSHTransport against a real OpenSSH."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from edge.transport.allowance import Allowance
from edge.transport.base import Transport
from edge.transport.files import Upload
from edge.transport.local import LocalTransport
from edge.transport.ssh import SSHTransport
from profiles.errors import Timeout, TransferError, TransportError
from tests.ssh.sshd import wait_until

ODD_NAMES = [
    "two words",
    "it's",
    'say "so"',
    "$(touch made-by-injection)",
    "`id`;x&&y|z>q",
    "line\nbreak",
    "-rf",
    "--",
    "*?[a]",
    "back\\slash",
    "grüße",
    "~root",
    "#hash",
]


@pytest.fixture(params=["local", "ssh"])
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    if request.param == "local":
        made: Transport = LocalTransport()
    else:
        made = SSHTransport(request.getfixturevalue("sshd").endpoint)
    with contextlib.closing(made):
        yield made


@pytest.fixture
def device(tmp_path: Path) -> PurePosixPath:
    """A folder on the device, not made yet."""
    return PurePosixPath(tmp_path) / "device" / "work"


@pytest.fixture
def payload(tmp_path: Path) -> Path:
    return _file(tmp_path / "model.onnx", os.urandom(300_000))


class TestRun:
    def test_output_streams_and_exit_code_come_back_apart(self, transport: Transport) -> None:
        done = transport.run(["sh", "-c", "echo out; echo err >&2; exit 7"], timeout=20)
        assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")
        assert not done.ok
        assert done.complaint == "err"

    def test_stdin_arrives_whole_and_ends(self, transport: Transport) -> None:
        data = os.urandom(3_000_000)
        done = transport.run(["sha256sum"], stdin=data, timeout=20)
        assert done.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()

    def test_large_stdin_and_large_output_do_not_block_each_other(self, transport: Transport) -> None:
        data = os.urandom(5_000_000)
        done = transport.run(["tee", "/dev/stderr"], stdin=data, timeout=20, max_output=20_000_000)
        assert done.stdout == done.stderr == data

    def test_a_command_that_ignores_its_stdin_is_no_error(self, transport: Transport) -> None:
        assert transport.run(["true"], stdin=b"x" * 5_000_000, timeout=20).ok

    @pytest.mark.parametrize("word", [*ODD_NAMES, "", " "])
    def test_words_arrive_as_they_are(self, transport: Transport, word: str) -> None:
        assert transport.run(["printf", "%s|", word], timeout=20).stdout == f"{word}|".encode()

    def test_undecodable_words_arrive_as_they_are(self, transport: Transport) -> None:
        assert transport.run(["printf", "%s", os.fsdecode(b"a\xffb")], timeout=20).stdout == b"a\xffb"

    @pytest.mark.parametrize("argv", [[], "ls", ["a\0b"]])
    def test_what_is_no_command_is_refused(self, transport: Transport, argv: list[str]) -> None:
        with pytest.raises(ValueError, match="command"):
            transport.run(argv, timeout=20)

    def test_a_missing_program_is_exit_127(self, transport: Transport) -> None:
        done = transport.run(["/no/such/program"], timeout=20)
        assert done.returncode == 127
        assert b"/no/such/program" in done.stderr

    def test_a_program_that_may_not_run_is_exit_126(self, transport: Transport, payload: Path) -> None:
        assert transport.run([str(payload)], timeout=20).returncode == 126

    def test_death_by_signal_is_negative(self, transport: Transport) -> None:
        assert transport.run(["sh", "-c", "kill -9 $$"], timeout=20).returncode < 0

    def test_a_command_costs_its_timeout_and_no_more(self, transport: Transport) -> None:
        transport.run(["true"], timeout=20)
        start = time.monotonic()
        with pytest.raises(Timeout, match=r"sleep did not finish within 0\.5 s"):
            transport.run(["sleep", "60"], timeout=0.5)
        assert time.monotonic() - start < 1.5
        assert transport.run(["true"], timeout=20).ok, "the transport is of use afterwards"

    def test_endless_output_is_cut_off(self, transport: Transport) -> None:
        with pytest.raises(TransportError, match="yes printed more than 1,048,576 bytes"):
            transport.run(["yes"], timeout=20)

    def test_endless_errors_are_cut_off(self, transport: Transport) -> None:
        with pytest.raises(TransportError, match="printed more than 1,000 bytes"):
            transport.run(["sh", "-c", "yes >&2"], timeout=20, max_output=1000)

    def test_output_of_just_the_limit_is_read(self, transport: Transport) -> None:
        done = transport.run(["head", "-c", "1000", "/dev/zero"], timeout=20, max_output=1000)
        assert len(done.stdout) == 1000

    @pytest.mark.parametrize("timeout", [0, -1])
    def test_no_time_is_no_timeout(self, transport: Transport, timeout: float) -> None:
        with pytest.raises(ValueError, match="timeout"):
            transport.run(["true"], timeout=timeout)

    def test_calls_run_side_by_side(self, transport: Transport) -> None:
        """Each of two commands waits for a file that the other one makes."""
        answers: list[bool] = []
        folder = transport.run(["mktemp", "-d"], timeout=20).stdout.decode().strip()
        script = 'touch "$1"; while [ ! -e "$2" ]; do sleep 0.01; done; rm "$2"'

        def call(mine: str, other: str) -> None:
            answers.append(transport.run(["sh", "-c", script, "sh", mine, other], timeout=20).ok)

        names = f"{folder}/a", f"{folder}/b"
        threads = [threading.Thread(target=call, args=pair) for pair in (names, names[::-1])]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        transport.run(["rm", "-r", folder], timeout=20)
        assert answers == [True, True]


class TestPutAll:
    @pytest.fixture
    def uploads(self, tmp_path: Path, device: PurePosixPath) -> list[Upload]:
        """Seventy files of unlike sizes, with odd names among them, in two folders."""
        names = [*ODD_NAMES, *(f"file-{number}" for number in range(70 - len(ODD_NAMES)))]
        found = []
        for number, name in enumerate(names):
            path = _file(tmp_path / f"{number}.bin", os.urandom(number * 101))
            found.append(Upload(path, device / f"folder {number % 2}" / name, _hash(path)))
        return found

    def test_all_arrive_and_nothing_is_sent_twice(self, transport: Transport, uploads: list[Upload]) -> None:
        total = sum(one.local.stat().st_size for one in uploads)
        assert transport.put_all(uploads, timeout=60) == total
        for one in uploads:
            assert Path(one.remote).read_bytes() == one.local.read_bytes()
        assert transport.put_all(uploads, timeout=60) == 0
        assert transport.put_all([], timeout=60) == 0

    def test_what_is_sent_is_taken_from_the_allowance_and_too_much_is_refused_before(
        self, transport: Transport, uploads: list[Upload]
    ) -> None:
        few = uploads[10:13]
        size = sum(one.local.stat().st_size for one in few)
        _there(few[0].part, few[0].local.read_bytes()[:100])
        allowance = Allowance(size - 101)
        with pytest.raises(TransferError, match=f"would take {size - 100:,} bytes .* {size - 101:,} of max_bytes"):
            transport.put_all(few, timeout=60, allowance=allowance)
        assert not any(Path(one.remote).exists() for one in few)
        assert allowance.spent == 0
        allowance = Allowance(size - 100)
        assert transport.put_all(few, timeout=60, allowance=allowance) == size - 100 == allowance.spent
        assert allowance.left == 0

    def test_each_goes_on_from_what_is_there(self, transport: Transport, uploads: list[Upload]) -> None:
        data = [one.local.read_bytes() for one in uploads]
        _there(uploads[60].part, data[60][:1000])
        _there(uploads[61].part, data[61])
        _there(uploads[62].part, b"x" * 500)
        _there(uploads[63].part, b"x" * 100_000)
        _there(uploads[64].remote, data[64])
        chosen = uploads[60:66]
        sizes = [len(one) for one in data[60:66]]
        expected = sizes[0] - 1000 + 0 + (sizes[2] - 500) + sizes[2] + sizes[3] + 0 + sizes[5]
        assert transport.put_all(chosen, timeout=60) == expected
        for one in chosen:
            assert Path(one.remote).read_bytes() == one.local.read_bytes()
            assert not Path(one.part).exists()

    def test_one_that_is_not_what_its_hash_says_does_not_keep_others_from_arriving(
        self, transport: Transport, uploads: list[Upload]
    ) -> None:
        wrong = replace(uploads[5], sha256="0" * 64)
        with pytest.raises(TransferError, match=r"5\.bin is damaged"):
            transport.put_all([*uploads[:5], wrong, *uploads[6:10]], timeout=60)
        assert not Path(wrong.remote).exists()
        assert [Path(one.remote).exists() for one in uploads[:10]] == [number != 5 for number in range(10)]
        assert not any(Path(one.part).exists() for one in uploads)

    def test_a_folder_in_the_way_is_named(self, transport: Transport, uploads: list[Upload]) -> None:
        Path(uploads[7].remote).mkdir(parents=True)
        with pytest.raises(TransferError, match=r"is a folder"):
            transport.put_all(uploads[:10], timeout=60)

    def test_one_that_becomes_shorter_under_way_ends_it(self, transport: Transport, uploads: list[Upload]) -> None:
        def shorten(what: str, done: int, total: int) -> None:
            uploads[30].local.write_bytes(b"")

        with pytest.raises(TransferError, match="became shorter while it was sent"):
            transport.put_all(uploads[20:40], timeout=60, progress=shorten)
        assert not any(Path(one.part).exists() for one in uploads)
        assert not Path(uploads[30].remote).exists()

    def test_progress_is_of_each_file(self, transport: Transport, uploads: list[Upload]) -> None:
        told: dict[str, int] = {}
        transport.put_all(uploads[1:9], timeout=60, progress=lambda what, done, _: told.update({what: done}))
        assert told == {f"upload {one.local.name}": one.local.stat().st_size for one in uploads[1:9]}


class TestPut:
    def test_the_file_arrives_and_is_private(self, transport: Transport, payload: Path, device: PurePosixPath) -> None:
        remote = device / "artifacts" / "model.onnx"
        assert transport.put(payload, remote, sha256=_hash(payload), timeout=20) == 300_000
        assert Path(remote).read_bytes() == payload.read_bytes()
        assert stat.S_IMODE(Path(remote).stat().st_mode) == 0o600
        assert {stat.S_IMODE(Path(folder).stat().st_mode) for folder in (device, device / "artifacts")} == {0o700}
        assert _names(remote) == ["model.onnx"]

    def test_what_is_there_is_not_sent(self, transport: Transport, payload: Path, device: PurePosixPath) -> None:
        remote = device / "model.onnx"
        transport.put(payload, remote, sha256=_hash(payload), timeout=20)
        assert transport.put(payload, remote, sha256=_hash(payload), timeout=20) == 0

    def test_a_name_is_no_proof(self, transport: Transport, payload: Path, device: PurePosixPath) -> None:
        remote = _there(device / "model.onnx", b"x" * 300_000)
        assert transport.put(payload, remote, sha256=_hash(payload), timeout=20) == 300_000
        assert Path(remote).read_bytes() == payload.read_bytes()

    def test_a_cut_upload_goes_on_where_it_ended(
        self, transport: Transport, payload: Path, device: PurePosixPath
    ) -> None:
        _there(device / "model.onnx.part", payload.read_bytes()[:200_000])
        remote = device / "model.onnx"
        assert transport.put(payload, remote, sha256=_hash(payload), timeout=20) == 100_000
        assert Path(remote).read_bytes() == payload.read_bytes()
        assert _names(remote) == ["model.onnx"]

    def test_a_whole_part_needs_no_more_bytes(self, transport: Transport, payload: Path, device: PurePosixPath) -> None:
        _there(device / "model.onnx.part", payload.read_bytes())
        assert transport.put(payload, device / "model.onnx", sha256=_hash(payload), timeout=20) == 0

    @pytest.mark.parametrize("size", [100_000, 300_000, 400_000])
    def test_a_foreign_part_is_sent_anew(
        self, transport: Transport, payload: Path, device: PurePosixPath, size: int
    ) -> None:
        _there(device / "model.onnx.part", b"x" * size)
        remote = device / "model.onnx"
        sent = transport.put(payload, remote, sha256=_hash(payload), timeout=20)
        assert sent >= 300_000
        assert Path(remote).read_bytes() == payload.read_bytes()
        assert _names(remote) == ["model.onnx"]

    def test_an_empty_file(self, transport: Transport, tmp_path: Path, device: PurePosixPath) -> None:
        empty = _file(tmp_path / "empty", b"")
        assert transport.put(empty, device / "empty", sha256=_hash(empty), timeout=20) == 0
        assert Path(device / "empty").read_bytes() == b""

    def test_a_file_that_is_not_what_its_hash_says(
        self, transport: Transport, payload: Path, device: PurePosixPath
    ) -> None:
        remote = device / "model.onnx"
        with pytest.raises(TransferError, match=r"model\.onnx is damaged"):
            transport.put(payload, remote, sha256="0" * 64, timeout=20)
        assert _names(remote) == []

    def test_a_local_file_that_is_missing(self, transport: Transport, tmp_path: Path, device: PurePosixPath) -> None:
        with pytest.raises(TransferError, match="cannot be read"):
            transport.put(tmp_path / "none", device / "none", sha256="0" * 64, timeout=20)
        assert not Path(device).exists()

    def test_a_folder_in_the_way(self, transport: Transport, payload: Path, device: PurePosixPath) -> None:
        _there(device / "model.onnx" / "x", b"")
        with pytest.raises(TransferError, match="is a folder"):
            transport.put(payload, device / "model.onnx", sha256=_hash(payload), timeout=20)

    def test_a_file_where_a_folder_should_be(self, transport: Transport, payload: Path, device: PurePosixPath) -> None:
        _there(device, b"")
        with pytest.raises(TransferError, match="cannot be written"):
            transport.put(payload, device / "model.onnx", sha256=_hash(payload), timeout=20)

    def test_a_relative_path_is_refused(self, transport: Transport, payload: Path) -> None:
        with pytest.raises(ValueError, match="absolute"):
            transport.put(payload, PurePosixPath("model.onnx"), sha256=_hash(payload), timeout=20)

    def test_progress_reaches_the_size(self, transport: Transport, payload: Path, device: PurePosixPath) -> None:
        steps: list[tuple[int, int]] = []
        transport.put(
            payload,
            device / "model.onnx",
            sha256=_hash(payload),
            timeout=20,
            progress=lambda what, done=0, total=0: steps.append((done, total)),
        )
        assert steps == sorted(steps)
        assert steps[-1] == (300_000, 300_000)

    def test_a_full_disk_is_said_and_cleaned_up(self, transport: Transport, payload: Path, small_disk: Path) -> None:
        payload.write_bytes(os.urandom(3 << 20))
        remote = PurePosixPath(small_disk) / "artifacts" / "model.onnx"
        with pytest.raises(TransferError, match="disk of the device is full") as caught:
            transport.put(payload, remote, sha256=_hash(payload), timeout=20)
        assert str(remote) in str(caught.value)
        assert "free space there" in caught.value.fix
        assert _names(remote) == []


class TestGet:
    def test_the_file_arrives(self, transport: Transport, payload: Path, tmp_path: Path) -> None:
        transport.get(PurePosixPath(payload), tmp_path / "back", limit=300_000, timeout=20)
        assert (tmp_path / "back").read_bytes() == payload.read_bytes()

    def test_an_older_file_is_replaced(self, transport: Transport, payload: Path, tmp_path: Path) -> None:
        _file(tmp_path / "back", b"old")
        transport.get(PurePosixPath(payload), tmp_path / "back", limit=300_000, timeout=20)
        assert (tmp_path / "back").read_bytes() == payload.read_bytes()

    @pytest.mark.parametrize(
        ("remote", "says"),
        [
            ("model.onnx", "larger than the 299,999 bytes"),
            ("none", "cannot be read"),
            ("folder", "no regular file"),
            ("pipe", "no regular file"),
            ("endless", "no regular file"),
        ],
    )
    def test_what_is_refused_leaves_nothing(
        self, transport: Transport, payload: Path, tmp_path: Path, remote: str, says: str
    ) -> None:
        (tmp_path / "folder").mkdir()
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "endless").symlink_to("/dev/zero")
        (tmp_path / "results").mkdir()
        with pytest.raises(TransferError, match=says):
            transport.get(PurePosixPath(tmp_path / remote), tmp_path / "results" / "back", limit=299_999, timeout=20)
        assert list((tmp_path / "results").iterdir()) == []

    def test_a_local_folder_that_is_missing(self, transport: Transport, payload: Path, tmp_path: Path) -> None:
        with pytest.raises(TransferError, match="cannot be written"):
            transport.get(PurePosixPath(payload), tmp_path / "none" / "back", limit=300_000, timeout=20)

    def test_a_full_local_disk_is_a_local_error(self, transport: Transport, payload: Path, small_disk: Path) -> None:
        payload.write_bytes(os.urandom(3 << 20))
        with pytest.raises(TransferError, match="cannot be written"):
            transport.get(PurePosixPath(payload), small_disk / "back", limit=1 << 30, timeout=20)
        assert list(small_disk.iterdir()) == []


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_there_and_back(transport: Transport, payload: Path, device: PurePosixPath, name: str) -> None:
    remote = device / name / name
    transport.put(payload, remote, sha256=_hash(payload), timeout=20)
    assert transport.put(payload, remote, sha256=_hash(payload), timeout=20) == 0
    assert _names(remote) == [name]
    local = payload.parent / "back"
    transport.get(remote, local, limit=300_000, timeout=20)
    assert local.read_bytes() == payload.read_bytes()


def test_close_ends_a_call_of_another_thread(transport: Transport, tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def call() -> None:
        try:
            transport.run(["sh", "-c", 'touch "$1"; sleep 60', "sh", str(tmp_path / "started")], timeout=60)
        except TransportError as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    wait_until((tmp_path / "started").exists, "the command to start")
    start = time.monotonic()
    transport.close()
    thread.join()
    assert time.monotonic() - start < 3
    assert "closed by edgebench" in str(errors[0])


def test_a_closed_transport_stays_closed(transport: Transport, payload: Path, device: PurePosixPath) -> None:
    transport.run(["true"], timeout=20)
    transport.close()
    transport.close()
    with pytest.raises(TransportError, match="closed"):
        transport.run(["true"], timeout=20)
    with pytest.raises(TransportError, match="closed"):
        transport.put(payload, device / "model.onnx", sha256=_hash(payload), timeout=20)


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _file(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _there(remote: PurePosixPath, data: bytes) -> PurePosixPath:
    Path(remote).parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    Path(remote).write_bytes(data)
    return remote


def _names(remote: PurePosixPath) -> list[str]:
    return sorted(path.name for path in Path(remote).parent.iterdir())
