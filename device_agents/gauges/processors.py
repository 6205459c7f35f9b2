"""What processors and memory do, on any Linux machine."""

from __future__ import annotations

import os
import time
from collections import deque
from typing import Deque, List, NamedTuple, Optional, Sequence, Set, Tuple

from device_agents.family import Family
from device_agents.formats import linux
from device_agents.gauges import FileGauge, Gauge, Gauges, Kept, Quantity, Unreadable, paths, said
from device_agents.system import System

_POLICIES = "/sys/devices/system/cpu/cpufreq"
_SHARES = 10_000
_WINDOW_S = 0.5  # the kernel counts in hundredths of a second: shares of less are coarse
_AT_MOST = 16  # clocks a look, of a machine with very many


def gauges(system: System, family: Family) -> Gauges:
    """Clock, busy shares, how long a CPU limit stopped the job, memory in use."""
    found = Gauges()
    found.add(("cpu_clock",), lambda: Clocks(system, os.sched_getaffinity(0)))
    found.add(("cpu_busy", "cpu_foreign", "cpu_steal"), lambda: Shares(system, family))
    found.add(("throttled_limit",), lambda: Limit(system))
    found.add(("memory_used",), lambda: memory(system))
    return found


def memory(system: System) -> Gauge:
    source = "/proc/meminfo: MemTotal less MemAvailable"
    return FileGauge(system, "/proc/meminfo", "memory_used", "B", parse=linux.parse_memory_used, source=source)


class Clocks(Gauge):
    """The mean clock of the processors that may be used, weighted by how many share one."""

    def __init__(self, system: System, allowed: Set[int]) -> None:
        self._files: List[Tuple[int, Kept]] = []
        folders = paths(system, f"{_POLICIES}/policy*")
        shared = [(len(allowed & set(_numbers(said(system, f"{folder}/affected_cpus")))), folder) for folder in folders]
        used = [(weight, folder) for weight, folder in shared if weight]
        for weight, folder in used[:: -(-len(used) // _AT_MOST) or 1]:
            self._files.append((weight, Kept(system, f"{folder}/scaling_cur_freq")))
        if not self._files:
            raise Unreadable(f"{_POLICIES}: no clock is told, as in most virtual machines")
        source = f"{_POLICIES}/policy*/scaling_cur_freq, mean of {len(self._files)}"
        self.quantities = (Quantity("cpu_clock", "Hz", source),)

    def read(self) -> Sequence[Optional[int]]:
        told = [(weight, khz) for weight, khz in ((weight, file.number()) for weight, file in self._files) if khz]
        total = sum(weight for weight, _ in told)
        return (round(sum(weight * khz for weight, khz in told) * 1000 / total) if total else None,)

    def close(self) -> None:
        for _, file in self._files:
            file.close()


class _Look(NamedTuple):
    at: float
    line: Sequence[int]
    own: Optional[int]


class Shares(Gauge):
    """Of all processors over the last half second: busy or stolen by the hypervisor, as in the idle window; by
    processes that are not the job's; stolen."""

    def __init__(self, system: System, family: Family) -> None:
        self._file = Kept(system, "/proc/stat")
        self._family = family
        self._looks: Deque[_Look] = deque()
        over = f"over {_WINDOW_S:g} s"
        self.quantities = (
            Quantity("cpu_busy", "", f"/proc/stat {over}", _SHARES),
            Quantity("cpu_foreign", "", f"/proc/stat less /proc/PID/stat of the job's processes {over}", _SHARES),
            Quantity("cpu_steal", "", f"/proc/stat {over}", _SHARES),
        )

    def read(self) -> Sequence[Optional[int]]:
        line = linux.parse_cpu_line(self._file.text() or "")
        if line is None:
            return None, None, None
        now = _Look(time.monotonic(), line, self._family.cpu_ticks())
        self._looks.append(now)
        while len(self._looks) > 2 and self._looks[1].at <= now.at - _WINDOW_S:
            self._looks.popleft()
        return self._between(self._looks[0], now)

    def close(self) -> None:
        self._file.close()

    @staticmethod
    def _between(first: _Look, last: _Look) -> Sequence[Optional[int]]:
        used = linux.cpu_times(first.line, last.line)
        if not used.total:
            return None, None, None
        foreign = None
        if first.own is not None and last.own is not None:
            others = used.busy - used.stolen - (last.own - first.own)
            foreign = round(max(0, others) * _SHARES / used.total)
        return round(used.busy * _SHARES / used.total), foreign, round(used.stolen * _SHARES / used.total)


class Limit(Gauge):
    """How long CPU limits (cgroup) have stopped the job so far: its own group's and those above it."""

    def __init__(self, system: System) -> None:
        groups = [path for path in linux.cpu_groups(said(system, "/proc/self/cgroup")) if system.exists(path)]
        told = [path for path in groups if linux.parse_stopped_us(said(system, path)) is not None]
        if not told:
            raise Unreadable(
                "/sys/fs/cgroup: no cpu.stat of the job's control groups tells how long a limit stopped it"
            )
        self._files = [Kept(system, path) for path in told]
        above = f" and {len(told) - 1} above it" if len(told) > 1 else ""
        self.quantities = (Quantity("throttled_limit", "s", f"{told[0]}{above}", 1_000_000),)

    def read(self) -> Sequence[Optional[int]]:
        return (sum(linux.parse_stopped_us(file.text() or "") or 0 for file in self._files),)

    def close(self) -> None:
        for file in self._files:
            file.close()


def _numbers(text: str) -> List[int]:
    return [int(word) for word in text.split() if word.isdigit()]
