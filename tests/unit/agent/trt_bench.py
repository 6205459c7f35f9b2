"""One shape of TensorRT at work: the backend over a scripted TensorRT (tests/stand_ins/tensorrt), a stand-in.

It has the real names, keeps the real order of calls, refuses what those versions refuse and computes through
onnxruntime in the memory of a stand-in for CUDA. It shows that the builder and the run path are right; it says nothing
of speed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from trt_models import images

from device_agents.backends import tensorrt
from device_agents.backends.base import Built
from device_agents.contract import DimRange, JobSpec
from device_agents.errors import DeviceError
from device_agents.trt import api
from tests.stand_ins.tensorrt_fixture import ScriptedTensorRT

SHAPES = ("8.5", "8.6", "10.3", "11.4")
BOUNDS = ({"batch": DimRange(1, 2, 4)}, {"batch": DimRange(5, 8, 16)})


class Bench:
    """One shape of TensorRT with a folder for models and engines."""

    def __init__(self, scripted: ScriptedTensorRT, shape: str, folder: Path) -> None:
        self.scripted = scripted
        self.cuda = scripted.stand_in
        self.shape = shape
        self.folder = folder
        self.engine = folder / "engines" / "model.engine"
        self.caches = folder / "caches"
        self.engine.parent.mkdir()
        self.caches.mkdir()
        self._opened: list[tensorrt.Backend] = []

    def backend(self) -> tensorrt.Backend:
        """As in a fresh process: its own TensorRT, nothing heard yet, no plugins registered."""
        api.logger_for.cache_clear()
        name = self.scripted.module(self.shape).__name__
        vars(sys.modules[f"{name}._foundation"])["plugins_are_there"] = False

        class Backend(tensorrt.Backend):
            module: ClassVar[str] = name

        made = Backend()
        made.start()
        self._opened.append(made)
        return made

    def build(self, spec: JobSpec, told: list[str] | None = None) -> Built:
        told = [] if told is None else told
        backend = self.backend()
        try:
            return backend.build(self.folder / spec.model_file, self.engine, spec, self.caches, told.append)
        finally:
            backend.close()

    def loaded(self, spec: JobSpec) -> tensorrt.Backend:
        self.build(spec)
        return self.reloaded(spec)

    def reloaded(self, spec: JobSpec) -> tensorrt.Backend:
        backend = self.backend()
        backend.load(self.engine, spec)
        return backend

    def close(self) -> None:
        for backend in self._opened:
            backend.close()


def computed(model: Path, inputs: dict[str, Any]) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"]).run(["scores"], inputs)[0]


def refusal(work: Callable[[], object]) -> DeviceError:
    with pytest.raises(DeviceError) as caught:
        work()
    return caught.value


def asks_back_what_it_was_given(backend: tensorrt.Backend, model: Path, spec: JobSpec, slots: int = 3) -> None:
    """Every slot computes its own inputs; bound anew, it computes those."""
    for seed in (0, 100):
        batches = [images(spec.batch, spec.precision, seed + slot) for slot in range(slots)]
        for slot, batch in enumerate(batches):
            backend.bind(batch, slot)
        for slot in (0, *reversed(range(slots))):
            backend.enqueue(slot)
            backend.wait(slot)
        for slot, batch in enumerate(batches):
            np.testing.assert_allclose(
                backend.outputs(slot)["scores"], computed(model, batch), rtol=2e-2, atol=2e-3, err_msg=f"slot {slot}"
            )
