"""What a job turns on its device: each knob by itself, and what is refused before anything is turned.

The tools are stand-ins (tests/boards.py, tests/stand_ins/sudo.py)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from device_agents import locks
from device_agents.contract import Control, Controlled, ErrorInfo
from device_agents.control import holding, knobs, root
from device_agents.control.record import Shelf
from device_agents.control.root import Root, check_folder, line
from device_agents.errors import DeviceError
from device_agents.system import System
from tests.boards import FLOATING, LOCKED, Board

ALL = Control(lock_clocks=True, power_mode="MODE_15W")


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    board = Board(tmp_path / "board")
    monkeypatch.setenv("PATH", f"{board.device.tools}:/usr/bin:/bin")
    return board


def system(board: Board) -> System:
    return System(board.device.root)


@contextmanager
def held(board: Board, control: Control) -> Iterator[list[Controlled]]:
    with holding.held(workdir(board), "job-1", control, system(board), "gpu-of-test", []) as controlled:
        yield controlled


def workdir(board: Board) -> Path:
    return board.device.root.parent / "work"


def refused(board: Board, control: Control) -> ErrorInfo:
    """Why it is refused; nothing is turned, and nothing left, then."""
    before = (board.mode, board.clocks)
    with pytest.raises(DeviceError) as caught, held(board, control):
        pass
    assert (board.mode, board.clocks) == before
    assert not list(workdir(board).rglob("*.json"))
    return caught.value.info


class TestClocksOfAJetson:
    def test_are_stored_locked_and_restored(self, board: Board) -> None:
        board.allow_all()
        with held(board, Control(lock_clocks=True)) as controlled:
            assert board.clocks == LOCKED
        assert board.clocks == FLOATING
        floating = "GPU 306-1300 MHz, CPU 730-2202 MHz"
        assert controlled == [Controlled("lock_clocks", floating, "GPU 1300 MHz, CPU 2202 MHz", floating)]
        assert board.calls == [
            "jetson_clocks --store clocks", "jetson_clocks", "jetson_clocks --restore clocks"
        ]  # fmt: skip

    def test_a_file_of_an_earlier_job_is_written_over(self, board: Board) -> None:
        board.allow_all()
        (board.roots / "clocks").write_text("something old\n")
        with held(board, Control(lock_clocks=True)):
            assert board.clocks == LOCKED
        assert board.clocks == FLOATING

    def test_that_stay_afloat_are_an_error(self, board: Board) -> None:
        board.allow_all()
        script = (board.device.tools / "jetson_clocks").read_text()
        (board.device.tools / "jetson_clocks").write_text(script.replace('"") cp', '"") true; exit 0; cp'))
        assert "the clocks float all the same: GPU 306-1300 MHz" in refused(board, Control(lock_clocks=True)).message

    def test_are_put_back_though_a_board_that_is_hot_by_then_holds_them_lower(self, board: Board) -> None:
        board.allow_all()
        with held(board, Control(lock_clocks=True)) as controlled:
            board.heat()
        floating = "GPU 306-1300 MHz, CPU 730-2202 MHz"
        after = "GPU 306-1100 MHz, CPU 730-1100 MHz"
        assert controlled == [Controlled("lock_clocks", floating, "GPU 1300 MHz, CPU 2202 MHz", after)]

    def test_that_were_locked_by_hand_are_lower_on_a_hot_board_too(self, board: Board) -> None:
        board.allow_all()
        board.device.file("/sys/class/devfreq/17000000.gpu/min_freq", LOCKED[0])
        with held(board, ALL) as controlled:
            board.heat()
        assert board.clocks == ("1100000000", "1100000000")
        assert not [one.problem for one in controlled if one.problem]

    def test_that_stay_locked_are_told_of_a_hot_board_too(self, board: Board) -> None:
        board.allow_all()
        script = (board.device.tools / "jetson_clocks").read_text()
        (board.device.tools / "jetson_clocks").write_text(script.replace("--restore)", "--restore) true ;;\n--never)"))
        with held(board, Control(lock_clocks=True)) as controlled:
            board.heat()
        assert controlled[0].problem == "it was GPU 306-1300 MHz, CPU 730-2202 MHz"
        assert controlled[0].after == "GPU 1100 MHz, CPU 1100 MHz"

    @pytest.mark.parametrize(
        ("after", "back"),
        [
            ("GPU 306-1300 MHz, CPU 730-2202 MHz", True),
            ("GPU 306-900 MHz, CPU 730-2202 MHz", True),
            ("GPU 306 MHz, CPU 700 MHz", True),
            ("GPU 306-1400 MHz, CPU 730-2202 MHz", False),
            ("GPU 306-1300 MHz, CPU 1000-2202 MHz", False),
            ("GPU 115-1300 MHz, CPU 730-2202 MHz", False),
            ("GPU ? MHz, CPU 730-2202 MHz", False),
        ],
    )
    def test_are_back_where_nothing_but_an_upper_bound_is_lower(self, board: Board, after: str, back: bool) -> None:
        (clocks,) = knobs.wanted(Control(lock_clocks=True), system(board), workdir(board) / "log")
        assert clocks.is_back("GPU 306-1300 MHz, CPU 730-2202 MHz", after) is back


class TestPowerMode:
    def test_is_set_by_the_number_that_its_name_has_there_and_put_back(self, board: Board) -> None:
        board.allow_all()
        with held(board, Control(power_mode="MODE_15W")) as controlled:
            assert board.mode == "MODE_15W"
        assert board.mode == "MAXN"
        assert controlled[-1] == Controlled("power_mode", "MAXN", "MODE_15W", "MAXN")

    def test_clocks_that_were_locked_by_hand_are_locked_again(self, board: Board) -> None:
        """nvpmodel sets them anew, both when it goes and when it comes back."""
        board.allow_all()
        board.device.file("/sys/class/devfreq/17000000.gpu/min_freq", LOCKED[0])
        with held(board, ALL) as controlled:
            assert (board.mode, board.clocks) == ("MODE_15W", ("420750000", "420750000"))
        assert (board.mode, board.clocks) == ("MAXN", LOCKED)
        assert [one.name for one in controlled] == ["clocks_of_mode", "power_mode", "lock_clocks"]
        assert not [one.problem for one in controlled if one.problem]

    def test_the_one_that_is_set_is_left_alone(self, board: Board) -> None:
        board.allow_all()
        with held(board, Control(power_mode="MAXN")) as controlled:
            pass
        assert controlled[-1] == Controlled("power_mode", "MAXN", "MAXN", "MAXN")
        assert board.calls == []

    def test_an_unknown_one_is_refused_with_those_that_there_are(self, board: Board) -> None:
        board.allow_all()
        found = refused(board, Control(power_mode="MAXQ"))
        assert found.message.endswith("it has no power mode MAXQ; it has: MAXN, MODE_15W, MODE_30W")

    def test_one_that_wants_a_restart_is_refused_and_never_answered(self, board: Board) -> None:
        board.allow_all()
        found = refused(board, Control(power_mode="MODE_30W"))
        assert found.message == "the power mode MODE_30W needs a restart of the device, which is left to you"
        assert not board.answered


class TestSudo:
    def test_that_refuses_names_the_line_that_helps_word_for_word(self, board: Board) -> None:
        found = refused(board, Control(lock_clocks=True))
        tools = board.device.tools
        assert found.message == (
            f"sudo does not run {tools}/jetson_clocks --store {board.roots}/clocks and 2 more without a password"
        )
        _, _, rule = found.fix.partition("and add: ")
        assert rule.endswith(
            f"ALL=(root) NOPASSWD: {tools}/jetson_clocks --store {board.roots}/clocks, "
            f'{tools}/jetson_clocks "", {tools}/jetson_clocks --restore {board.roots}/clocks'
        )
        board.sudoers(rule)
        with held(board, Control(lock_clocks=True)):
            assert board.clocks == LOCKED

    def test_that_would_not_put_back_is_found_before_anything_is_turned(self, board: Board) -> None:
        board.allow("jetson_clocks --store {roots}/clocks", "jetson_clocks")
        assert "--restore" in refused(board, Control(lock_clocks=True)).message
        assert board.calls == [], "it was asked what it would allow, and no more"

    def test_marks_of_sudoers_are_escaped_in_the_line(self) -> None:
        assert line([["/bin/x", "-lgc", "1410,1410"]]).endswith(r"NOPASSWD: /bin/x -lgc 1410\,1410")

    @pytest.mark.parametrize(
        ("listing", "missing"),
        [
            ("    (ALL : ALL) ALL\n", True),
            ("    (ALL) NOPASSWD: ALL\n", False),
            ('    (root) NOPASSWD: /bin/x "", /bin/y 1\n', False),
            ("    (root) NOPASSWD: /bin/x\n", False),
            ("    (root) NOPASSWD: /bin/x 2\n", True),
            ("    (root) NOPASSWD: /bin/y, PASSWD: /bin/x\n", True),
            ("    (root) NOPASSWD: SETENV: /bin/x\n", False),
            ("    (ALL) NOPASSWD: ALL\n    (ALL : ALL) ALL\n", True),
            ("    (root) NOPASSWD: /bin/y 1,\n        /bin/x\n", False),
            ("    (operator) NOPASSWD: ALL\n", True),
        ],
    )
    def test_what_it_lets_one_do_is_read_as_sudoers_has_it(self, board: Board, listing: str, missing: bool) -> None:
        """The last entry that matches counts."""
        board.device.tool("sudo", f"cat <<'END'\nUser nvidia may run the following commands on board:\n{listing}END")
        assert bool(Root(system(board)).missing([["/bin/x"]])) is missing

    def test_root_needs_none(self, board: Board) -> None:
        if os.geteuid() != 0:
            pytest.skip("only root is root")
        assert Root(System()).missing([["jetson_clocks"]]) == []


HANGING_SUDO = """
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc != 4 || setuid(0)) return 1;
    FILE *pid = fopen(argv[3], "w");
    fprintf(pid, "%d", getpid());
    fclose(pid);
    for (;;) pause();
}
"""
"""`sudo -n PROGRAM FILE` becomes root's, as sudo does, says in FILE who it is, and never ends."""


