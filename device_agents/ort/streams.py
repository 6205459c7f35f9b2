"""Running on CUDA streams of our own: the provider computes on one (`user_compute_stream`), the copies are ours.

So copying in, computing and copying out can be told apart by events, run_with_iobinding can return before the GPU has
finished (`disable_synchronize_execution_providers`), and the pipelined pattern overlaps copies with computing on
streams of their own, as trtexec does. With a CUDA graph, onnxruntime before pull request 28686 (May 2026) waits for
each replay all the same; the part `enqueue`, the runtime's call alone as trtexec has it, shows it.

tests/gpu/test_gpu_onnxruntime.py shows it where there is a GPU; it passed on an H100.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from device_agents.backends.base import Arrays, Parts, Runner
from device_agents.contract import JobSpec, TensorSpec
from device_agents.cuda import Cuda
from device_agents.cuda_handles import DeviceMemory, HostMemory, Memory, Stream

_Copies = List[Callable[[], None]]


class Streams:
    """Three streams of one GPU; where no copies are to overlap, one, so that nothing waits between streams."""

    def __init__(self, cuda: Cuda, *, overlap: bool) -> None:
        self.compute = cuda.stream()
        self.copy_in: Stream = cuda.stream() if overlap else self.compute
        self.copy_out: Stream = cuda.stream() if overlap else self.compute
        self.overlap = overlap


class _Lane:
    """Device buffers that one inference at a time goes through, bound once: a CUDA graph replays their addresses."""

    def __init__(self, cuda: Cuda, session: Any, spec: JobSpec, options: Any, device: str, *, spin: bool) -> None:
        self.options = options
        self.binding = session.io_binding()
        self.inputs = {tensor.name: cuda.device_memory(_size(tensor)) for tensor in spec.inputs}
        self.outputs = {tensor.name: cuda.device_memory(_size(tensor)) for tensor in spec.outputs}
        for tensor in spec.inputs:
            self.binding.bind_input(*_place(tensor, self.inputs[tensor.name], device))
        for tensor in spec.outputs:
            self.binding.bind_output(*_place(tensor, self.outputs[tensor.name], device))
        # The schedule does not count for events: who waits for one that is not blocking spins.
        self.begin, self.filled, self.started, self.computed, self.fetching, self.done = (
            cuda.event(blocking=not spin) for _ in range(6)
        )
        self.holds: Optional[int] = None


class _Way(NamedTuple):
    """The copies that take one slot through one lane."""

    lane: _Lane
    fill: _Copies
    fetch: _Copies


class _Slot:
    """A slot's inputs, pinned or on the device, its outputs where they are fetched, and its ways through the lanes."""

    def __init__(self, sources: Dict[str, Memory], results: Dict[str, HostMemory]) -> None:
        self.sources = sources
        self.results = results
        self.ways: List[_Way] = []
        self.latest: Optional[_Way] = None
        self.enqueue_ns = 0


