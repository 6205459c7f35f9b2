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
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    ClassVar,
    Dict,
    List,
    NamedTuple,
    Optional,
    Tuple,
    TypeVar,
    Union,
)

from device_agents.cudart import LIBRARY_VARIABLE, bind, candidates, not_found
from device_agents.errors import DeviceError

_NOT_READY, _UNLOADING, _MEMORY, _OLD_DRIVER, _NO_DEVICE = 600, 4, 2, 35, 100
_CODES = {_MEMORY: "out_of_memory", _OLD_DRIVER: "driver_too_old", _NO_DEVICE: "no_device"}
_SCHEDULES = {"auto": 0, "spin": 1, "yield": 2, "block": 4}
_CAPTURE_MODES = {"global": 0, "thread_local": 1, "relaxed": 2}
_NON_BLOCKING = 1  # cudaStreamNonBlocking: does not wait for the legacy default stream
_BLOCKING_SYNC, _NO_TIMING = 1, 2  # cudaEventBlockingSync, cudaEventDisableTiming
_EXTERNAL = 1  # cudaEventRecordExternal

_T = TypeVar("_T", bound="_Handle")


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
        self._handles: Dict[_Handle, None] = {}  # in order of creation
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
        self.check("cudaSetDeviceFlags", _one_of("schedule", schedule, _SCHEDULES))

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

    def own(self, handle: _Handle) -> None:
        """For handles: belong to this library until `free`."""
        self._handles[handle] = None

    def refuse_if_closed(self) -> None:
        if self._closed:
            raise RuntimeError("this Cuda is closed")

    def free(self, handle: _Handle, call: str, pointer: ctypes.c_void_p) -> None:
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


class _Handle:
    """Something of CUDA's that has to be given back. `pointer` is CUDA's handle, for ctypes; `handle` is its number."""

    _free: ClassVar[str]
    pointer: ctypes.c_void_p

    def __init__(self, cuda: Cuda, pointer: ctypes.c_void_p) -> None:
        self._cuda = cuda
        self.pointer = pointer
        cuda.own(self)

    @property
    def handle(self) -> int:
        """CUDA's handle or address as a number, as TensorRT wants it."""
        return self.pointer.value or 0

    def close(self) -> None:
        """Give it back; the second time nothing happens. Errors: CudaError if that fails and nothing failed before."""
        pointer = self.__dict__.pop("pointer", None)
        if pointer is not None:
            self._cuda.free(self, self._free, pointer)

    def __enter__(self: _T) -> _T:
        return self

    def __exit__(self, kind: Optional[type], *_: object) -> None:
        try:
            self.close()
        except CudaError:
            if kind is None:  # what is raised in the block tells more
                raise

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            # Without a pointer the calls need no check of their own, and never pass NULL, which is the default stream.
            if name == "pointer":
                raise RuntimeError(f"this {type(self).__name__} is closed")
            raise AttributeError(name)


class DeviceMemory(_Handle):
    """Bytes on the device. `handle` is the address there."""

    _free = "cudaFree"

    def __init__(self, cuda: Cuda, size: int) -> None:
        self.size = _positive(size)
        super().__init__(cuda, _created(cuda, "cudaMalloc", size, asked=size))


class HostMemory(_Handle):
    """Pinned bytes of the host, which the device copies from and to without the CPU. `handle` is the address."""

    _free = "cudaFreeHost"

    def __init__(self, cuda: Cuda, size: int) -> None:
        self.size = _positive(size)
        super().__init__(cuda, _created(cuda, "cudaHostAlloc", size, 0, asked=size))

    @property
    def view(self) -> memoryview:
        """The bytes themselves, writable: `numpy.frombuffer(memory.view, dtype)`. Dead once the memory is closed."""
        return memoryview((ctypes.c_ubyte * self.size).from_address(self.handle)).cast("B")


Memory = Union[DeviceMemory, HostMemory]


