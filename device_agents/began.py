"""When this process began: imported before everything else of ours, so that an interpreter's start is told apart from
what the agent does. CLOCK_MONOTONIC throughout, as latencies are."""

from __future__ import annotations

import os
import time
from pathlib import Path

AGENT_NS = time.perf_counter_ns()
"""When the interpreter had started and came to the agent."""

_START_TIME = 19  # field 22 of proc_pid_stat(5), counted from behind the command's name


def process_ns() -> int:
    """When the kernel made this process, to a tick of proc_stat(5), 10 ms; `AGENT_NS` where it does not tell."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        born_ns = int(fields[_START_TIME]) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
        age_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - born_ns
    except (OSError, ValueError, IndexError, AttributeError):
        return AGENT_NS
    return min(AGENT_NS, time.perf_counter_ns() - age_ns)
