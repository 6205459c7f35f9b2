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
import os
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from device_agents.cuda_handles import (
    DeviceMemory,
    Event,
    Handle,
    HostMemory,
    Stream,
    one_of,
)
from device_agents.cudart import LIBRARY_VARIABLE, bind, candidates, not_found
from device_agents.errors import DeviceError

_NOT_READY, _UNLOADING, _MEMORY, _OLD_DRIVER, _NO_DEVICE = 600, 4, 2, 35, 100
_CODES = {_MEMORY: "out_of_memory", _OLD_DRIVER: "driver_too_old", _NO_DEVICE: "no_device"}
_SCHEDULES = {"auto": 0, "spin": 1, "yield": 2, "block": 4}


class CudaError(DeviceError):
    """A CUDA call that failed.

    `call` is the function, `number` and `name` are CUDA's error. The code is `out_of_memory`, `driver_too_old`,
    `no_device` (no driver counts as no device) or `cuda_error`.
    """

    def __init__(
        self, code: str, stage: str, message: str, *, call: str, number: int, name: str, fix: str = ""
    ) -> None:
        super().__init__(code, stage, message, where=call, fix=fix)
        self.call = call
        self.number = number
        self.name = name


class Attributes(NamedTuple):
    """What a GPU is. Clocks are the highest ones in kHz, None where CUDA does not tell them. An `integrated` GPU shares
    the memory of the host."""

    compute_capability: Tuple[int, int]
    multiprocessors: int
    integrated: bool
    sm_clock_khz: Optional[int]
    memory_clock_khz: Optional[int]
    l2_bytes: int


