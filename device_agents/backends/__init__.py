"""Runtimes, one file each: the file's name is its registration, its class is called `Backend`."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Tuple

from device_agents.backends.base import Backend
from device_agents.errors import DeviceError


def names() -> Tuple[str, ...]:
    """The backends this agent has; `tensorrt_rtx.py` is called tensorrt-rtx."""
    stems = (module.name for module in pkgutil.iter_modules(__path__) if module.name != "base")
    return tuple(sorted(stem.replace("_", "-") for stem in stems))


def create(name: str) -> Backend:
    """A new backend of this name, its runtime not imported yet. Errors: DeviceError when there is none."""
    if name not in names():
        known = ", ".join(names())
        raise DeviceError("unsupported", "load", f"the agent has no backend {name!r}", fix=f"it has: {known}")
    module = importlib.import_module(f"device_agents.backends.{name.replace('-', '_')}")
    backend: Backend = module.Backend()
    return backend
