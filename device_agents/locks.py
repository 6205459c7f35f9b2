"""Kernel locks, one a job and one an accelerator. They have no expiry: the kernel frees them with their holder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Dict, Iterator, Optional

_FOLDERS = ("/run/lock", "/tmp")  # outside HOME: shared by users and containers # noqa: S108
_OTHERS_MAY_WRITE = 0o002


class Busy(Exception):
    """Somebody else holds the lock; `holder` is what they wrote into it."""

    def __init__(self, holder: Dict[str, object]) -> None:
        super().__init__("the lock is held")
        self.holder = holder


def accelerator_path(key: str) -> Path:
    """The lock file of an accelerator: a GPU's UUID, or `cpu`. The same for every user: in the first folder that all of
    them may write into, which /run/lock is not everywhere (systemd 258 and Fedora make it root's alone)."""
    folder = next((Path(name) for name in _FOLDERS if _is_everybodys(name)), Path(_FOLDERS[-1]))
    safe = "".join(letter if letter.isalnum() or letter == "-" else "-" for letter in key)
    return folder / f"edgebench-{safe}.lock"


def _is_everybodys(folder: str) -> bool:
    try:
        return bool(Path(folder).stat().st_mode & _OTHERS_MAY_WRITE)
    except OSError:
        return False


def open_lock(path: Path) -> int:
    """A descriptor for the lock file, creating it for all users. Not locked yet; closed on exec."""
    with contextlib.suppress(FileNotFoundError):
        return os.open(str(path), os.O_RDWR | os.O_CLOEXEC)
    with contextlib.suppress(FileExistsError):  # somebody was faster
        return _created(path)
    return os.open(str(path), os.O_RDWR | os.O_CLOEXEC)


def _created(path: Path) -> int:
    """For all users from its first moment on. Another user's file is never opened by O_CREAT: in a sticky folder the
    kernel refuses that (fs.protected_regular), to root as well."""
    mask = os.umask(0)
    try:
        return os.open(str(path), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    finally:
        os.umask(mask)


def acquire(descriptor: int, timeout_s: float) -> None:
    """Take the lock, waiting at most `timeout_s` (0: not at all) without polling. Errors: Busy."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    except BlockingIOError:
        if timeout_s <= 0:
            raise Busy(holder(descriptor)) from None
    try:
        with alarm(timeout_s):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    except Expired:
        raise Busy(holder(descriptor)) from None


def sign(descriptor: int, facts: Dict[str, object]) -> None:
    """Write who holds the lock into it, for those who wait."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(facts).encode(), 0)


def holder(descriptor: int) -> Dict[str, object]:
    """Who holds the lock, as far as they wrote it down."""
    try:
        facts = json.loads(os.pread(descriptor, 4096, 0))
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


class Expired(Exception):
    """The time of an `alarm` is up."""


@contextlib.contextmanager
def alarm(timeout_s: float) -> Iterator[None]:
    """Interrupt a blocking call after `timeout_s` (more than 0) by Expired. Main thread only, as signals are."""

    def expire(_signum: int, _frame: Optional[FrameType]) -> None:
        raise Expired

    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def now() -> str:
    """UTC, for people; never for measuring."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
