"""Inferences of a loaded engine: one execution context a stream, buffers of its own for every slot.

A context computes on one stream alone, and the inferences of the slots that share it follow one another there. With
transfers, `pipelined` copies on two more streams, as trtexec does, so that copies overlap with computing; elsewhere
all is put on one stream, as an application does. CUDA events take an inference apart; the host's clock is read around
the enqueue alone.
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from device_agents.backends.base import Arrays, Parts
from device_agents.cuda import Cuda
from device_agents.cuda_handles import DeviceMemory, Graph
from device_agents.errors import DeviceError
from device_agents.trt.buffers import Host, host_memory
from device_agents.trt.shapes import Shape, dims

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]

_Steps = List[Callable[[], None]]


class IOTensor(NamedTuple):
    """An input or output of the engine at the job's shapes. `dtype` is the engine's, `asked` the job's: TensorRT 8
    makes 64-bit integers 32-bit ones."""

    name: str
    is_input: bool
    shape: Shape
    dtype: str
    asked: str
    size: int


class Lane:
    """A context with its streams. Its tensors have the addresses of one slot at a time. `failed` makes the error of
    something that TensorRT did not do."""

    def __init__(self, context: Any, cuda: Cuda, failed: Callable[[str], DeviceError], *, overlap: bool) -> None:
        self._context = context
        self._failed = failed
        self.overlap = overlap
        self.compute = cuda.stream()
        self.copy_in = cuda.stream() if overlap else self.compute
        self.copy_out = cuda.stream() if overlap else self.compute
        self._holds: Optional[Slot] = None
        self._shapes: Dict[str, Shape] = {}
        self._handle = self.compute.handle

    def take(self, slot: Slot) -> None:
        """Give the context the addresses of a slot, and the shapes of its inputs. What is enqueued already keeps its
        own."""
        if self._holds is slot:
            return
        refused = self.resize(slot.shapes)
        if refused is not None:
            raise self._failed(f"taking {refused} of {dims(slot.shapes[refused])}")
        for name, address in slot.addresses:
            if not self._context.set_tensor_address(name, address):
                raise self._failed(f"taking the memory of {name}")
        self._holds = slot

    def resize(self, shapes: Dict[str, Shape]) -> Optional[str]:
        """Give the inputs these shapes, unless they have them; outputs follow. The slot that was taken last is none
        then. Returns one that was refused."""
        if self._shapes == shapes:
            return None
        self._shapes, self._holds = {}, None
        for name, shape in shapes.items():
            if not self._context.set_input_shape(name, shape):
                return name
        self._shapes = shapes
        return None

    def execute(self) -> None:
        """Put an inference on the compute stream. Errors: DeviceError."""
        if not self._context.execute_async_v3(self._handle):
            raise self._failed("enqueueing the inference")

    def profile(self, profiler: Any, inferences: int) -> None:
        """Run the slot that was taken last under TensorRT's profiler, after as many inferences without: the first ones
        load kernels and find a GPU whose clocks are low."""
        for _ in range(inferences):
            self.execute()
        self.compute.synchronize()
        self._context.profiler = profiler
        self._context.enqueue_emits_profile = False  # told on demand, after the inference
        for _ in range(inferences):
            self.execute()
            self.compute.synchronize()
            if not self._context.report_to_profiler():
                raise self._failed("profiling the layers")

    def close(self) -> None:
        """Let go of the context, whatever still refers to this lane."""
        self._holds = self._context = None


class Slot:
    """Buffers of one inference, prepared once: bound again, they keep their addresses and the CUDA graph its worth."""

    def __init__(self, lane: Lane, cuda: Cuda, tensors: List[IOTensor], how: How) -> None:
        self._lane = lane
        self._tensors = tensors
        self.shapes = {one.name: one.shape for one in tensors if one.is_input}
        self._transfers = how.transfers
        self._graph: Optional[Graph] = None
        self._enqueue_ns = 0
        self._device: Dict[str, DeviceMemory] = {one.name: cuda.device_memory(one.size) for one in tensors}
        self._host: Dict[str, Host] = {one.name: host_memory(cuda, one.size, how.pinned) for one in tensors}
        self.addresses = [(name, memory.handle) for name, memory in self._device.items()]
        self._fill = [
            lane.copy_in.copier(self._device[one.name], self._host[one.name]) for one in tensors if one.is_input
        ]
        self._fetch = [
            lane.copy_out.copier(self._host[one.name], self._device[one.name]) for one in tensors if not one.is_input
        ]
        event = functools.partial(cuda.event, blocking=not how.spin)
        self._events = _Events(*(event() for _ in range(6)))
        self._before, self._after, self._done = self._steps()

    @property
    def device_bytes(self) -> int:
        return sum(one.size for one in self._tensors)

    def bind(self, inputs: Arrays) -> None:
        """Copy `inputs` into the buffers. Errors: DeviceError when they do not fit."""
        for one in self._tensors:
            if one.is_input:
                self._put(one, inputs[one.name])
        if not self._transfers:
            self._upload()

    def capture(self) -> None:
        """Make the CUDA graph that replays this slot. An inference is enqueued before, as it may allocate, and with the
        inputs that were bound: what the memory held before may be no valid index. Errors: DeviceError `unsupported`
        where an engine cannot be captured."""
        if self._graph is not None:
            return
        self._upload()
        self._lane.take(self)
        self._lane.execute()
        self._lane.compute.synchronize()
        try:
            self._graph = self._lane.compute.capture(self._lane.execute)
        except DeviceError as error:
            raise _no_graph(error.info.message) from None
        if not self._graph.nodes:
            raise _no_graph("the graph came out empty")

    def enqueue(self) -> None:
        if self._graph is None:
            self._lane.take(self)  # ahead of the events: it is the host's work, and no part of the device's computing
        for step in self._before:
            step()
        begin = time.perf_counter_ns()
        if self._graph is None:
            self._lane.execute()
        else:
            self._graph.launch(self._lane.compute)
        self._enqueue_ns = time.perf_counter_ns() - begin
        for step in self._after:
            step()

    def wait(self) -> None:
        self._done()

    def parts(self) -> Parts:
        at = self._events
        if not self._transfers:
            return Parts(0, at.computed.ns_since(at.started), 0, self._enqueue_ns)
        started, fetching = (at.started, at.fetching) if self._lane.overlap else (at.filled, at.computed)
        return Parts(
            at.filled.ns_since(at.begin), at.computed.ns_since(started), at.done.ns_since(fetching), self._enqueue_ns
        )

    def outputs(self) -> Dict[str, Array]:
        if not self._transfers:
            for copy in self._fetch:
                copy()
            self._lane.copy_out.synchronize()
        return {one.name: self._get(one) for one in self._tensors if not one.is_input}

    def profile(self, profiler: Any, inferences: int) -> None:
        self._upload()
        self._lane.take(self)
        self._lane.profile(profiler, inferences)

    def _upload(self) -> None:
        for copy in self._fill:
            copy()
        self._lane.copy_in.synchronize()

    def _steps(self) -> Tuple[_Steps, _Steps, Callable[[], None]]:
        """What is put on the streams before and after the inference, and how its end is awaited."""
        lane, at = self._lane, self._events
        mark = functools.partial
        if not self._transfers:
            before: _Steps = [mark(at.started.record, lane.compute)]
            return before, [mark(at.computed.record, lane.compute)], at.computed.synchronize
        before = [mark(at.begin.record, lane.copy_in), *self._fill, mark(at.filled.record, lane.copy_in)]
        after: _Steps = [mark(at.computed.record, lane.compute)]
        if lane.overlap:
            before += [mark(lane.compute.wait_for, at.filled), mark(at.started.record, lane.compute)]
            after += [mark(lane.copy_out.wait_for, at.computed), mark(at.fetching.record, lane.copy_out)]
        after += [*self._fetch, mark(at.done.record, lane.copy_out)]
        return before, after, at.done.synchronize

    def _put(self, one: IOTensor, array: Any) -> None:
        import numpy as np

        if tuple(array.shape) != one.shape:
            message = f"input {one.name!r} has the shape {tuple(array.shape)}, the job's is {one.shape}"
            raise DeviceError("bad_input", "run", message, fix="give inputs of the job's shapes")
        np.copyto(self._array(one), array, casting="same_kind")

    def _get(self, one: IOTensor) -> Any:
        array = self._array(one)
        return array if one.dtype == one.asked else array.astype(one.asked)

    def _array(self, one: IOTensor) -> Any:
        import numpy as np

        count = int(np.prod(one.shape, dtype=np.int64))
        return np.frombuffer(self._host[one.name].view, one.dtype, count).reshape(one.shape)


class How(NamedTuple):
    """How slots are run."""

    transfers: bool
    pinned: bool
    spin: bool


class _Events(NamedTuple):
    """`started` and `fetching` are recorded where copies have streams of their own; elsewhere they would fall together
    with `filled` and `computed`."""

    begin: Any
    filled: Any
    started: Any
    computed: Any
    fetching: Any
    done: Any


def _no_graph(why: str) -> DeviceError:
    message = f"the engine cannot be captured as a CUDA graph ({why})"
    return DeviceError("unsupported", "load", message, fix="leave out cuda_graph")