class Stream(_Handle):
    """A queue of work: what is put on it runs in order, and beside other streams."""

    _free = "cudaStreamDestroy"

    def __init__(self, cuda: Cuda) -> None:
        super().__init__(cuda, _created(cuda, "cudaStreamCreateWithFlags", _NON_BLOCKING))
        self._wait = cuda.function("cudaStreamSynchronize")
        self._wait_event = cuda.function("cudaStreamWaitEvent")

    def copier(self, target: Memory, source: Memory, size: Optional[int] = None) -> Callable[[], None]:
        """A prepared copy of the first `size` bytes (all, when both are as large): each call puts it on the stream.

        The kind follows from the two memories. It must not be called after one of them or the stream is closed.
        Errors: ValueError when `size` does not fit; when called, CudaError.
        """
        size = _fitting(size, target, source)
        kind = {(False, True): 1, (True, False): 2, (True, True): 3, (False, False): 0}[
            isinstance(source, DeviceMemory), isinstance(target, DeviceMemory)
        ]
        # Arguments that are ctypes objects already halve the cost of a call.
        call = functools.partial(
            self._cuda.function("cudaMemcpyAsync"),
            target.pointer, source.pointer, ctypes.c_size_t(size), ctypes.c_int(kind), self.pointer,
        )  # fmt: skip
        fail = functools.partial(self._cuda.error, "cudaMemcpyAsync")

        def copy() -> None:
            code = call()
            if code:
                raise fail(code)

        return copy

    def copy(self, target: Memory, source: Memory, size: Optional[int] = None) -> None:
        """`copier`, once."""
        self.copier(target, source, size)()

    def fill(self, memory: DeviceMemory, byte: int, size: Optional[int] = None) -> None:
        """Set the first `size` bytes (all) to `byte`."""
        size = _fitting(size, memory, memory)
        self._cuda.check("cudaMemsetAsync", memory.pointer, byte, size, self.pointer)

    def wait_for(self, event: Event) -> None:
        """What is put on this stream from now on runs after `event`. The host does not wait."""
        code = self._wait_event(self.pointer, event.pointer, 0)
        if code:
            raise self._cuda.error("cudaStreamWaitEvent", code)

    def synchronize(self) -> None:
        """Wait until all that was put on this stream is done."""
        code = self._wait(self.pointer)
        if code:
            raise self._cuda.error("cudaStreamSynchronize", code)

    def query(self) -> bool:
        """Whether all that was put on this stream is done."""
        return self._cuda.ready("cudaStreamQuery", self._cuda.function("cudaStreamQuery")(self.pointer))

    def capture(self, work: Callable[[], object], mode: str = "thread_local") -> Graph:
        """What `work` puts on this stream, as a graph; none of it runs. Run it once before: it may allocate then.

        `mode` says which threads may not make unsafe calls, such as an allocation, meanwhile: `global` (any),
        `thread_local` (this one), `relaxed` (none). The capture ends also when `work` raises, and its error is the
        one that is raised. Errors: CudaError.
        """
        self.begin_capture(mode)
        try:
            work()
        except BaseException:
            self._cuda.discard(self._end_capture()[1])
            raise
        return self.end_capture()

    def begin_capture(self, mode: str = "thread_local") -> None:
        """Record what is put on this stream instead of running it, until `end_capture`."""
        self._cuda.check("cudaStreamBeginCapture", self.pointer, _one_of("mode", mode, _CAPTURE_MODES))

    def end_capture(self) -> Graph:
        """The graph of what was recorded. Errors: CudaError, also when a call in between spoilt the capture."""
        code, graph = self._end_capture()
        if code:
            raise self._cuda.error("cudaStreamEndCapture", code)
        try:
            return Graph(self._cuda, graph)
        finally:
            self._cuda.discard(graph)  # the executable graph has its own copy

    def _end_capture(self) -> Tuple[int, ctypes.c_void_p]:
        graph = ctypes.c_void_p()
        return self._cuda.function("cudaStreamEndCapture")(self.pointer, ctypes.byref(graph)), graph


