"""Getting a backend ready for a job: created, checked, imported; and the golden inputs through it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Dict, List, Mapping, Tuple

from device_agents import backends
from device_agents.backends.base import Backend, check_request
from device_agents.contract import JobSpec
from device_agents.errors import DeviceError

if TYPE_CHECKING:
    from device_agents.inputs import Array


def start(spec: JobSpec) -> Tuple[Backend, str]:
    """The backend of a job and its runtime's version. Errors: DeviceError when it cannot do what is asked."""
    backend = backends.create(spec.backend)
    check_request(backend, spec)
    return backend, version_of(backend, spec.backend)


def version_of(backend: Backend, name: str) -> str:
    """Import the runtime. Errors: DeviceError `no_runtime`."""
    try:
        return backend.start()
    except ImportError as error:
        message = f"{name} cannot be imported ({error})"
        fix = f"install it for {sys.executable}, or name another interpreter with `python =` in fleet.toml"
        raise DeviceError("no_runtime", "load", message, fix=fix) from None


def answers(backend: Backend, batches: List[Dict[str, Array]], slot: int) -> List[Mapping[str, Array]]:
    """The outputs of every batch, sent through the timed path in a slot of their own."""
    found: List[Mapping[str, Array]] = []
    for batch in batches:
        backend.bind(batch, slot)
        backend.enqueue(slot)
        backend.wait(slot)
        found.append({name: array.copy() for name, array in backend.outputs(slot).items()})
    return found
