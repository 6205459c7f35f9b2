"""Options of a job, read as what they have to be. Errors of all: DeviceError `unsupported`."""

from __future__ import annotations

from typing import Sequence

from device_agents.contract import JobSpec
from device_agents.errors import DeviceError


def flag(spec: JobSpec, name: str, default: bool = False) -> bool:
    value = spec.options.get(name, default)
    if not isinstance(value, bool):
        raise DeviceError("unsupported", "load", f"the option {name} is true or false, got {value!r}")
    return value


def whole_number(spec: JobSpec, name: str) -> int:
    """0 where it is left out."""
    value = spec.options.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise DeviceError("unsupported", "load", f"the option {name} takes a whole number, got {value!r}")
    return value


def one_of(spec: JobSpec, name: str, words: Sequence[str]) -> str:
    """The first of the words where it is left out."""
    value = spec.options.get(name, words[0])
    if value not in words:
        fix = f"use {', '.join(words)}"
        raise DeviceError("unsupported", "load", f"the option {name} does not know {value!r}", fix=fix)
    return str(value)
