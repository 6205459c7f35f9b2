"""What a fault must not leave behind on a device. (tests/conftest.py looks after the controller: threads, sockets,
pipes, children.)"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
from pathlib import Path

from tests.ssh.sshd import Sshd, wait_until


def running(server: Sshd) -> dict[int, str]:
    """Processes of the device, by its home: commands, agents, jobs. Not sshd's own."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"HOME={server.home}".encode() in (process / "environ").read_bytes().split(b"\0"):
                line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                if line:
                    found[int(process.name)] = line
    return found


def end_commands(server: Sshd) -> None:
    """End what a test had running there: sshd ends no command whose connection is lost."""
    for pid in running(server):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def assert_quiet(server: Sshd) -> None:
    """No session is open and nothing of ours runs there, but for what takes a moment to notice that it is alone."""
    with contextlib.suppress(AssertionError):
        wait_until(lambda: not server.sessions() and not running(server), "the device to be quiet", 10)
    left = (server.sessions(), running(server))
    assert left == ([], {}), f"{left}\n{server.told()}"


def open_files() -> set[str]:
    """Files of ours that this process has open below the folder for temporary ones, removed ones as well."""
    found = set()
    for entry in Path("/proc/self/fd").glob("*"):
        with contextlib.suppress(OSError):
            target = str(entry.readlink())
            if target.startswith(tempfile.gettempdir() + os.sep):
                found.add(target)
    return found
