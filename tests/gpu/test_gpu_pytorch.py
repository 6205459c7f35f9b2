"""cuda.py and the load patterns around PyTorch's own kernels on a real GPU: a second witness beside onnxruntime.

PyTorch computes in memory and on a stream of ours, so that streams, events, pinned memory, copies and a captured graph
are all in the path that is timed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import numpy as np
import pytest
from gpu_models import beside_pytorch

from device_agents import measure
from device_agents.backends import base
from device_agents.backends.base import Arrays, Parts
from device_agents.contract import LoadPattern, Timing
from device_agents.cuda import Cuda
from device_agents.cuda_handles import DeviceMemory

torch = pytest.importorskip("torch", reason="no PyTorch: install edgebench[pytorch]")

pytestmark = pytest.mark.leaves("CUDA's driver keeps pipes, threads and its context for the life of the process")

N, LAYERS, SLOTS = 2048, 8, 4
TIMING = Timing(
    processes=1, warmup_s=0.3, warmup_iterations=30, warmup_cap_s=3.0, duration_s=0.5, iterations=100, cap_s=10.0
)


class Seen:
    """Device memory of ours as PyTorch sees it: an (N, N) matrix of float32, nothing is copied."""

    def __init__(self, memory: DeviceMemory) -> None:
        self.__cuda_array_interface__ = {
            "shape": (N, N), "typestr": "<f4", "data": (memory.handle, False), "version": 3, "strides": None,
        }  # fmt: skip


class Products(base.Backend):
    """Slot s holds a matrix; an inference copies it in, multiplies it LAYERS times by a rotation, and copies it out."""

    patterns = ("serial", "pipelined", "rate")

    def __init__(self, cuda: Cuda, *, graph: bool) -> None:
        self.cuda = cuda
        self.stream = cuda.stream()
        self.torch_stream = torch.cuda.ExternalStream(self.stream.handle)
        self.hosts = [cuda.host_memory(4 * N * N) for _ in range(SLOTS)]
        self.backs = [cuda.host_memory(4 * N * N) for _ in range(SLOTS)]
        self.events = [[cuda.event() for _ in range(4)] for _ in range(SLOTS)]
        self.enqueue_ns = [0] * SLOTS
        there, result = cuda.device_memory(4 * N * N), cuda.device_memory(4 * N * N)
        self.x, self.y = torch.as_tensor(Seen(there), device="cuda"), torch.as_tensor(Seen(result), device="cuda")
        self.w = torch.eye(N, device="cuda").roll(1, 0).contiguous()
        self.spare = torch.empty_like(self.w)
        torch.cuda.synchronize()  # they are made on PyTorch's own stream, for which ours does not wait
        self.copies_in = [self.stream.copier(there, host) for host in self.hosts]
        self.copies_out = [self.stream.copier(back, result) for back in self.backs]
        with torch.cuda.stream(self.torch_stream):
            self.compute()
        self.stream.synchronize()
        self.graph = self.stream.capture(self.on_stream) if graph else None

    def on_stream(self) -> None:
        with torch.cuda.stream(self.torch_stream):
            self.compute()

    def compute(self) -> None:
        torch.mm(self.w, self.x, out=self.y)
        for _ in range(LAYERS // 2):
            torch.mm(self.w, self.y, out=self.spare)
            torch.mm(self.w, self.spare, out=self.y)

    def bind(self, inputs: Arrays, slot: int) -> None:
        np.frombuffer(self.hosts[slot].view, np.float32).reshape(N, N)[:] = inputs["x"]

    def enqueue(self, slot: int) -> None:
        begin_ns = time.perf_counter_ns()
        begin, filled, computed, done = self.events[slot]
        begin.record(self.stream)
        self.copies_in[slot]()
        filled.record(self.stream)
        if self.graph:
            self.graph.launch(self.stream)
        else:
            self.on_stream()
        computed.record(self.stream)
        self.copies_out[slot]()
        done.record(self.stream)
        self.enqueue_ns[slot] = time.perf_counter_ns() - begin_ns

    def wait(self, slot: int) -> None:
        self.events[slot][3].synchronize()

    def parts(self, slot: int) -> Parts | None:
        begin, filled, computed, done = self.events[slot]
        h2d, compute, d2h = filled.ns_since(begin), computed.ns_since(filled), done.ns_since(computed)
        return Parts(h2d, compute, d2h, self.enqueue_ns[slot])

    def outputs(self, slot: int) -> Arrays:
        return {"y": np.frombuffer(self.backs[slot].view, np.float32).reshape(N, N)}


@pytest.fixture
def cuda(cuda: Cuda) -> Iterator[Cuda]:
    if not torch.cuda.is_available():
        pytest.skip("no NVIDIA GPU that PyTorch can use here")
    yield cuda
    torch.cuda.synchronize()


def bound(cuda: Cuda, *, graph: bool) -> tuple[Products, list[np.ndarray]]:
    backend = Products(cuda, graph=graph)
    random = np.random.default_rng(2)
    matrices = [random.random((N, N), dtype=np.float32) for _ in range(SLOTS)]
    for slot, matrix in enumerate(matrices):
        backend.bind({"x": matrix}, slot)
    return backend, matrices


@pytest.mark.parametrize("graph", [False, True], ids=["kernels", "graph"])
@pytest.mark.parametrize("kind", ["serial", "pipelined", "rate"])
def test_a_pattern_computes_what_pytorch_computes_and_tells_its_parts(cuda: Cuda, kind: str, graph: bool) -> None:
    backend, matrices = bound(cuda, graph=graph)
    pattern = LoadPattern(kind, 50.0) if kind == "rate" else LoadPattern(kind)
    timed = measure.measure(backend, SLOTS, pattern, TIMING)
    for slot, matrix in enumerate(matrices):
        backend.enqueue(slot)
        backend.wait(slot)
        np.testing.assert_allclose(backend.outputs(slot)["y"], np.roll(matrix, LAYERS + 1, 0), atol=1e-6)  # no TF32
    middle = {name: statistics.median(part) for name, part in timed.parts.items()}
    assert all(len(part) == len(timed.timed) for part in timed.parts.values())
    assert min(middle.values()) > 0
    if kind == "serial":
        assert middle["h2d"] + middle["compute"] + middle["d2h"] <= statistics.median(timed.timed)


@pytest.mark.parametrize("graph", [False, True], ids=["kernels", "graph"])
def test_compute_by_our_events_is_that_by_pytorch_s_within_one_percent(cuda: Cuda, graph: bool) -> None:
    backend, _ = bound(cuda, graph=graph)
    beside_pytorch(backend, backend.stream.handle, 10)  # clocks are up
    assert statistics.median(beside_pytorch(backend, backend.stream.handle)) == pytest.approx(1, abs=0.01)