class StreamRunner(Runner):
    """Inferences on `streams`, as many under way as `in_flight` says, awaited by spinning or asleep. `device` is where
    the runtime is told that the buffers lie: `cuda`, but where a stand-in's device memory is the host's."""

    def __init__(
        self,
        ort: Any,
        cuda: Cuda,
        streams: Streams,
        session: Any,
        spec: JobSpec,
        *,
        in_flight: int,
        cuda_graph: bool,
        spin: bool,
        device: str = "cuda",
    ) -> None:
        self._cuda = cuda
        self._streams = streams
        self._session = session
        self._spec = spec
        self._device = device
        self._spin = spin
        # Without transfers a slot stays on the device in a lane of its own; only a graph, fixed to a lane, moves it.
        self._own_lanes = not spec.transfers and not cuda_graph
        self._lanes = [] if self._own_lanes else [self._lane(ort, index) for index in range(in_flight)]
        self._free = list(range(len(self._lanes)))
        self._ort = ort
        self._slots: Dict[int, _Slot] = {}

    def bind(self, inputs: Arrays, slot: int) -> None:
        """Copies `inputs` into pinned memory or, without transfers, onto the device."""
        import numpy as np

        if slot not in self._slots:
            self._slots[slot] = self._new_slot(slot)
        place = self._slots[slot]
        for tensor in self._spec.inputs:
            array = np.ascontiguousarray(inputs[tensor.name], dtype=tensor.dtype)
            target = place.sources[tensor.name]
            if isinstance(target, HostMemory):
                _write(target, array)
                continue
            with self._cuda.host_memory(target.size) as staging:
                _write(staging, array)
                self._streams.compute.copy(target, staging)
                self._streams.compute.synchronize()

    def enqueue(self, slot: int) -> None:
        place, streams = self._slots[slot], self._streams
        # Lanes in turn, so that the parity check, one inference at a time, goes through each graph that is timed.
        way = place.latest = place.ways[0 if self._own_lanes else self._free.pop(0)]
        lane = way.lane
        lane.begin.record(streams.copy_in)
        for copy in way.fill:
            copy()
        lane.filled.record(streams.copy_in)
        if streams.overlap:
            streams.compute.wait_for(lane.filled)
            lane.started.record(streams.compute)
        begin_ns = time.perf_counter_ns()
        self._session.run_with_iobinding(lane.binding, lane.options)
        place.enqueue_ns = time.perf_counter_ns() - begin_ns
        lane.computed.record(streams.compute)
        if streams.overlap:
            streams.copy_out.wait_for(lane.computed)
            lane.fetching.record(streams.copy_out)
        for copy in way.fetch:
            copy()
        lane.done.record(streams.copy_out)

    def wait(self, slot: int) -> None:
        lane = self._way(slot).lane
        lane.done.synchronize()
        lane.holds = slot
        if not self._own_lanes:
            self._free.append(self._lanes.index(lane))

    def parts(self, slot: int) -> Parts:
        """By the events around each part. Without overlap an event ends one part and begins the next; without transfers
        nothing comes from the host, and what moves a slot to a CUDA graph's addresses is no part."""
        lane, overlap = self._way(slot).lane, self._streams.overlap
        started, fetching = (lane.started, lane.fetching) if overlap else (lane.filled, lane.computed)
        compute_ns, enqueue_ns = lane.computed.ns_since(started), self._slots[slot].enqueue_ns
        if not self._spec.transfers:
            return Parts(0, compute_ns, 0, enqueue_ns)
        return Parts(lane.filled.ns_since(lane.begin), compute_ns, lane.done.ns_since(fetching), enqueue_ns)

    def outputs(self, slot: int) -> Arrays:
        import numpy as np

        place, lane = self._slots[slot], self._way(slot).lane
        if not self._spec.transfers:
            if lane.holds != slot:
                raise RuntimeError(f"the outputs of slot {slot} are gone: another one took its place on the device")
            for name, memory in place.results.items():
                self._streams.compute.copy(memory, lane.outputs[name])
            self._streams.compute.synchronize()
        return {
            tensor.name: np.frombuffer(place.results[tensor.name].view, tensor.dtype).reshape(_shape(tensor))
            for tensor in self._spec.outputs
        }

    def memory(self) -> Dict[str, int]:
        free, total = self._cuda.mem_get_info()
        return {"gpu_used": total - free}

    def close(self) -> None:
        """The session, which computes on our stream, goes first."""
        self.release()
        self._cuda.close()

    def release(self) -> None:
        """Let go of the session and of buffers, and leave the streams to others."""
        self._slots.clear()
        self._lanes.clear()
        self._session = None

    def _new_slot(self, slot: int) -> _Slot:
        lanes = [self._lane(self._ort, slot)] if self._own_lanes else self._lanes
        sources: Dict[str, Memory]
        if self._own_lanes:
            sources = dict(lanes[0].inputs)
        elif self._spec.transfers:
            sources = {tensor.name: self._cuda.host_memory(_size(tensor)) for tensor in self._spec.inputs}
        else:
            sources = {tensor.name: self._cuda.device_memory(_size(tensor)) for tensor in self._spec.inputs}
        made = _Slot(sources, {tensor.name: self._cuda.host_memory(_size(tensor)) for tensor in self._spec.outputs})
        into, out_of = self._streams.copy_in.copier, self._streams.copy_out.copier
        for lane in lanes:
            fill = [] if self._own_lanes else [into(lane.inputs[name], memory) for name, memory in sources.items()]
            fetch = [out_of(memory, lane.outputs[name]) for name, memory in made.results.items()]
            made.ways.append(_Way(lane, fill, fetch if self._spec.transfers else []))
        return made

    def _lane(self, ort: Any, index: int) -> _Lane:
        options = ort.RunOptions()
        options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        options.add_run_config_entry("gpu_graph_id", str(index + 1))
        return _Lane(self._cuda, self._session, self._spec, options, self._device, spin=self._spin)

    def _way(self, slot: int) -> _Way:
        way = self._slots[slot].latest
        if way is None:
            raise RuntimeError(f"slot {slot} was not enqueued")
        return way


def _write(memory: HostMemory, array: Any) -> None:
    import numpy as np

    np.frombuffer(memory.view, np.uint8)[:] = array.reshape(-1).view(np.uint8)


def _place(tensor: TensorSpec, memory: DeviceMemory, device: str) -> "tuple[str, str, int, Any, list[int], int]":
    """The arguments of bind_input and bind_output."""
    import numpy as np

    return tensor.name, device, 0, np.dtype(tensor.dtype).type, _shape(tensor), memory.handle


def _shape(tensor: TensorSpec) -> List[int]:
    return [int(dim) for dim in tensor.shape]


def _size(tensor: TensorSpec) -> int:
    import numpy as np

    return int(np.dtype(tensor.dtype).itemsize * np.prod(_shape(tensor)))
