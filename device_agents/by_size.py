"""Slots whose inputs differ in size: a runner for each size, which all run what is loaded."""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, Dict, Optional, Tuple

from device_agents.backends.base import Arrays, Parts, Runner
from device_agents.contract import JobSpec

Shapes = Tuple[Tuple[int, ...], ...]


class BySize(Runner):
    """Does what the runners do that `make` makes for a job whose inputs have the shapes of one size. Buffers are then
    as large as they have to be, and are made when a slot of the size is bound, outside of what is timed. `end` frees
    what the runners share, when all of them have let go of it."""

    def __init__(
        self, make: Callable[[JobSpec], Runner], spec: JobSpec, end: Optional[Callable[[], None]] = None
    ) -> None:
        self._make: Optional[Callable[[JobSpec], Runner]] = make
        self._end = end
        self._spec = spec
        self._runners: Dict[Shapes, Runner] = {}
        self._slots: Dict[int, Runner] = {}

    def bind(self, inputs: Arrays, slot: int) -> None:
        shapes = tuple(tuple(inputs[one.name].shape) for one in self._spec.inputs)
        if shapes not in self._runners:
            self._runners[shapes] = self._made(shapes)
        self._slots[slot] = self._runners[shapes]
        self._slots[slot].bind(inputs, slot)

    def enqueue(self, slot: int) -> None:
        self._slots[slot].enqueue(slot)

    def wait(self, slot: int) -> None:
        self._slots[slot].wait(slot)

    def parts(self, slot: int) -> Optional[Parts]:
        return self._slots[slot].parts(slot)

    def outputs(self, slot: int) -> Arrays:
        return self._slots[slot].outputs(slot)

    def memory(self) -> Dict[str, int]:
        """Of any: they share a device."""
        return next(iter(self._runners.values())).memory()

    def forget(self, slot: int) -> None:
        self._slots.pop(slot).forget(slot)

    def close(self) -> None:
        for runner in self._runners.values():
            runner.release()
        self._slots.clear()
        self._runners.clear()
        self._make = None
        if self._end is not None:
            self._end()

    def _made(self, shapes: Shapes) -> Runner:
        if self._make is None:
            raise RuntimeError("bind comes before close")
        pairs = zip(self._spec.inputs, shapes)
        return self._make(replace(self._spec, inputs=tuple(replace(one, shape=shape) for one, shape in pairs)))
