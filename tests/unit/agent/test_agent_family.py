"""The processes of a job and the CPU time that they use, seen from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from device_agents.family import Family
from device_agents.system import System
from tests.agent.agent_lab import until

TICKS = os.sysconf("SC_CLK_TCK")
BURN = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"


def burning(*words: str) -> subprocess.Popen[bytes]:
    """A child that has used 0.3 s of a processor once this returns, and waits."""
    pipe = subprocess.PIPE
    child = subprocess.Popen([sys.executable, "-c", BURN, *words], stdin=pipe, stdout=pipe)
    assert child.stdout is not None
    child.stdout.readline()
    return child


def test_what_a_child_used_counts_while_it_lives_and_after_it_ended() -> None:
    family = Family(System(), os.getpid())
    before = family.cpu_ticks()
    assert before is not None
    with burning() as child:
        during = family.cpu_ticks()
        assert child.pid in family.pids()
        child.communicate(b"\n")
    after = family.cpu_ticks()
    assert during is not None
    assert after is not None
    assert during - before >= 0.25 * TICKS
    assert after >= during
    assert child.pid not in family.pids()


def test_children_of_children_are_of_the_family_and_a_stranger_is_not() -> None:
    script = "import subprocess, sys\nc = subprocess.Popen(['cat'], stdin=-1)\nprint(c.pid, flush=True)\ninput()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe) as child:
        assert child.stdout is not None
        grandchild = int(child.stdout.readline())
        pids = Family(System(), os.getpid()).pids()
        child.communicate(b"\n")
    assert {os.getpid(), child.pid, grandchild} <= pids
    assert os.getppid() not in pids


def test_a_worker_in_a_container_is_of_the_family_by_its_command_line(tmp_path: Path) -> None:
    """Its parent is the container's engine: here a shell that has ended."""
    script = (
        f"{sys.executable} -c 'import time; time.sleep(60)' agent worker --job {tmp_path} >/dev/null 2>&1 & echo $!"
    )
    pid = int(subprocess.run(["sh", "-c", script], capture_output=True, check=True).stdout)
    try:
        until(lambda: str(tmp_path).encode() in Path(f"/proc/{pid}/cmdline").read_bytes())
        assert pid in Family(System(), os.getpid(), str(tmp_path)).pids()
        assert pid not in Family(System(), os.getpid()).pids()
        assert pid not in Family(System(), os.getpid(), f"{tmp_path}-of-another").pids()
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class TestAKernelThatNamesNoChildren:
    """Without CONFIG_PROC_CHILDREN, as NVIDIA's of JetPack 5 and 6: a root with what real processes say of themselves,
    and no /proc/PID/task."""

    def test_has_the_same_family(self, tmp_path: Path) -> None:
        script = "import subprocess, sys\nc = subprocess.Popen(['cat'], stdin=-1)\nprint(c.pid, flush=True)\ninput()"
        pipe = subprocess.PIPE
        with subprocess.Popen([sys.executable, "-c", script, ") 1 (R"], stdin=pipe, stdout=pipe) as child:
            assert child.stdout is not None
            grandchild = int(child.stdout.readline())
            pids = Family(told_by(tmp_path), os.getpid()).pids()
            child.communicate(b"\n")
        assert {os.getpid(), child.pid, grandchild} <= pids
        assert os.getppid() not in pids

    def test_has_what_a_child_used(self, tmp_path: Path) -> None:
        family = Family(told_by(tmp_path), os.getpid())
        before = family.cpu_ticks()
        assert before is not None
        with burning() as child:
            told_by(tmp_path)
            until(lambda: child.pid in family.pids(), timeout_s=5)
            during = family.cpu_ticks()
            child.communicate(b"\n")
        (tmp_path / "proc" / str(child.pid) / "stat").unlink()
        (tmp_path / "proc" / str(child.pid)).rmdir()
        after = family.cpu_ticks()
        assert during is not None
        assert after is not None
        assert during - before >= 0.25 * TICKS
        assert after >= during, "its parent has waited for it"
        assert child.pid not in family.pids()

    def test_is_asked_of_each_process_once(self, tmp_path: Path) -> None:
        """Of hundreds: reading them all again and again would show beside what is measured."""
        for pid, parent in ((10, 1), (11, 10), (12, 11), (13, 1)):
            stat(tmp_path, pid, parent)
        family = Family(System(tmp_path), 10)
        assert family.pids() == {10, 11, 12}
        stat(tmp_path, 13, 10)
        stat(tmp_path, 14, 12)
        until(lambda: 14 in family.pids(), timeout_s=5)
        assert family.pids() == {10, 11, 12, 14}


def told_by(root: Path) -> System:
    """A device whose processes are those that live here now, with their stat alone."""
    for path in Path("/proc").glob("[0-9]*"):
        folder = root / "proc" / path.name
        if not folder.exists():
            folder.mkdir(parents=True)
            (folder / "stat").symlink_to(path / "stat")
    return System(root)


def stat(root: Path, pid: int, parent: int) -> None:
    """A process with a name that ends like the fields after it."""
    path = root / "proc" / str(pid) / "stat"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{pid} (a) R 99 (b) S {parent} {pid} {pid} 0 -1 4194304 0 0 0 0 {' '.join(['5'] * 40)}\n")


def test_a_supervisor_that_cannot_be_seen_has_no_time(tmp_path: Path) -> None:
    assert Family(System(tmp_path), os.getpid()).cpu_ticks() is None


@pytest.mark.parametrize("pids", [{1 << 22}, {1 << 22, 1}])
def test_processes_of_another_namespace_are_not_known(pids: set[int]) -> None:
    family = Family(System(), os.getpid())
    assert family.knows({os.getpid(), os.getppid()})
    assert not family.knows(pids)
