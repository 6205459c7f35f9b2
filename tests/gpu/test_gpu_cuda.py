"""CUDA by ctypes on a real GPU: what the stand-in of tests/unit cannot show, above all that work is asynchronous."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from device_agents.cuda import Cuda, CudaError
from device_agents.cuda_handles import DeviceMemory, HostMemory, Stream

pytestmark = pytest.mark.leaves("CUDA's driver keeps pipes, threads and its context for the life of the process")

ROOT = Path(__file__).resolve().parents[2]
SIZE = 64 << 20
LONG = 64
"""So many copies of SIZE keep a GPU busy for tens of milliseconds at least, and fit the smallest Jetson."""

FIRST_USE = """
import sys
sys.path.insert(0, sys.argv[1])
from device_agents.cuda import Cuda
with Cuda.load() as cuda:
    cuda.set_schedule(sys.argv[2])
    cuda.set_device(0)
    cuda.stream().synchronize()
    print(cuda.schedule())
"""


class Buffers(NamedTuple):
    stream: Stream
    there: HostMemory
    device: DeviceMemory
    back: HostMemory

    def keep_busy(self) -> None:
        """Put tens of milliseconds of copies on the stream."""
        up = self.stream.copier(self.device, self.there)
        for _ in range(LONG):
            up()


@pytest.fixture
def buffers(cuda: Cuda) -> Buffers:
    return Buffers(cuda.stream(), cuda.host_memory(SIZE), cuda.device_memory(SIZE), cuda.host_memory(SIZE))


def test_the_library_fits_the_driver_and_the_device_tells_what_it_is(cuda: Cuda) -> None:
    assert cuda.runtime_version() >= 11000
    assert not cuda.newer_than_driver()
    what = cuda.attributes()
    assert (5, 0) <= what.compute_capability < (20, 0)
    assert 1 <= what.multiprocessors < 1000
    assert what.l2_bytes >= 128 << 10
    for clock_khz in (what.sm_clock_khz, what.memory_clock_khz):
        assert clock_khz is None or 100_000 <= clock_khz <= 20_000_000
    free, total = cuda.mem_get_info()
    assert 0 < free <= total


@pytest.mark.parametrize("schedule", ["spin", "block"])
def test_the_schedule_is_what_was_set_before_the_first_use(cuda: Cuda, schedule: str) -> None:
    argv = [sys.executable, "-I", "-c", FIRST_USE, str(ROOT), schedule]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, schedule), done.stderr


def test_bytes_go_to_the_device_and_back(buffers: Buffers, cuda: Cuda) -> None:
    stream, there, device, back = buffers
    second = cuda.device_memory(SIZE)
    content = os.urandom(SIZE)
    there.view[:] = content
    stream.copy(device, there)
    stream.copy(second, device)
    stream.copy(back, second)
    stream.synchronize()
    assert bytes(back.view) == content
    stream.fill(second, 0xAB, 8)
    stream.copy(back, second, 16)
    stream.synchronize()
    assert bytes(back.view[:16]) == b"\xab" * 8 + content[8:16]


def test_the_host_does_not_wait_until_it_is_told_to(buffers: Buffers, cuda: Cuda) -> None:
    end = cuda.event()
    buffers.keep_busy()
    end.record(buffers.stream)
    assert not end.query()
    assert not buffers.stream.query()
    assert cuda.function("cudaGetLastError")() == 0  # not ready is an answer, no error for others to find
    end.synchronize()
    assert end.query()
    buffers.stream.synchronize()
    assert buffers.stream.query()


def test_event_times_agree_with_the_hosts_clock(buffers: Buffers, cuda: Cuda) -> None:
    start, end = cuda.event(), cuda.event()
    buffers.keep_busy()  # pages are touched, clocks are up
    buffers.stream.synchronize()
    begun_ns = time.perf_counter_ns()
    start.record(buffers.stream)
    buffers.keep_busy()
    end.record(buffers.stream)
    end.synchronize()
    host_ns = time.perf_counter_ns() - begun_ns
    assert 0.8 * host_ns <= end.ns_since(start) <= host_ns * 1.001 + 1000


def test_who_waits_for_a_blocking_event_sleeps(buffers: Buffers, cuda: Cuda) -> None:
    end = cuda.event(timing=False, blocking=True)
    buffers.keep_busy()
    end.record(buffers.stream)
    wall, busy = time.perf_counter(), time.thread_time()
    end.synchronize()
    wall, busy = time.perf_counter() - wall, time.thread_time() - busy
    assert wall > 0.005, "the copies were too short to tell"
    assert busy < wall / 2


def test_a_stream_waits_for_another_without_the_host(buffers: Buffers, cuda: Cuda) -> None:
    other, done = cuda.stream(), cuda.event(timing=False)
    buffers.keep_busy()
    buffers.stream.fill(buffers.device, 7)
    done.record(buffers.stream)
    other.wait_for(done)
    other.copy(buffers.back, buffers.device, 4096)
    assert not done.query()
    other.synchronize()
    assert bytes(buffers.back.view[:4096]) == b"\7" * 4096


def test_a_graph_replays_what_was_captured(buffers: Buffers, cuda: Cuda) -> None:
    stream, there, device, back = buffers
    start, end = cuda.event(), cuda.event()
    up, down = stream.copier(device, there), stream.copier(back, device)

    back.view[:4] = b"none"
    graph = stream.capture(lambda: (up(), down()))
    stream.synchronize()
    assert (bytes(back.view[:4]), graph.nodes) == (b"none", 2)
    other = cuda.stream()
    for content, on in ((b"one.", stream), (b"two.", stream), (b"else", other)):
        there.view[:4] = content
        begun_ns = time.perf_counter_ns()
        start.record(on)
        graph.launch(on)
        end.record(on)
        on.synchronize()
        host_ns = time.perf_counter_ns() - begun_ns
        assert bytes(back.view[:4]) == content
        assert 0 < end.ns_since(start) <= host_ns + 1000


def test_an_allocation_spoils_a_capture_and_nothing_else(cuda: Cuda) -> None:
    stream, pointer = cuda.stream(), ctypes.c_void_p()
    with pytest.raises(CudaError, match="cudaErrorStreamCapture"):
        stream.capture(lambda: cuda.device_memory(64))
    with pytest.raises(CudaError, match="cudaErrorStreamCaptureInvalidated"):
        stream.capture(lambda: cuda.function("cudaMalloc")(ctypes.byref(pointer), 64))
    assert cuda.function("cudaGetLastError")() == 0
    memory, back = cuda.device_memory(4), cuda.host_memory(4)
    stream.capture(lambda: stream.fill(memory, 9)).launch(stream)
    stream.copy(back, memory)
    stream.synchronize()
    assert bytes(back.view) == b"\t" * 4


def test_out_of_memory_says_how_much_was_asked_and_is_no_lasting_error(cuda: Cuda) -> None:
    _, total = cuda.mem_get_info()
    with pytest.raises(CudaError, match=r"out of memory.*MiB asked, .*MiB of .*MiB free") as caught:
        cuda.device_memory(total * 4)
    assert caught.value.info.code == "out_of_memory"
    assert cuda.function("cudaGetLastError")() == 0
    cuda.device_memory(SIZE)


def test_what_is_closed_is_free_again(cuda: Cuda) -> None:
    """Eighty times SIZE would show on any of the GPUs that are measured, against what others do meanwhile."""

    def once() -> None:
        with cuda.stream() as stream, cuda.event() as event, cuda.device_memory(SIZE) as memory:
            with stream.capture(lambda: stream.fill(memory, 1)) as graph:
                graph.launch(stream)
            event.record(stream)
            event.synchronize()

    once()  # the driver keeps some for itself
    before, _ = cuda.mem_get_info()
    for _ in range(80):
        once()
    after, _ = cuda.mem_get_info()
    assert before - after < 40 * SIZE


def test_closing_waits_for_copies_that_still_run(cuda: Cuda) -> None:
    with Cuda.load() as second:
        host, device = second.host_memory(SIZE), second.device_memory(SIZE)
        Buffers(second.stream(), host, device, host).keep_busy()
    assert second.failed is None
    cuda.synchronize()


def test_event_times_are_those_of_pytorch(cuda: Cuda) -> None:
    torch = pytest.importorskip("torch", reason="no PyTorch to compare with: install edgebench[pytorch]")
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch has no CUDA that works here")
    stream, start, end = cuda.stream(), cuda.event(), cuda.event()
    theirs = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
    with torch.cuda.stream(torch.cuda.ExternalStream(stream.handle)):
        matrix = torch.ones(2048, 2048, device="cuda") / 2048
        result = matrix @ matrix  # libraries load, memory is taken
        stream.synchronize()
        begun = time.perf_counter()
        torch.mm(matrix, matrix, out=result)
        stream.synchronize()
        count = min(900, 1 + int(0.2 / (time.perf_counter() - begun)))  # 0.2 s, or as many as a queue holds
        start.record(stream)
        theirs[0].record()
        for _ in range(count):
            torch.mm(matrix, matrix, out=result)
        theirs[1].record()
        end.record(stream)
        end.synchronize()
    assert end.ns_since(start) == pytest.approx(theirs[0].elapsed_time(theirs[1]) * 1e6, rel=0.01)
    del matrix, result
    torch.cuda.synchronize()
