"""CUDA by ctypes on libcudart 11 to 13, without a package: streams, events, graphs, memory.

    with Cuda.load() as cuda:
        cuda.set_schedule("spin")              # before the first use of the device
        cuda.set_device(0)
        stream, start, end = cuda.stream(), cuda.event(), cuda.event()
        host, device = cuda.host_memory(4096), cuda.device_memory(4096)
        upload = stream.copier(device, host)   # a prepared copy: call it as often as you like
        start.record(stream)
        upload()
        end.record(stream)
        end.synchronize()
        end.ns_since(start)

Every return code is checked; what fails raises `CudaError`, a DeviceError that names the call and CUDA's own error.
What is created belongs to its `Cuda` and is freed by its own `close()`, by `with`, or by `Cuda.close()`: in any order,
twice if need be. A closed thing raises RuntimeError when used. Once a call has failed, freeing is quiet: the first
error is the one that tells. Threads may use streams of their own at the same time; CUDA's current device belongs to the
calling thread.

Signatures: cuda_runtime_api.h of CUDA 11.8, 12.9 and 13.0. The struct of cudaGetDeviceProperties changed between them,
so attributes are asked one by one.
"""

from __future__ import annotations

import ctypes
import functools
from typing import List, NamedTuple, Optional, Tuple

from device_agents.cuda_calls import Calls, Closing, CudaError
from device_agents.cuda_handles import DeviceMemory, Event, HostMemory, Stream, one_of
from device_agents.cudart import candidates, not_found

__all__ = ["Attributes", "Cuda", "CudaError"]

_SCHEDULES = {"auto": 0, "spin": 1, "yield": 2, "block": 4}


class Attributes(NamedTuple):
    """What a GPU is. Clocks are the highest ones in kHz, None where CUDA does not tell them. An `integrated` GPU shares
    the memory of the host."""

    compute_capability: Tuple[int, int]
    multiprocessors: int
    integrated: bool
    sm_clock_khz: Optional[int]
    memory_clock_khz: Optional[int]
    l2_bytes: int


class Cuda(Calls, Closing):
    """One libcudart. `stage` is where its errors say they happened: set it as a job goes on (`load`, `run` ...)."""

    @classmethod
    def load(cls, stage: str = "load") -> Cuda:
        """The first libcudart that loads and is not newer than the driver; EDGEBENCH_CUDART=PATH names one exactly.

        Where every one is newer than the driver, the first: its calls say so. Errors: DeviceError `no_cudart`.
        """
        refused: List[str] = []
        too_new: Optional[Cuda] = None
        for candidate in candidates():
            try:
                cuda = cls(candidate, stage)
            except (OSError, AttributeError) as error:
                refused.append(f"{candidate}: {error}")
                continue
            if cuda.newer_than_driver():
                too_new = too_new or cuda
                continue
            return cuda
        if too_new is not None:
            return too_new
        raise not_found(stage, refused)

    def device_count(self) -> int:
        """How many GPUs there are, at least one. Errors: CudaError `no_device` where there is none."""
        return self._number("cudaGetDeviceCount")

    def set_schedule(self, schedule: str) -> None:
        """How the host waits for the device: `spin`, `block`, `yield` or `auto`. Call it before the device is used.

        From CUDA 12 on it holds for the current device, which is 0 until `set_device`.
        """
        self.check("cudaSetDeviceFlags", one_of("schedule", schedule, _SCHEDULES))

    def schedule(self) -> str:
        """How the host waits for the current device, as CUDA has it."""
        flags = self._number("cudaGetDeviceFlags", ctypes.c_uint()) & 7
        return next((name for name, value in _SCHEDULES.items() if value == flags), str(flags))

    def set_device(self, ordinal: int) -> None:
        """Make a GPU the current one of the calling thread."""
        self.check("cudaSetDevice", ordinal)

    def attributes(self, ordinal: int = 0) -> Attributes:
        """What the GPU of that number is."""
        ask = functools.partial(self._attribute, ordinal)
        return Attributes(
            compute_capability=(ask(75), ask(76)),
            multiprocessors=ask(16),
            integrated=bool(ask(18)),
            sm_clock_khz=ask(13) or None,
            memory_clock_khz=ask(36) or None,
            l2_bytes=ask(38),
        )

    def mem_get_info(self) -> Tuple[int, int]:
        """Bytes that are free and bytes in all on the current device, whoever uses them."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self.check("cudaMemGetInfo", ctypes.byref(free), ctypes.byref(total))
        return free.value, total.value

    def synchronize(self) -> None:
        """Wait until the current device has done all it was given."""
        self.check("cudaDeviceSynchronize")

    def stream(self) -> Stream:
        """A new queue of work that does not wait for the default stream."""
        return Stream(self)

    def event(self, *, timing: bool = True, blocking: bool = False) -> Event:
        """A new event. `blocking`: who waits for it sleeps, whatever the schedule."""
        return Event(self, timing, blocking)

    def device_memory(self, size: int) -> DeviceMemory:
        """`size` bytes on the device, uninitialised. Errors: CudaError `out_of_memory`."""
        return DeviceMemory(self, size)

    def host_memory(self, size: int) -> HostMemory:
        """`size` bytes of pinned host memory, uninitialised. Errors: CudaError `out_of_memory`."""
        return HostMemory(self, size)

    def close(self) -> None:
        """Wait for the device, then free everything that was created here, newest first.

        Errors: CudaError when waiting or freeing fails and nothing failed before; all is given back nevertheless.
        """
        self._closed = True
        problem: Optional[CudaError] = None
        if self._handles:  # memory under a copy that still runs must not be freed
            problem = self._quiet("cudaDeviceSynchronize")
        for handle in reversed(list(self._handles)):
            try:
                handle.close()
            except CudaError as error:
                problem = error
        if problem is not None:
            raise problem

    def _attribute(self, ordinal: int, attribute: int) -> int:
        value = ctypes.c_int()
        self.check("cudaDeviceGetAttribute", ctypes.byref(value), attribute, ordinal)
        return value.value
