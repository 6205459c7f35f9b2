"""What may go from a working folder: ended jobs, and what no job uses, once nothing has touched it for long enough."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import List, Set, Tuple

from device_agents import jobs, status
from device_agents.contract import JobSpec, SchemaViolation, from_json, loads
from device_agents.errors import DeviceError
from device_agents.status import FINISHED


def collect(workdir: Path, keep_days: float) -> List[str]:
    """Remove what is older than `keep_days`; the paths that went, relative to `workdir`.

    Jobs that have not ended stay with their artifacts and their agents, and so does the agent that runs this. So do
    jobs of this boot while it is younger than that: a board without a battery for its clock begins in the past, and
    what it made an hour ago looks years old once the clock is set.
    """
    oldest = time.time() - keep_days * 86_400
    unfinished = {path for path in workdir.glob("jobs/*") if _is_unfinished(workdir, path.name)}
    keep = unfinished | _artifacts_of(workdir, unfinished)
    if unfinished:
        keep |= set(workdir.glob("agents/*"))
    if time.monotonic() < keep_days * 86_400:
        keep |= {path for path in workdir.glob("jobs/*") if _is_of_this_boot(path)}
    removed: List[str] = []
    for pattern in ("jobs/*", "artifacts/*", "agents/*", "engines/*", "caches/*"):
        for path in sorted(workdir.glob(pattern)):
            if path in keep or path.stat().st_mtime > oldest or path.name == Path(sys.argv[0]).name:
                continue
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            removed.append(str(path.relative_to(workdir)))
    return removed


def _is_unfinished(workdir: Path, job: str) -> bool:
    try:
        return jobs.status(workdir, job).state not in FINISHED
    except DeviceError:  # it never got a status, or a damaged one: nothing runs there
        return False


def _is_of_this_boot(job: Path) -> bool:
    try:
        found = status.read(job)
    except DeviceError:
        return False
    return found is not None and found.boot_id == status.process_identity(os.getpid())[0] != ""


def _artifacts_of(workdir: Path, folders: Set[Path]) -> Set[Path]:
    return {workdir / "artifacts" / name for folder in folders for name in _needed_by(folder)}


def _needed_by(folder: Path) -> Tuple[str, ...]:
    try:
        return from_json(JobSpec, loads((folder / "spec.json").read_bytes())).folders
    except (OSError, SchemaViolation):  # an agent of another version wrote it, perhaps
        return ()
