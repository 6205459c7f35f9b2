"""Kinds of device, one file each: `identity`, `context`, `state`, `busy_share` and `temperature` read a System into
readings, `gauges` says what of it can be watched while a job runs."""

from __future__ import annotations

import importlib
from types import ModuleType


def load_kind(name: str) -> ModuleType:
    return importlib.import_module(f"device_agents.kinds.{name}")
