"""Which loop is that of a load pattern."""

from __future__ import annotations

from device_agents.arrivals import Camera, Requests
from device_agents.backends.base import Backend
from device_agents.contract import LoadPattern
from device_agents.loops import Drawn, Loop, Pipelined, Serial


def create(backend: Backend, slots: int, pattern: LoadPattern, seed: int) -> Loop:
    """The loop of a load pattern. Errors: ValueError when it needs other slots."""
    if pattern.loop == "pipelined":
        return Pipelined(backend, slots)
    if pattern.loop == "serial":
        return Serial(backend, slots)
    if pattern.loop == "sizes":
        return Drawn(backend, slots, pattern.sizes, seed)
    return Requests(backend, slots, pattern, seed) if pattern.poisson else Camera(backend, slots, pattern)


def slots_needed(backend: Backend, pattern: LoadPattern) -> int:
    """How many slots must be bound at least; asked after load, which may settle how many are in flight."""
    return backend.in_flight if pattern.kind == "pipelined" else max(1, len(pattern.sizes))
