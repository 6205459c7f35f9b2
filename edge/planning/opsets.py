"""`--opset auto`: the newest opset that the runtimes of all chosen devices read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge.inventory.devices import Device
from edge.planning import choosing
from edge.planning.choosing import AUTO, Choices, Survey

CAREFUL = 17
"""Of a device that gave no answer: TensorRT 8.5 to 11 read it."""


@dataclass(frozen=True)
class Ceiling:
    """The newest opset that all read, None for any, and why."""

    opset: int | None
    why: str

    def within(self, can: range) -> tuple[int, str]:
        """(what an exporter with these opsets is to write, a sentence on why)."""
        if self.opset is None or self.opset > can[-1]:
            return can[-1], f"opset {can[-1]} (the newest that is written; {self.why})"
        return self.opset, f"opset {self.opset} ({self.why})"


def ceiling(devices: Sequence[Device], survey: Survey) -> Ceiling:
    """What every device reads with the backend that `deploy` would take there."""
    found = [_of(device, survey) for device in devices]
    told = [one for one in found if one.opset is not None]
    if told:
        return min(told, key=lambda one: one.opset or 0)
    return Ceiling(None, "; ".join(dict.fromkeys(one.why for one in found)))


def _of(device: Device, survey: Survey) -> Ceiling:
    if device.name in survey.failed:
        return Ceiling(CAREFUL, f"{device.name} gave no answer, and every TensorRT since 8.5 reads {CAREFUL}")
    (backend,) = choosing.backends((AUTO,), device, survey, Choices())
    version = survey.version(device.name, backend)
    has = f"{device.name} has {backend}{f' {version}' if version else ''}"
    opset = choosing.max_opset(device.name, backend, survey)
    return Ceiling(opset, f"{has}, which reads {'that' if opset is None else 'no newer'}")
