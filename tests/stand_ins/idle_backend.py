"""A backend that stands in for onnxruntime where a whole fleet is disturbed: it computes nothing, waits a millisecond
an inference, answers with zeros, and starts in no time. It shows what becomes of jobs; its figures are nobody's."""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar

from device_agents.backends import base
from device_agents.backends.base import Arrays
from device_agents.contract import JobSpec


class Backend(base.Backend):
    options: ClassVar[dict[str, str]] = {"provider": "whatever is said"}

    def start(self) -> str:
        return "stand-in"

    def load(self, path: Path, spec: JobSpec) -> None:
        self._spec = spec

    def bind(self, inputs: Arrays, slot: int) -> None:
        pass

    def enqueue(self, slot: int) -> None:
        time.sleep(0.001)

    def wait(self, slot: int) -> None:
        pass

    def outputs(self, slot: int) -> Arrays:
        import numpy as np

        return {tensor.name: np.zeros(tensor.shape, tensor.dtype) for tensor in self._spec.outputs}
