"""Any Linux machine: processor, memory, kernel, and how busy it is."""

from __future__ import annotations

import os
import platform
import re
import socket
import sys
import time
from pathlib import Path
from typing import List, Optional, Tuple, Union

from device_agents import logind
from device_agents.contract import Reading
from device_agents.family import Family
from device_agents.formats import linux
from device_agents.gauges import Gauges, processors, sensors
from device_agents.kinds import thermal
from device_agents.system import Readings, System, first_line, known

_GOVERNOR = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
_FREQUENCY = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"
_CACHE = "/sys/devices/system/cpu/cpu0/cache"
_MACHINE = "/etc/machine-id"
_SERIALS = (
    "/proc/device-tree/serial-number",  # Jetsons and other boards with a device tree
    "/sys/class/dmi/id/product_serial",  # servers; these two tell root alone
    "/sys/class/dmi/id/board_serial",
)
_NO_SERIAL = re.compile(
    r"(?:to be filled .*|default string|system serial number|not .*|none|n/?a|[0.\-x ]*)\Z", re.IGNORECASE
)
"""What makers put where a serial number belongs."""


def identity(system: System) -> Readings:
    return {
        "architecture": Reading(platform.machine(), "uname"),
        "cpu_model": system.text("/proc/cpuinfo", parse_cpu_model),
        "cpus": Reading(len(os.sched_getaffinity(0)), "sched_getaffinity"),
        "kernel": Reading(platform.release(), "uname"),
        "os": system.text("/etc/os-release", parse_os_name),
        "python": Reading(platform.python_version(), sys.executable or "python"),
        "serial": serial(system),
        "machine": system.text(_MACHINE, parse_machine),
    }


def context(system: System) -> Readings:
    return {
        "hostname": Reading(socket.gethostname() or "unnamed", "gethostname"),
        "memory_bytes": system.text("/proc/meminfo", lambda text: linux.parse_meminfo(text, "MemTotal")),
        "memory_free_bytes": system.text("/proc/meminfo", lambda text: linux.parse_meminfo(text, "MemAvailable")),
        "clock_unix_s": Reading(int(time.time()), "time"),
        "virtual_environment": Reading(virtual_environment(), sys.prefix),
        "cgroup_cpu_limit": cgroup_cpu_limit(system),
        "kills_jobs": logind.kills_jobs(system),
        "last_cache_bytes": known(last_cache_bytes(system), _CACHE, "no cache is described"),
    }


def state(system: System) -> Readings:
    return {
        "cpu_governor": system.text(_GOVERNOR),
        "cpu_khz": system.text(_FREQUENCY, int),
        "load_1m": system.text("/proc/loadavg", lambda text: float(text.split()[0])),
        "memory_available_bytes": system.text("/proc/meminfo", lambda text: linux.parse_meminfo(text, "MemAvailable")),
    }


def gauges(system: System, family: Family) -> Gauges:
    """What is watched of it while a job runs."""
    found = processors.gauges(system, family)
    found.include(sensors.gauges(system))
    return found


def serial(system: System) -> Reading:
    """The board's serial number, as its maker wrote it; unknown where the machine has none, or tells root alone."""
    readings = [system.text(path, parse_serial) for path in _SERIALS]
    told = [reading for reading in readings if reading.unknown is None]
    return told[0] if told else Reading(unknown="; ".join(str(reading.unknown) for reading in readings))


def virtual_environment() -> str:
    """`none`, `open` (sees the system's packages) or `closed`, of the Python that runs this: see PEP 405."""
    if sys.prefix == sys.base_prefix:
        return "none"
    try:
        text = Path(sys.prefix, "pyvenv.cfg").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "closed"
    lines = (line.partition("=") for line in text.lower().splitlines())
    seen = any(key.strip() == "include-system-site-packages" and value.strip() == "true" for key, _, value in lines)
    return "open" if seen else "closed"


def temperature(system: System) -> Reading:
    """Of the hottest sensor, in degrees Celsius."""
    return thermal.hottest(system)


def busy_share(system: System, window_s: float = 0.25) -> Reading:
    """Share of all processors that was busy, or stolen by the hypervisor, while this process slept `window_s`."""
    before = system.text("/proc/stat")
    time.sleep(window_s)
    after = system.text("/proc/stat")
    if before.unknown or after.unknown:
        return before if before.unknown else after
    share = parse_busy_share(str(before.value), str(after.value))
    return known(share, f"/proc/stat over {window_s:g} s")


def last_cache_bytes(system: System) -> Optional[int]:
    """Size of the last level of cache that processor 0 sees, in bytes."""
    levels: List[Tuple[int, int]] = []
    for index in sorted(system.path(_CACHE).glob("index*")):
        try:
            level = int((index / "level").read_text())
            levels.append((level, parse_cache_size((index / "size").read_text())))
        except (OSError, ValueError):
            continue
    return max(levels)[1] if levels else None


def cgroup_cpu_limit(system: System) -> Reading:
    """Processors this group may use, from cgroup v2's cpu.max; `none` where there is no limit."""
    return system.text("/sys/fs/cgroup/cpu.max", parse_cpu_max)


def parse_cpu_model(text: str) -> Optional[str]:
    """The model line of /proc/cpuinfo; Arm names only implementer and part."""
    lines = text.splitlines()
    model = first_line(lines, "model name")
    if model:
        return model
    implementer, part = first_line(lines, "CPU implementer"), first_line(lines, "CPU part")
    return f"implementer {implementer} part {part}" if implementer and part else None


def parse_serial(text: str) -> Optional[str]:
    """A serial number, which ends in NUL in a device tree; None for what stands in for one."""
    found = text.strip("\0 \t\r\n")
    return None if _NO_SERIAL.match(found) or not found.isprintable() else found


def parse_machine(text: str) -> Optional[str]:
    """The 32 hexadecimal digits of machine-id(5); None while they are `uninitialized`."""
    found = text.strip()
    return found if re.match(r"[0-9a-f]{32}\Z", found) else None


def parse_os_name(text: str) -> Optional[str]:
    for line in text.splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip().strip('"')
    return None


def parse_cpu_max(text: str) -> Union[int, float, str]:
    """Processors, a whole number where they are; `none` for no limit."""
    quota, period = text.split()
    if quota == "max":
        return "none"
    whole, rest = divmod(int(quota), int(period))
    return round(int(quota) / int(period), 4) if rest else whole


def parse_cache_size(text: str) -> int:
    """`32768K` or `32M` in bytes."""
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    text = text.strip()
    return int(text[:-1]) * units[text[-1]] if text[-1:] in units else int(text)


def parse_busy_share(before: str, after: str) -> Optional[float]:
    """Busy share between two readings of /proc/stat, 0 to 1; what was stolen is busy, idle and iowait are not."""
    first, second = linux.parse_cpu_line(before), linux.parse_cpu_line(after)
    if first is None or second is None:
        return None
    used = linux.cpu_times(first, second)
    return round(used.busy / used.total, 4) if used.total else 0.0
