"""The processes of a job, seen from outside: its supervisor and all below it, and the worker in a container, whose
parent is the container's engine."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Sequence, Set

from device_agents.system import System

_ALL_THREADS_EVERY_S = 1.0  # a child of another thread than the first is rare
_CONTAINER_EVERY_S = 0.5
_LISTED_EVERY_S = 0.5


class Family:
    """`in_container` is what the command line of a worker in a container holds, "" where there is none."""

    def __init__(self, system: System, supervisor: int, in_container: str = "") -> None:
        self._proc = system.path("/proc")
        self._supervisor = supervisor
        self._in_container = in_container.encode()
        self._known: Set[int] = set()
        self._last: Dict[int, int] = {}  # CPU time of roots, which nobody adds up when they end
        self._roots: Set[int] = {supervisor}
        self._gone = 0
        self._threads_at = self._sought_at = 0.0
        told = (self._proc / str(supervisor) / "task" / str(supervisor) / "children").exists()
        self._parents = None if told else _Parents(self._proc)

    def pids(self) -> Set[int]:
        """All that live now."""
        now = time.monotonic()
        all_threads = now - self._threads_at > _ALL_THREADS_EVERY_S
        if all_threads:
            self._threads_at = now
        if self._in_container and now - self._sought_at > _CONTAINER_EVERY_S and len(self._roots) < 2:
            self._sought_at = now
            self._roots.update(self._contained())
        found: Set[int] = set()
        waiting = [*self._roots, *(self._known if not all_threads else ())]
        while waiting:
            pid = waiting.pop()
            if pid not in found and (self._proc / str(pid)).exists():
                found.add(pid)
                waiting += self._children(pid, all_threads)
        self._known = found
        return found

    def knows(self, pids: Set[int]) -> bool:
        """Whether all of them can be seen from here: those of another pid namespace cannot."""
        return all((self._proc / str(pid)).exists() for pid in pids)

    def cpu_ticks(self) -> Optional[int]:
        """CPU time that all of them have used so far, those included that have ended, in the ticks of proc_stat(5);
        None where the supervisor cannot be seen."""
        used = {pid: _ticks(self._text(pid, "stat")) for pid in self.pids()}
        if used.get(self._supervisor) is None:
            return None
        for root in [root for root in self._roots if used.get(root) is None]:
            self._gone += self._last.pop(root, 0)
            self._roots.discard(root)
        alive = {pid: ticks for pid, ticks in used.items() if ticks is not None}
        self._last = {root: alive[root] for root in self._roots if root != self._supervisor}
        return self._gone + sum(alive.values())

    def _children(self, pid: int, all_threads: bool) -> Iterable[int]:
        if self._parents is not None:
            return self._parents.children(pid)
        threads = self._proc.glob(f"{pid}/task/*") if all_threads else [self._proc / str(pid) / "task" / str(pid)]
        found: List[int] = []
        for thread in threads:
            found += [int(word) for word in _read(thread / "children").split()]
        return found

    def _contained(self) -> Iterable[int]:
        """Workers by their command line: `... worker --job FOLDER ...`."""
        own = self._known | {os.getpid(), self._supervisor}
        for path in self._proc.glob("[0-9]*"):
            words = _read(path / "cmdline").split(b"\0")
            if b"worker" in words and self._in_container in words and int(path.name) not in own:
                yield int(path.name)

    def _text(self, pid: int, name: str) -> bytes:
        return _read(self._proc / str(pid) / name)


class _Parents:
    """Who is whose child, by the parents that /proc/PID/stat names: for a kernel without CONFIG_PROC_CHILDREN, as
    NVIDIA's of JetPack 5 and 6 are. Each process is asked once, when it is new: the list alone costs little."""

    def __init__(self, proc: Path) -> None:
        self._proc = proc
        self._of: Dict[int, Optional[int]] = {}
        self._children: Dict[int, List[int]] = {}
        self._listed_at = 0.0

    def children(self, pid: int) -> Sequence[int]:
        """Those that lived when all processes were listed last; some may have ended since."""
        now = time.monotonic()
        if now - self._listed_at > _LISTED_EVERY_S:
            self._listed_at = now
            self._list()
        return self._children.get(pid, ())

    def _list(self) -> None:
        self._of = {pid: self._of[pid] if pid in self._of else self._parent(pid) for pid in self._pids()}
        self._children = {}
        for pid, parent in self._of.items():
            if parent is not None:
                self._children.setdefault(parent, []).append(pid)

    def _pids(self) -> List[int]:
        try:
            with os.scandir(str(self._proc)) as entries:
                return [int(entry.name) for entry in entries if entry.name.isdigit()]
        except OSError:
            return []

    def _parent(self, pid: int) -> Optional[int]:
        fields = _fields(_read(self._proc / str(pid) / "stat"))
        return int(fields[1]) if len(fields) > 1 else None


def _ticks(stat: bytes) -> Optional[int]:
    """utime, stime and those of children that were waited for, of /proc/PID/stat."""
    fields = _fields(stat)
    return sum(int(word) for word in fields[11:15]) if len(fields) > 15 else None


def _fields(stat: bytes) -> List[bytes]:
    """Of /proc/PID/stat, from the state on, the parent next: the name before them may hold spaces and `)`."""
    return stat.rpartition(b")")[2].split()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
