"""The engine's layers with their times, in a process of its own: profiling slows what it measures."""

from __future__ import annotations

from typing import Any, Dict

from device_agents import inputs, runtimes
from device_agents.contract import to_json
from device_agents.tasks import Work
from device_agents.tasks.trial import loadable

_INFERENCES = 50


def run(work: Work) -> Dict[str, Any]:
    """Returns the layers and the trtexec command line that would measure the same."""
    backend, _version = runtimes.start(work.spec)
    try:
        backend.load(loadable(work, backend), work.spec)
        backend.bind(inputs.noise(work.spec, None)[0], 0)
        layers = backend.layers(0, _INFERENCES)
        command = backend.command(work.spec, work.engine.report)
    finally:
        backend.close()
    return {"layers": to_json(layers), "command": command}