class Cuda:
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

    def __init__(self, path: str, stage: str = "load") -> None:
        """Load one library. Errors: OSError when it cannot be loaded, AttributeError when a function is missing."""
        self.path = path
        self.stage = stage
        self.failed: Optional[CudaError] = None
        """The first error that was raised. After it nothing raises when it is freed."""
        self._calls = bind(path)
        self._handles: Dict[Handle, None] = {}  # in order of creation
        self._closed = False

    def runtime_version(self) -> int:
        """1000 * major + 10 * minor, such as 12060. Errors: CudaError, when CUDA 11 does not find its driver."""
        return self._number("cudaRuntimeGetVersion")

    def driver_version(self) -> int:
        """The newest CUDA that the driver knows, written like `runtime_version`; 0 where there is no driver."""
        return self._number("cudaDriverGetVersion")

    def newer_than_driver(self) -> bool:
        """Whether there is a driver and it does not know the CUDA of this library; minor versions do not matter."""
        driver, runtime = self.driver_version() // 1000, self._runtime() // 1000
        return driver > 0 and (runtime == 0 or runtime > driver)

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

    def function(self, name: str) -> Callable[..., int]:
        """A function of libcudart with its argument types set; the caller gives its return code to `error`."""
        return self._calls[name]

    def has(self, name: str) -> bool:
        return name in self._calls

    def check(self, name: str, *args: Any, asked: Optional[int] = None) -> None:
        """Call a function; `asked` is how many bytes it allocates. Errors: CudaError."""
        code = self._calls[name](*args)
        if code:
            raise self.error(name, code, asked=asked)

    def error(self, call: str, number: int, *, asked: Optional[int] = None) -> CudaError:
        """The exception for a return code that is not 0."""
        self._forget_error()
        name, text = self._says("cudaGetErrorName", number), self._says("cudaGetErrorString", number)
        code, fix = _CODES.get(number, "cuda_error"), ""
        message = f"{call} failed: {text} ({name}, {number})"
        if number == _MEMORY:
            message += self._shortage(call, asked)
            fix = "take a smaller batch or workspace, or end what else uses the memory"
        if number == _OLD_DRIVER:
            code, message, fix = self._driver_trouble(call, name)
        error = CudaError(code, self.stage, message, call=call, number=number, name=name, fix=fix)
        self.failed = self.failed or error
        return error

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

    def __enter__(self) -> Cuda:
        return self

    def __exit__(self, kind: Optional[type], *_: object) -> None:
        try:
            self.close()
        except CudaError:
            if kind is None:  # what is raised in the block tells more
                raise

    def own(self, handle: Handle) -> None:
        """For handles: belong to this library until `free`."""
        self._handles[handle] = None

    def refuse_if_closed(self) -> None:
        if self._closed:
            raise RuntimeError("this Cuda is closed")

    def free(self, handle: Handle, call: str, pointer: ctypes.c_void_p) -> None:
        """For handles: give one back. Errors: CudaError, unless a call had failed before."""
        self._handles.pop(handle, None)
        problem = self._quiet(call, pointer)
        if problem is not None:
            raise problem

    def discard(self, graph: ctypes.c_void_p) -> None:
        """For captures: give a graph back, or none where the capture failed, after which no error is remembered."""
        if graph:
            self._calls["cudaGraphDestroy"](graph)
        self._forget_error()

    def ready(self, call: str, code: int) -> bool:
        """The answer to a query. Errors: CudaError for anything but done and not done."""
        if code == _NOT_READY:
            self._forget_error()
            return False
        if code:
            raise self.error(call, code)
        return True

    def _quiet(self, call: str, *args: Any) -> Optional[CudaError]:
        """Call a function that tidies up: its error counts when it is the first, and the process is not ending."""
        code = self._calls[call](*args)
        if code in (0, _UNLOADING):
            return None
        if self.failed is None:
            return self.error(call, code)
        self._forget_error()
        return None

    def _number(self, call: str, value: Any = None) -> int:
        value = ctypes.c_int() if value is None else value
        self.check(call, ctypes.byref(value))
        return int(value.value)

    def _runtime(self) -> int:
        """The version, or 0: CUDA 11 tells it only once it has found a driver that is new enough."""
        value = ctypes.c_int()
        code = self._calls["cudaRuntimeGetVersion"](ctypes.byref(value))
        if code:
            self._forget_error()
        return 0 if code else value.value

    def _attribute(self, ordinal: int, attribute: int) -> int:
        value = ctypes.c_int()
        self.check("cudaDeviceGetAttribute", ctypes.byref(value), attribute, ordinal)
        return value.value

    def _forget_error(self) -> None:
        # CUDA keeps the last error until it is asked for; TensorRT would ask later and take it for its own.
        self._calls["cudaGetLastError"]()

    def _says(self, call: str, number: int) -> str:
        text: Any = self._calls[call](number)
        return text.decode("ascii", "replace") if text else "unknown"

    def _shortage(self, call: str, asked: Optional[int]) -> str:
        wanted = "" if asked is None else f"; {_mib(asked)} asked"
        if call == "cudaHostAlloc":
            free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
            return f"{wanted} as pinned host memory, {_mib(free)} of the host's memory free"
        left, total = ctypes.c_size_t(), ctypes.c_size_t()
        code = self._calls["cudaMemGetInfo"](ctypes.byref(left), ctypes.byref(total))
        if code:
            self._forget_error()
            return wanted
        return f"{wanted}, {_mib(left.value)} of {_mib(total.value)} free"

    def _driver_trouble(self, call: str, name: str) -> Tuple[str, str, str]:
        number, driver = self._runtime(), self.driver_version()
        runtime = f"CUDA {_version(number)}" if number else "an unknown version of CUDA"
        if not driver:
            fix = "install NVIDIA's driver; in a container, start it with `--runtime nvidia` or `--gpus all`"
            return "no_device", f"{call} failed: there is no NVIDIA driver for {self.path}, {runtime} ({name})", fix
        message = f"{call} failed: the driver knows CUDA {_version(driver)} at most, {self.path} is {runtime} ({name})"
        fix = f"update the driver, or install a libcudart of CUDA {driver // 1000} and name it by {LIBRARY_VARIABLE}"
        return "driver_too_old", message, fix


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
