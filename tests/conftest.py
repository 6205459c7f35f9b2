"""Shared by every tier: the SSH server's fixtures, and the check that a test leaves nothing running or open."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = [
    "tests.browser",
    "tests.operator",
    "tests.ssh.sshd",
    "tests.stand_ins.containers",
    "tests.stand_ins.cudart",
    "tests.stand_ins.tensorrt_fixture",
]

_PATIENCE_S = 5.0
# multiprocessing keeps its own for the life of the process, the fixtures of tests.ssh.sshd and tests.cluster end theirs
_LASTING = ("resource_tracker", "forkserver", "ebsshd-", "ebcluster-")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "leaves(reason): a library keeps threads, sockets or children; says which")


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test after which threads, sockets, pipes or child processes are left that were not there before it, or
    another time limit for every socket to come."""
    if request.node.get_closest_marker("leaves"):
        yield
        return
    before = _standing()
    yield
    left = _left(before)
    end = time.monotonic() + _PATIENCE_S
    while left and time.monotonic() < end:  # what was told to end may take a moment
        gc.collect()
        time.sleep(0.01)
        left = _left(before)
    if left:
        pytest.fail(f"left behind: {', '.join(sorted(left))}", pytrace=False)


def _left(before: set[str]) -> set[str]:
    return _standing() - before


def _standing() -> set[str]:
    threads = {f"thread {thread.name} ({thread.ident})" for thread in threading.enumerate() if thread.is_alive()}
    return threads | _descriptors() | _children() | {f"a default timeout of sockets: {socket.getdefaulttimeout()}"}


def _descriptors() -> set[str]:
    """Sockets and pipes; a plain file may be one that a library keeps open for good reason."""
    found = set()
    for entry in Path("/proc/self/fd").glob("*"):
        with contextlib.suppress(OSError):
            target = str(entry.readlink())
            if target.startswith(("socket:", "pipe:")):
                found.add(target)
    return found


def _children() -> set[str]:
    found = set()
    for path in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for pid in path.read_text().split():
                command = (
                    Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                )
                if not any(word in command for word in _LASTING):
                    found.add(f"process {pid} {command[:60] or '(ended, not waited for)'}")
    return found


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a real file system of 1 MiB, to be filled up."""
    folder = tmp_path / "small-disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("a small file system is mounted by root alone")
    options = ["-t", "tmpfs", "-o", "size=1m", "edgebench-test", str(folder)]
    mounted = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here ({mounted.stderr.strip()})")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
