"""What Linux tells of processors, memory and control groups in /proc and /sys: proc_stat(5), cgroups(7)."""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence, Tuple

_IDLE, _IOWAIT, _STEAL = 3, 4, 7


class CpuTimes(NamedTuple):
    """Ticks of all processors between two looks; what was stolen counts as busy."""

    total: int
    busy: int
    stolen: int


def parse_cpu_line(text: str) -> Optional[List[int]]:
    """user, nice, system, idle, iowait, irq, softirq, steal of all processors in /proc/stat; guest is part of user."""
    for line in text.splitlines():
        if line.startswith("cpu "):
            return [int(word) for word in line.split()[1:9]]
    return None


def cpu_times(before: Sequence[int], after: Sequence[int]) -> CpuTimes:
    """Idle and iowait are not busy."""
    deltas = [b - a for a, b in zip(before, after)]
    total = max(0, sum(deltas))
    return CpuTimes(total, max(0, total - deltas[_IDLE] - deltas[_IOWAIT]), max(0, deltas[_STEAL]))


def parse_meminfo(text: str, key: str) -> Optional[int]:
    """A line of /proc/meminfo in bytes."""
    for line in text.splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    return None


def parse_memory_used(text: str) -> Optional[int]:
    """Bytes that programs could not have: all but what is available."""
    total, available = parse_meminfo(text, "MemTotal"), parse_meminfo(text, "MemAvailable")
    return None if total is None or available is None else total - available


def cpu_groups(text: str) -> List[str]:
    """The cpu.stat of a process's control group and of those above it, the own first, from /proc/self/cgroup: of
    version 2 (`0::/a/b`), or of version 1 where its line names the controller (`1:cpu,cpuacct:/a/b`)."""
    found: List[str] = []
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if "cpu" in controllers.split(","):
            found = [f"/sys/fs/cgroup/{controllers}{group}/cpu.stat" for group in _upwards(path)]
            break
        if number == "0" and not controllers:
            found = [f"/sys/fs/cgroup{group}/cpu.stat" for group in _upwards(path)]
    return found


def parse_stopped_us(text: str) -> Optional[int]:
    """Microseconds for which a group was stopped, of its cpu.stat: `throttled_usec`, in version 1 `throttled_time` in
    nanoseconds."""
    words = dict(_pair(line) for line in text.splitlines())
    if "throttled_usec" in words:
        return int(words["throttled_usec"])
    return int(words["throttled_time"]) // 1000 if "throttled_time" in words else None


def _pair(line: str) -> Tuple[str, str]:
    name, _, value = line.strip().partition(" ")
    return name, value


def _upwards(path: str) -> List[str]:
    """`/a/b`, `/a` and "": in a container the path of the host may not be there, its top is."""
    parts = [part for part in path.split("/") if part]
    return ["".join(f"/{part}" for part in parts[:count]) for count in range(len(parts), -1, -1)]
