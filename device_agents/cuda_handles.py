"""What CUDA makes and wants back: memory, streams, events, graphs. They come from a `device_agents.cuda.Cuda`."""

from __future__ import annotations

import ctypes
import functools
from typing import (
    Any,
    Callable,
    Dict,
    Optional,
    Tuple,
    Union,
)

from device_agents.cuda_calls import Calls, Handle

_CAPTURE_MODES = {"global": 0, "thread_local": 1, "relaxed": 2}
_NON_BLOCKING = 1  # cudaStreamNonBlocking: does not wait for the legacy default stream
_BLOCKING_SYNC, _NO_TIMING = 1, 2  # cudaEventBlockingSync, cudaEventDisableTiming


class DeviceMemory(Handle):
    """Bytes on the device. `handle` is the address there."""

    _free = "cudaFree"

    def __init__(self, cuda: Calls, size: int) -> None:
        self.size = _positive(size)
        super().__init__(cuda, _created(cuda, "cudaMalloc", size, asked=size))


class HostMemory(Handle):
    """Pinned bytes of the host, which the device copies from and to without the CPU. `handle` is the address."""

    _free = "cudaFreeHost"

    def __init__(self, cuda: Calls, size: int) -> None:
        self.size = _positive(size)
        super().__init__(cuda, _created(cuda, "cudaHostAlloc", size, 0, asked=size))

    @property
    def view(self) -> memoryview:
        """The bytes themselves, writable: `numpy.frombuffer(memory.view, dtype)`. Dead once the memory is closed."""
        return memoryview((ctypes.c_ubyte * self.size).from_address(self.handle)).cast("B")


Memory = Union[DeviceMemory, HostMemory]


class Stream(Handle):
    """A queue of work: what is put on it runs in order, and beside other streams."""

    _free = "cudaStreamDestroy"

    def __init__(self, cuda: Calls) -> None:
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
        self._cuda.check("cudaStreamBeginCapture", self.pointer, one_of("mode", mode, _CAPTURE_MODES))

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


class Event(Handle):
    """A point in a stream, with the device's time where it was made with timing."""

    _free = "cudaEventDestroy"

    def __init__(self, cuda: Calls, timing: bool, blocking: bool) -> None:
        flags = (0 if timing else _NO_TIMING) | (_BLOCKING_SYNC if blocking else 0)
        super().__init__(cuda, _created(cuda, "cudaEventCreateWithFlags", flags))
        self._record = cuda.function("cudaEventRecord")
        self._wait = cuda.function("cudaEventSynchronize")
        self._elapsed = cuda.function("cudaEventElapsedTime")
        self._ms = ctypes.c_float()
        self._to_ms = ctypes.byref(self._ms)

    def record(self, stream: Stream) -> None:
        """Mark this point of the stream. In a capture it orders work and has no time."""
        code = self._record(self.pointer, stream.pointer)
        if code:
            raise self._cuda.error("cudaEventRecord", code)

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


class Graph(Handle):
    """Captured work, ready to be launched. `nodes` counts what it does; 0 means that the work went elsewhere."""

    _free = "cudaGraphExecDestroy"

    def __init__(self, cuda: Calls, graph: ctypes.c_void_p) -> None:
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


def _created(cuda: Calls, call: str, *args: Any, asked: Optional[int] = None) -> ctypes.c_void_p:
    cuda.refuse_if_closed()
    pointer = ctypes.c_void_p()
    cuda.check(call, ctypes.byref(pointer), *args, asked=asked)
    return pointer


def _instantiated(cuda: Calls, graph: ctypes.c_void_p) -> ctypes.c_void_p:
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


def one_of(what: str, name: str, known: Dict[str, int]) -> int:
    if name not in known:
        raise ValueError(f"{what} {name!r} is none of {', '.join(known)}")
    return known[name]
