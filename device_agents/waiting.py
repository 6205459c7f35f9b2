"""Whether a backend's `wait` waits: looked at once a process, before anything is timed.

Two looks, as each sees what the other cannot. The device is asked by another way than `wait` whether it has anything
left to do, which shows a clock that stops too early; and outputs are read at once and again a while later, which shows
a backend that hands out what is not computed yet. Neither asks the backend's own opinion of when it is finished.
"""

from __future__ import annotations

import time
from typing import Dict, List, Tuple

from device_agents.backends import base
from device_agents.backends.base import Arrays, Backend
from device_agents.contract import JobSpec, Reading

LEFT, WAITED, OUTPUTS = "left_after_wait_ns", "awaited_ns", "outputs_after_wait"
SETTLED, CHANGED = "settled", "changed"

_ROUNDS = 5
_LONG_ENOUGH_NS = 500_000_000  # of a slow model fewer rounds do
_LATER_S = 0.1  # between two readings of outputs, where nobody can say when the device is done


def look(backend: Backend, inputs: Arrays, spec: JobSpec, slot: int) -> Dict[str, Reading]:
    """`left_after_wait_ns`: how long the device still worked after `wait` had returned, the least of a few inferences
    less what asking an idle device takes; `awaited_ns`: how long enqueue and wait had taken in that one;
    `outputs_after_wait`: settled, or changed. `slot` is none that is timed."""
    backend.bind(base.zeros(spec), slot)  # answers to these are unlike those to come
    _run(backend, slot)
    _let_be(backend)
    backend.bind(inputs, slot)
    _run(backend, slot)
    found = _copied(backend.outputs(slot))
    _let_be(backend)
    told = SETTLED if found == _copied(backend.outputs(slot)) else CHANGED
    return {OUTPUTS: Reading(told, "read at once, and again later"), **_left(backend, slot)}


def _left(backend: Backend, slot: int) -> Dict[str, Reading]:
    if not backend.drain():
        return {LEFT: Reading(unknown=f"{type(backend).__module__.rpartition('.')[2]} has no other way to wait")}
    pairs: List[Tuple[int, int]] = []
    idle: List[int] = []
    begin = time.perf_counter_ns()
    while len(pairs) < _ROUNDS and (len(pairs) < 2 or time.perf_counter_ns() - begin < _LONG_ENOUGH_NS):
        idle.append(_settle(backend))
        asked = time.perf_counter_ns()
        _run(backend, slot)
        awaited_ns = time.perf_counter_ns() - asked
        pairs.append((_settle(backend), awaited_ns))
    left_ns, awaited_ns = min(pairs)
    source = "the device, asked for all of its work"
    return {LEFT: Reading(max(0, left_ns - min(idle)), source), WAITED: Reading(awaited_ns, "perf_counter_ns")}


def _run(backend: Backend, slot: int) -> None:
    backend.enqueue(slot)
    backend.wait(slot)


def _let_be(backend: Backend) -> None:
    if not backend.drain():
        time.sleep(_LATER_S)


def _settle(backend: Backend) -> int:
    """Nanoseconds that it took the device to have nothing left to do."""
    begin = time.perf_counter_ns()
    backend.drain()
    return time.perf_counter_ns() - begin


def _copied(outputs: Arrays) -> Dict[str, bytes]:
    return {name: array.tobytes() for name, array in outputs.items()}