class Event(_Handle):
    """A point in a stream, with the device's time where it was made with timing."""

    _free = "cudaEventDestroy"

    def __init__(self, cuda: Cuda, timing: bool, blocking: bool) -> None:
        flags = (0 if timing else _NO_TIMING) | (_BLOCKING_SYNC if blocking else 0)
        super().__init__(cuda, _created(cuda, "cudaEventCreateWithFlags", flags))
        self._record = cuda.function("cudaEventRecord")
        self._wait = cuda.function("cudaEventSynchronize")
        self._elapsed = cuda.function("cudaEventElapsedTime")
        self._ms = ctypes.c_float()
        self._to_ms = ctypes.byref(self._ms)

    def record(self, stream: Stream) -> None:
        """Mark this point of the stream. In a capture it orders work and has no time: see `record_in_graph`."""
        code = self._record(self.pointer, stream.pointer)
        if code:
            raise self._cuda.error("cudaEventRecord", code)

    def record_in_graph(self, stream: Stream) -> None:
        """While `stream` is captured: a node of the graph that records the event, with its time, at each launch."""
        self._cuda.check("cudaEventRecordWithFlags", self.pointer, stream.pointer, _EXTERNAL)

    def synchronize(self) -> None:
        """Wait until the device has reached the point; return at once if it was never recorded."""
        code = self._wait(self.pointer)
        if code:
            raise self._cuda.error("cudaEventSynchronize", code)

    def query(self) -> bool:
        """Whether the device has reached the point."""
        return self._cuda.ready("cudaEventQuery", self._cuda.function("cudaEventQuery")(self.pointer))

    def ns_since(self, start: Event) -> int:
        """Nanoseconds of the device from `start` to this event, both reached. CUDA resolves about 500 ns."""
        code = self._elapsed(self._to_ms, start.pointer, self.pointer)
        if code:
            raise self._cuda.error("cudaEventElapsedTime", code)
        return round(self._ms.value * 1e6)


class Graph(_Handle):
    """Captured work, ready to be launched. `nodes` counts what it does; 0 means that the work went elsewhere."""

    _free = "cudaGraphExecDestroy"

    def __init__(self, cuda: Cuda, graph: ctypes.c_void_p) -> None:
        count = ctypes.c_size_t()
        cuda.check("cudaGraphGetNodes", graph, None, ctypes.byref(count))
        self.nodes = count.value
        super().__init__(cuda, _instantiated(cuda, graph))
        self._launch = cuda.function("cudaGraphLaunch")

    def launch(self, stream: Stream) -> None:
        """Put the whole of it on `stream`."""
        code = self._launch(self.pointer, stream.pointer)
        if code:
            raise self._cuda.error("cudaGraphLaunch", code)


def _created(cuda: Cuda, call: str, *args: Any, asked: Optional[int] = None) -> ctypes.c_void_p:
    cuda.refuse_if_closed()
    pointer = ctypes.c_void_p()
    cuda.check(call, ctypes.byref(pointer), *args, asked=asked)
    return pointer


def _instantiated(cuda: Cuda, graph: ctypes.c_void_p) -> ctypes.c_void_p:
    if cuda.has("cudaGraphInstantiateWithFlags"):
        return _created(cuda, "cudaGraphInstantiateWithFlags", graph, 0)
    return _created(cuda, "cudaGraphInstantiate", graph, None, None, 0)


def _positive(size: int) -> int:
    if size < 1:
        raise ValueError(f"memory of {size} bytes: at least one is needed")
    return size


def _fitting(size: Optional[int], target: Memory, source: Memory) -> int:
    if size is None and target.size != source.size:
        raise ValueError(f"the source has {source.size} bytes, the target {target.size}: say how many to copy")
    size = target.size if size is None else size
    if not 0 < size <= min(target.size, source.size):
        raise ValueError(f"{size} bytes do not fit: the source has {source.size}, the target {target.size}")
    return size


def _one_of(what: str, name: str, known: Dict[str, int]) -> int:
    if name not in known:
        raise ValueError(f"{what} {name!r} is none of {', '.join(known)}")
    return known[name]


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
