"""The one exception of the agent: a failure with its code, stage, place and fix, ready to be sent home."""

from __future__ import annotations

from device_agents.contract import ErrorInfo


class DeviceError(Exception):
    """Something on the device that the operator has to know. `info` crosses the boundary."""

    def __init__(self, code: str, stage: str, message: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(message)
        self.info = ErrorInfo(code, stage, message, where, fix)
