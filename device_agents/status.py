"""Where a job stands, as its folder says, and which process wrote that."""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Tuple

from device_agents.contract import JobStatus, SchemaViolation, dumps, from_json, loads
from device_agents.errors import DeviceError
from device_agents.files import write_atomic

FINISHED = ("done", "failed", "cancelled", "lost")


def read(job: Path) -> Optional[JobStatus]:
    """The status in a job's folder; None before there is one. Errors: DeviceError when it is damaged."""
    try:
        return from_json(JobStatus, loads((job / "status.json").read_bytes()))
    except FileNotFoundError:
        return None
    except SchemaViolation as error:
        message = f"status.json is damaged ({error})"
        raise DeviceError("damaged_job", "collect", message, where=str(job), fix="remove that folder") from None


def write(job: Path, found: JobStatus) -> None:
    write_atomic(job / "status.json", dumps(found).encode())


def process_identity(pid: int) -> Tuple[str, int]:
    """Boot id and start time in clock ticks: together with the pid, unmistakable. ("", 0) when it is gone."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "", 0
    return boot, int(fields[19])  # field 22 of proc_pid_stat(5)
