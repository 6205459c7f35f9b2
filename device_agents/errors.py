"""The one exception of the agent: a failure with its code, stage, place and fix, ready to be sent home."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

from device_agents.contract import ErrorInfo

_LOG = "the job's log"


class DeviceError(Exception):
    """Something on the device that the operator has to know. `info` crosses the boundary."""

    def __init__(self, code: str, stage: str, message: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(message)
        self.info = ErrorInfo(code, stage, message, where, fix)


def with_log(info: ErrorInfo, job: Path) -> ErrorInfo:
    """With the path of the job's log, where that is what it sends its reader to."""
    log = f"{_LOG}, {job / 'log'}"
    return replace(info, message=info.message.replace(_LOG, log), fix=info.fix.replace(_LOG, log))


def io_error(error: OSError, stage: str, where: object) -> ErrorInfo:
    """A failed read or write on the device, with the remedy where the disk is full."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    fix = "free space there, or set `workdir` of the device in fleet.toml to a larger disk" if full else ""
    return ErrorInfo("device_io", stage, error.strerror or str(error), str(error.filename or where), fix)
