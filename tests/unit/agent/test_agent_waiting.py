"""A backend whose `wait` returns before its work is done is seen, by what the device still does and by its outputs."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from device_agents import waiting
from device_agents.backends import base
from device_agents.backends.base import Arrays
from device_agents.contract import TensorSpec
from tests.jobs import job_spec

SPEC = job_spec(inputs=(TensorSpec("x", "float32", (2, 3)),), outputs=(TensorSpec("y", "float32", (2, 3)),), batch=2)
INPUTS = {"x": np.arange(6, dtype=np.float32).reshape(2, 3)}
WORK_S = 0.02


class Threaded(base.Backend):
    """Computes y = x + 1 in a thread, a device of its own; `awaits` says what `wait` waits for."""

    def __init__(self, awaits: str, *, drains: bool = True) -> None:
        self._awaits, self._drains = awaits, drains
        self._inputs: dict[int, np.ndarray] = {}
        self._found: dict[int, np.ndarray] = {}
        self._thread: threading.Thread | None = None
        self._computed = threading.Event()

    def bind(self, inputs: Arrays, slot: int) -> None:
        self._inputs[slot] = np.array(inputs["x"])
        self._found.setdefault(slot, np.zeros((2, 3), np.float32))

    def enqueue(self, slot: int) -> None:
        if self._thread is not None:
            self._thread.join()
        self._computed.clear()
        self._thread = threading.Thread(target=self._work, args=(slot,))
        self._thread.start()

    def wait(self, slot: int) -> None:
        if self._awaits == "computing":
            self._computed.wait()
        if self._awaits == "all":
            self._join()

    def drain(self) -> bool:
        if self._drains:
            self._join()
        return self._drains

    def outputs(self, slot: int) -> Arrays:
        return {"y": self._found[slot]}

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def _work(self, slot: int) -> None:
        time.sleep(WORK_S)
        made = self._inputs[slot] + 1
        self._computed.set()
        time.sleep(WORK_S)
        np.copyto(self._found[slot], made)


def test_who_waits_has_outputs_that_stay_and_an_idle_device() -> None:
    found = waiting.look(Threaded("all"), INPUTS, SPEC, 0)
    assert found["outputs_after_wait"].value == "settled"
    assert found["awaited_ns"].value >= 2 * WORK_S * 1e9
    assert found["left_after_wait_ns"].value < WORK_S * 1e9


@pytest.mark.parametrize(("awaits", "share"), [("nothing", 2), ("computing", 1)])
def test_who_does_not_or_forgets_the_copy_back_is_seen_in_both_ways(awaits: str, share: int) -> None:
    found = waiting.look(Threaded(awaits), INPUTS, SPEC, 0)
    assert found["outputs_after_wait"].value == "changed"
    assert found["left_after_wait_ns"].value >= 0.9 * share * WORK_S * 1e9


def test_where_nothing_else_can_be_asked_the_outputs_still_tell() -> None:
    for awaits, told in (("all", "settled"), ("nothing", "changed")):
        found = waiting.look(Threaded(awaits, drains=False), INPUTS, SPEC, 0)
        assert found["outputs_after_wait"].value == told
        assert "no other way to wait" in str(found["left_after_wait_ns"].unknown)
        assert "awaited_ns" not in found
