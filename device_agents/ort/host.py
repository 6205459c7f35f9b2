"""Running where the runtime copies and waits itself: the CPU provider, and a GPU whose streams cannot be ours.

`run_with_iobinding` returns when the outputs are there, so nothing is left to wait for and nothing can overlap.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

from device_agents.backends.base import Arrays, Runner
from device_agents.contract import JobSpec


class HostRunner(Runner):
    """Slots are host arrays, or arrays on the GPU where nothing is to be transferred.

    A CUDA graph replays fixed addresses: then all slots go through one pair of device buffers, and are copied in and
    out here.
    """

    def __init__(self, ort: Any, session: Any, spec: JobSpec, *, on_gpu: bool, cuda_graph: bool) -> None:
        self._ort = ort
        self._session = session
        self._spec = spec
        self._graph = cuda_graph
        self._place = "cuda" if on_gpu and not spec.transfers else "cpu"
        self._slots: Dict[int, Tuple[Any, Dict[str, Any], Dict[str, Any]]] = {}
        self._shared: Optional[Tuple[Any, Dict[str, Any], Dict[str, Any]]] = None
        self._fetched: Dict[int, Dict[str, Any]] = {}

    def bind(self, inputs: Arrays, slot: int) -> None:
        import numpy as np

        arrays = {tensor.name: np.ascontiguousarray(inputs[tensor.name]) for tensor in self._spec.inputs}
        if not self._graph:
            self._slots[slot] = self._binding(arrays, self._place)
            return
        self._shared = self._shared or self._binding(arrays, "cuda")
        self._slots[slot] = (None, arrays, {})

    def enqueue(self, slot: int) -> None:
        binding, inputs, _ = self._slots[slot]
        if binding is not None:
            self._session.run_with_iobinding(binding)
            return
        if self._shared is None:
            raise RuntimeError("enqueue comes after bind")
        binding, targets, outputs = self._shared
        for name, array in inputs.items():
            targets[name].update_inplace(array)
        self._session.run_with_iobinding(binding)
        self._fetched[slot] = {name: value.numpy() for name, value in outputs.items()}

    def outputs(self, slot: int) -> Arrays:
        if slot in self._fetched:
            return self._fetched[slot]
        return {name: value.numpy() for name, value in self._slots[slot][2].items()}

    def close(self) -> None:
        self.release()

    def release(self) -> None:
        """Let go of the session, which others may run."""
        self._slots.clear()
        self._fetched.clear()
        self._shared = self._session = None

    def _binding(self, arrays: Arrays, place: str) -> Tuple[Any, Dict[str, Any], Dict[str, Any]]:
        """A binding of these inputs to outputs that are allocated here, and both as runtime values by name."""
        import numpy as np

        value_of = self._ort.OrtValue.ortvalue_from_numpy
        binding = self._session.io_binding()
        inputs = {name: value_of(array, place, 0) for name, array in arrays.items()}
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        outputs: Dict[str, Any] = {}
        for tensor in self._spec.outputs:
            shape: List[int] = [int(dim) for dim in tensor.shape]
            outputs[tensor.name] = value_of(np.empty(shape, dtype=tensor.dtype), place, 0)
            binding.bind_ortvalue_output(tensor.name, outputs[tensor.name])
        return binding, inputs, outputs
