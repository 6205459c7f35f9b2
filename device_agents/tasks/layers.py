"""The engine's layers with their times, in a process of its own: profiling slows what it measures."""

from __future__ import annotations

from typing import Any, Dict, Tuple

from device_agents import inputs, runtimes
from device_agents.contract import Layer, to_json
from device_agents.errors import DeviceError
from device_agents.tasks import Work
from device_agents.tasks.trial import loadable

_INFERENCES = 50


def run(work: Work) -> Dict[str, Any]:
    """Returns the layers, why there are none, and the trtexec command line that would measure the same, which does not
    depend on them."""
    backend, _version = runtimes.start(work.spec)
    layers: Tuple[Layer, ...] = ()
    why_none = ""
    try:
        backend.load(loadable(work, backend), work.spec)
        command = work.repeatable(backend.command(work.spec, work.engine.report))
        backend.bind(inputs.noise(work.spec, None)[0], 0)
        try:
            layers = backend.layers(0, _INFERENCES)
        except DeviceError as error:
            why_none = error.info.message
    finally:
        backend.close()
    return {"layers": to_json(layers), "command": command, "why_none": why_none}
