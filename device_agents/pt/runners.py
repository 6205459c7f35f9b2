"""Running a PyTorch network: on the processor, and on a GPU with the parts of an inference by CUDA's events.

`call` takes the inputs in order and returns the outputs in order. Slots are numbered sets of inputs.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, Optional, Sequence

from device_agents.backends.base import Arrays, Parts, Runner
from device_agents.contract import JobSpec, TensorSpec
from device_agents.errors import DeviceError
from device_agents.pt.settings import Settings

Call = Callable[..., Sequence[Any]]


class HostRunner(Runner):
    """A call returns when the outputs are there: nothing is left to wait for."""

    def __init__(self, torch: Any, call: Call, spec: JobSpec, settings: Settings) -> None:
        self._torch = torch
        self._call = call
        self._spec = spec
        self._settings = settings
        self._inputs: Dict[int, List[Any]] = {}
        self._found: Dict[int, Sequence[Any]] = {}

    def bind(self, inputs: Arrays, slot: int) -> None:
        self._inputs[slot] = host_tensors(self._torch, inputs, self._spec, self._settings)

    def enqueue(self, slot: int) -> None:
        with self._torch.inference_mode():
            self._found[slot] = self._call(*self._inputs[slot])

    def outputs(self, slot: int) -> Arrays:
        return as_arrays(self._spec, self._found[slot])

    def forget(self, slot: int) -> None:
        self._inputs.pop(slot, None)
        self._found.pop(slot, None)


class GpuRunner(Runner):
    """One stream and one set of inputs on the GPU, which all slots are copied into from pinned memory of their own;
    without transfers a set for each slot. Outputs are copied into pinned memory, and `wait` returns when they are
    there."""

    def __init__(self, torch: Any, call: Call, spec: JobSpec, settings: Settings) -> None:
        self._torch = torch
        self._call = call
        self._spec = spec
        self._settings = settings
        self._hosts: Dict[int, List[Any]] = {}
        self._devices: Dict[int, List[Any]] = {}
        self._shared: List[Any] = []
        self._found: Dict[int, Sequence[Any]] = {}
        self._answers: Dict[int, List[Any]] = {}
        self._enqueue_ns = 0
        self._events = [torch.cuda.Event(enable_timing=True, blocking=not settings.spin) for _ in range(4)]
        for tensor in spec.outputs:
            if not tensor.is_fixed:
                message = f"how large the output {tensor.name!r} will be is not known before"
                raise DeviceError("unsupported", "load", message, where=spec.model_file, fix="export one fixed size")

    def bind(self, inputs: Arrays, slot: int) -> None:
        tensors = host_tensors(self._torch, inputs, self._spec, self._settings)
        if self._spec.transfers:
            self._hosts[slot] = [tensor.pin_memory() for tensor in tensors]
            self._shared = self._shared or [tensor.cuda() for tensor in tensors]
            self._devices[slot] = self._shared
            self._answers[slot] = [self._room(tensor) for tensor in self._spec.outputs]
        else:
            self._hosts[slot], self._answers[slot] = [], []
            self._devices[slot] = [tensor.cuda() for tensor in tensors]

    def enqueue(self, slot: int) -> None:
        begin = time.perf_counter_ns()
        first, copied, computed, last = self._events
        first.record()
        for there, here in zip(self._devices[slot], self._hosts[slot]):
            there.copy_(here, non_blocking=True)
        copied.record()
        with self._torch.inference_mode():
            found = self._call(*self._devices[slot])
        computed.record()
        for here, there in zip(self._answers[slot], found):
            here.copy_(there, non_blocking=True)
        last.record()
        self._found[slot] = found
        self._enqueue_ns = time.perf_counter_ns() - begin

    def wait(self, slot: int) -> None:  # noqa: ARG002 - one is under way
        self._events[3].synchronize()

    def parts(self, slot: int) -> Optional[Parts]:  # noqa: ARG002 - of the one that was awaited last
        first, copied, computed, last = self._events
        return Parts(_ns(first, copied), _ns(copied, computed), _ns(computed, last), self._enqueue_ns)

    def outputs(self, slot: int) -> Arrays:
        return as_arrays(self._spec, self._answers[slot] or [tensor.cpu() for tensor in self._found[slot]])

    def memory(self) -> Dict[str, int]:
        return {"engine_device": int(self._torch.cuda.max_memory_allocated())}

    def forget(self, slot: int) -> None:
        for kept in (self._hosts, self._devices, self._found, self._answers):
            kept.pop(slot, None)

    def _room(self, tensor: TensorSpec) -> Any:
        floating = tensor.dtype.startswith("float")
        dtype = getattr(self._torch, self._settings.dtype if floating else tensor.dtype)
        return self._torch.empty([int(dim) for dim in tensor.shape], dtype=dtype, pin_memory=True)


def host_tensors(torch: Any, inputs: Arrays, spec: JobSpec, settings: Settings) -> List[Any]:
    """The inputs in order, as the network wants them: laid out and cast here, outside of what is timed."""
    import numpy as np

    found = []
    for one in spec.inputs:
        tensor = torch.from_numpy(np.require(inputs[one.name], requirements=("C", "W")))
        if tensor.is_floating_point():
            tensor = tensor.to(getattr(torch, settings.dtype))
        if settings.channels_last and tensor.dim() == 4:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        found.append(tensor)
    return found


def as_arrays(spec: JobSpec, found: Sequence[Any]) -> Arrays:
    """numpy has no bfloat16: floats of it come as float32."""
    return {
        one.name: (tensor.float() if tensor.is_floating_point() else tensor).numpy()
        for one, tensor in zip(spec.outputs, found)
    }


def _ns(begin: Any, end: Any) -> int:
    return round(float(begin.elapsed_time(end)) * 1e6)