class TestACommandThatDoesNotEnd:
    def test_is_killed_and_told(self, board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(root, "_TIMEOUT_S", 0.5)
        board.allow("jetson_clocks")
        board.device.tool("jetson_clocks", "exec sleep 600")
        with pytest.raises(DeviceError, match=r"/jetson_clocks failed: it did not end within 0\.5 s"):
            Root(system(board)).attempt(["jetson_clocks"])

    def test_is_told_though_sudo_is_root_s_and_cannot_be_killed(self, tmp_path: Path) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if os.geteuid() or compiler is None or shutil.which("setpriv") is None:
            pytest.skip(
                "only root makes a program that is root's for others, with a C compiler, and becomes one of them"
            )
        with tempfile.TemporaryDirectory() as folder:  # that others may look into
            Path(folder).chmod(0o755)
            sudo = Path(folder, "sudo")
            (tmp_path / "sudo.c").write_text(HANGING_SUDO)
            subprocess.run([compiler, "-o", sudo, tmp_path / "sudo.c"], check=True)
            sudo.chmod(0o4755)
            done = _as_nobody(
                "from device_agents.control import root\n"
                "from device_agents.errors import DeviceError\n"
                "from device_agents.system import System\n"
                "root._TIMEOUT_S = 0.5\n"
                "try:\n"
                f"    root.Root(System()).attempt(['jetson_clocks', '{folder}/pid'])\n"
                "except DeviceError as error:\n"
                "    print(error.info.message)\n",
                f"{folder}:/usr/bin:/bin",
            )
            os.kill(int(Path(folder, "pid").read_text()), signal.SIGKILL)  # it lives on
        assert done.stdout == f"jetson_clocks {folder}/pid failed: it did not end within 0.5 s\n", done.stderr

    def test_is_waited_for_when_the_job_is_cancelled_and_not_stopped_half_way(
        self, board: Board, tmp_path: Path
    ) -> None:
        board.allow("jetson_clocks")
        board.device.tool("jetson_clocks", f"sleep 1\ntouch {tmp_path}/whole")
        with pytest.raises(locks.Expired), locks.alarm(0.5):
            Root(system(board)).attempt(["jetson_clocks"])
        assert (tmp_path / "whole").exists()


def _as_nobody(script: str, path: str) -> subprocess.CompletedProcess[str]:
    """What another user's Python makes of it. Skips where another user cannot run this one."""
    environment = {"PATH": path, "PYTHONPATH": str(Path(root.__file__).parents[2]), "PYTHONDONTWRITEBYTECODE": "1"}
    user = ["setpriv", "--reuid", "65534", "--clear-groups", sys.executable, "-c"]
    for each in ("import device_agents.control.root", script):
        done = subprocess.run([*user, each], env=environment, capture_output=True, text=True, timeout=30, check=False)
        if done.returncode and each != script:
            pytest.skip(f"another user cannot run this Python: {done.stderr.strip()[-200:]}")
    return done


class TestTheFolderOfRoot:
    def test_is_asked_for_where_it_is_not_there(self, board: Board) -> None:
        board.allow_all()
        board.roots.rmdir()
        found = refused(board, Control(lock_clocks=True))
        assert "there is no" in found.message
        assert found.fix == f"sudo install -d -o root -m 0755 {board.roots}"

    def test_must_not_be_writable_by_others_nor_what_it_lies_in(self, board: Board) -> None:
        board.allow_all()
        for each in (board.roots, board.roots.parent):
            each.chmod(0o777)
            assert f"others than root may write into {each}" in refused(board, Control(lock_clocks=True)).message
            each.chmod(0o755)
        assert check_folder(system(board)) == ""

    def test_is_asked_for_together_with_the_line_of_sudoers(self, board: Board) -> None:
        board.roots.rmdir()
        fix = refused(board, Control(lock_clocks=True)).fix
        assert fix.startswith(f"sudo install -d -o root -m 0755 {board.roots}; then sudo visudo")

    def test_is_missed_before_anything_is_turned(self, board: Board, tmp_path: Path) -> None:
        board.allow_all()
        board.roots.chmod(0o777)
        product = Control(lock_clocks=True, quiesce=_words(f"touch {tmp_path}/stopped"), resume=("true",))
        refused(board, product)
        assert not (tmp_path / "stopped").exists()

    def test_that_others_may_write_by_now_is_not_read_back(self, board: Board) -> None:
        board.allow_all()
        with held(board, Control(lock_clocks=True)) as controlled:
            board.roots.chmod(0o777)
        assert "others than root may write into" in controlled[0].problem
        assert board.clocks == LOCKED
        board.roots.chmod(0o755)
        assert holding.recover(workdir(board), system(board), "gpu-of-test")[1] == []
        assert board.clocks == FLOATING

    def test_must_be_root_s(self, board: Board) -> None:
        if os.geteuid() != 0:
            pytest.skip("only root gives a folder away")
        os.chown(board.roots, 1, 1)
        assert f"{board.roots} belongs to user 1, not to root" in check_folder(system(board))

    def test_may_not_be_a_link_into_a_folder_of_somebody_else_s(self, board: Board) -> None:
        elsewhere = board.device.root / "home"
        elsewhere.mkdir()
        elsewhere.chmod(0o777)
        (elsewhere / "mine").mkdir(mode=0o755)
        board.roots.rmdir()
        board.roots.symlink_to(elsewhere / "mine")
        assert f"others than root may write into {elsewhere}" in check_folder(system(board))


class TestProduct:
    def test_is_stopped_and_started_as_the_user_of_the_device(self, board: Board, tmp_path: Path) -> None:
        said = tmp_path / "said"
        control = Control(quiesce=_words(f"echo stop >> {said}"), resume=_words(f"echo start >> {said}"))
        with held(board, control):
            assert said.read_text() == "stop\n"
        assert said.read_text() == "stop\nstart\n"
        assert board.calls == []

    def test_that_does_not_stop_is_started_all_the_same(self, board: Board, tmp_path: Path) -> None:
        said = tmp_path / "said"
        control = Control(quiesce=_words("echo no such unit >&2; exit 5"), resume=_words(f"echo start > {said}"))
        assert refused(board, control).message.endswith("failed: exit status 5: no such unit")
        assert said.read_text() == "start\n"

    def test_heeds_signals_that_a_job_ignores(self, board: Board, tmp_path: Path) -> None:
        said = tmp_path / "said"
        control = Control(quiesce=("true",), resume=_words(f"grep SigIgn /proc/self/status > {said}"))
        before = signal.signal(signal.SIGTERM, signal.SIG_IGN), signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            with held(board, control):
                pass
        finally:
            signal.signal(signal.SIGTERM, before[0])
            signal.signal(signal.SIGHUP, before[1])
        ignored = int(said.read_text().split()[1], 16)
        assert not ignored & (1 << 14 | 1 << 0), "SIGTERM and SIGHUP"


def test_a_device_without_knobs_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match="a cpu has no lock_clocks"):
        knobs.wanted(Control(lock_clocks=True), System(tmp_path), tmp_path / "log")


def test_a_record_that_is_damaged_stops_jobs_in_one_sentence(board: Board) -> None:
    path = Shelf(workdir(board)).path("job-0")
    path.parent.mkdir(parents=True)
    path.write_text('{"job": "job-0", "steps"')
    mended, (left,) = holding.recover(workdir(board), system(board), "gpu-of-test")
    assert mended == []
    assert str(left).startswith("the record of what job-0 has changed here is damaged (")
    assert left.info.fix == "put it back by hand, then remove that file"


def test_what_was_turned_is_on_the_disk_before_it_is_turned(board: Board) -> None:
    board.allow_all()
    with held(board, ALL):
        record = Shelf(workdir(board)).read("job-1")
    assert [(step.knob, step.before) for step in record.steps[1:]] == [
        ("power_mode", "MAXN"), ("lock_clocks", "GPU 306-421 MHz, CPU 730-2202 MHz"),
    ]  # fmt: skip
    assert not list(workdir(board).iterdir()), "and gone when it is put back"


def _words(script: str) -> tuple[str, ...]:
    return ("sh", "-c", script)
