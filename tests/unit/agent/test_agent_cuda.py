"""CUDA by ctypes, against a stand-in for libcudart (tests/stand_ins/cudart.c) that obeys its rules.

The real libraries, as far as they go without a GPU, are in test_agent_cudart.py."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_agents.cuda import Cuda, CudaError
from device_agents.cuda_handles import DeviceMemory
from device_agents.cudart import LIBRARY_VARIABLE
from tests.stand_ins.cudart import StandIn, compiled

ROOT = Path(__file__).resolve().parents[3]

ROUND_TRIP = """
import sys
sys.path.insert(0, sys.argv[1])
from device_agents.cuda import Cuda
with Cuda.load() as cuda:
    cuda.set_schedule("block")
    cuda.set_device(0)
    stream, start, end = cuda.stream(), cuda.event(), cuda.event(blocking=True)
    there, device, back = cuda.host_memory(16), cuda.device_memory(16), cuda.host_memory(16)
    there.view[:] = bytes(range(16))
    up, down = stream.copier(device, there), stream.copier(back, device)
    graph = stream.capture(lambda: (up(), down()))
    start.record(stream)
    graph.launch(stream)
    end.record(stream)
    end.synchronize()
    assert bytes(back.view) == bytes(range(16)), bytes(back.view)
    assert end.ns_since(start) >= 0 and graph.nodes == 2
"""


@pytest.fixture
def cuda(stand_in: StandIn) -> Iterator[Cuda]:
    """A Cuda on the stand-in, which has freed everything at the end."""
    with Cuda.load() as cuda:
        yield cuda
    assert stand_in.live == (0, 0)


# ---- the device


def test_no_device(stand_in: StandIn) -> None:
    stand_in.set(devices=0)
    with pytest.raises(CudaError, match="cudaGetDeviceCount failed: no CUDA-capable device") as caught:
        Cuda.load().device_count()
    error = caught.value
    assert (error.info.code, error.call, error.number, error.name) == (
        "no_device",
        "cudaGetDeviceCount",
        100,
        "cudaErrorNoDevice",
    )


def test_no_driver(stand_in: StandIn) -> None:
    stand_in.set(driver=0)
    cuda = Cuda.load()
    assert cuda.driver_version() == 0
    with pytest.raises(CudaError, match=r"there is no NVIDIA driver for .*, CUDA 12\.6 ") as caught:
        cuda.device_memory(1)
    assert caught.value.info.code == "no_device"
    stand_in.set(runtime=11080)
    with pytest.raises(CudaError, match=r"there is no NVIDIA driver for .*, an unknown version of CUDA") as caught:
        cuda.runtime_version()
    assert caught.value.info.code == "no_device"


def test_what_the_device_is(cuda: Cuda, stand_in: StandIn) -> None:
    stand_in.set(capability="9.0", devices=2, runtime=11040)
    assert (cuda.runtime_version(), cuda.device_count()) == (11040, 2)
    attributes = cuda.attributes(1)
    assert attributes.compute_capability == (9, 0)
    assert (attributes.multiprocessors, attributes.integrated, attributes.l2_bytes) == (8, True, 4 << 20)
    assert (attributes.sm_clock_khz, attributes.memory_clock_khz) == (918000, None)
    with pytest.raises(CudaError, match="cudaErrorInvalidDevice"):
        cuda.attributes(2)
    with pytest.raises(CudaError, match="cudaErrorInvalidDevice"):
        cuda.set_device(7)


@pytest.mark.parametrize("schedule", ["spin", "block", "yield", "auto"])
def test_the_schedule_is_read_back(cuda: Cuda, schedule: str) -> None:
    cuda.set_schedule(schedule)
    assert cuda.schedule() == schedule


def test_an_unknown_schedule_is_refused(cuda: Cuda) -> None:
    with pytest.raises(ValueError, match="'busy' is none of auto, spin, yield, block"):
        cuda.set_schedule("busy")


# ---- memory and copies


def test_bytes_go_to_the_device_and_back(cuda: Cuda) -> None:
    numpy = pytest.importorskip("numpy", reason="no numpy here")
    stream = cuda.stream()
    there, back = cuda.host_memory(4096), cuda.host_memory(4096)
    first, second = cuda.device_memory(4096), cuda.device_memory(4096)
    array = numpy.frombuffer(there.view, dtype=numpy.float32)
    array[:] = numpy.arange(1024)
    stream.copy(first, there)
    stream.copy(second, first)
    stream.copy(back, second)
    stream.synchronize()
    assert stream.query()
    assert numpy.array_equal(numpy.frombuffer(back.view, dtype=numpy.float32), array)
    stream.fill(second, 0xAB, 8)
    stream.copy(back, second, 16)
    assert bytes(back.view[:12]) == b"\xab" * 8 + array[2:3].tobytes()


def test_a_prepared_copy_copies_what_is_there_when_it_is_called(cuda: Cuda) -> None:
    stream, host, device, back = cuda.stream(), cuda.host_memory(4), cuda.device_memory(4), cuda.host_memory(4)
    up, down = stream.copier(device, host), stream.copier(back, device)
    for content in (b"once", b"more"):
        host.view[:] = content
        up()
        down()
        assert bytes(back.view) == content


def test_copies_that_do_not_fit_are_refused_before_they_run(cuda: Cuda) -> None:
    stream, host, device = cuda.stream(), cuda.host_memory(8), cuda.device_memory(16)
    with pytest.raises(ValueError, match="the source has 8 bytes, the target 16"):
        stream.copier(device, host)
    for size in (0, -1, 9):
        with pytest.raises(ValueError, match="do not fit"):
            stream.copier(device, host, size)
    with pytest.raises(ValueError, match="do not fit"):
        stream.fill(device, 0, 17)
    with pytest.raises(ValueError, match="at least one"):
        cuda.device_memory(0)
    with pytest.raises(ValueError, match="at least one"):
        cuda.host_memory(-1)


def test_a_copy_with_freed_memory_is_an_error(cuda: Cuda) -> None:
    stream, host, device = cuda.stream(), cuda.host_memory(8), cuda.device_memory(8)
    up = stream.copier(device, host)
    device.close()
    with pytest.raises(
        CudaError, match=r"cudaMemcpyAsync failed: invalid argument \(cudaErrorInvalidValue, 1\)"
    ) as bad:
        up()
    assert (bad.value.info.code, bad.value.call) == ("cuda_error", "cudaMemcpyAsync")
    assert (bad.value.info.where, bad.value.info.message.count("cudaMemcpyAsync")) == ("", 1), "named once"


def test_out_of_memory_says_how_much_was_asked_and_how_much_is_free(cuda: Cuda, stand_in: StandIn) -> None:
    stand_in.set(memory=8 << 20)
    assert cuda.mem_get_info() == (8 << 20, 8 << 20)
    held = cuda.device_memory(5 << 20)
    assert cuda.mem_get_info() == (3 << 20, 8 << 20)
    with pytest.raises(CudaError, match=r"out of memory.*; 4\.0 MiB asked, 3\.0 MiB of 8\.0 MiB free") as caught:
        cuda.device_memory(4 << 20)
    assert (caught.value.info.code, caught.value.number) == ("out_of_memory", 2)
    assert caught.value.info.fix
    held.close()
    cuda.device_memory(8 << 20)  # it was no lasting error


def test_pinned_memory_that_is_not_there_is_the_hosts(cuda: Cuda) -> None:
    with pytest.raises(CudaError, match=r"cudaHostAlloc failed.*asked as pinned host memory, .* of the host's memory"):
        cuda.host_memory(1 << 60)


# ---- events


def test_an_event_has_the_time_of_its_point_in_the_stream(cuda: Cuda, stand_in: StandIn) -> None:
    stream, start, end = cuda.stream(), cuda.event(), cuda.event(blocking=True)
    assert start.query()  # never recorded counts as reached
    start.record(stream)
    assert stand_in.enqueue(stream.handle, lambda: time.sleep(0.02)) == 0
    end.record(stream)
    end.synchronize()
    assert end.query()
    assert 20e6 <= end.ns_since(start) < 2e9
    assert start.ns_since(end) < 0


def test_an_event_without_timing_has_no_time(cuda: Cuda) -> None:
    stream, start, end = cuda.stream(), cuda.event(), cuda.event(timing=False)
    start.record(stream)
    end.record(stream)
    end.synchronize()
    with pytest.raises(CudaError, match="cudaEventElapsedTime failed"):
        end.ns_since(start)
    with pytest.raises(CudaError, match="cudaErrorInvalidResourceHandle"):
        start.ns_since(cuda.event())


def test_a_stream_waits_for_another_without_the_host(cuda: Cuda) -> None:
    first, second, done = cuda.stream(), cuda.stream(), cuda.event(timing=False)
    done.record(first)
    second.wait_for(done)
    second.synchronize()


def test_not_ready_is_an_answer_and_no_error(cuda: Cuda) -> None:
    """The stand-in has always finished, so the code is given as CUDA gives it."""
    assert not cuda.ready("cudaEventQuery", 600)
    assert cuda.failed is None
    with pytest.raises(CudaError, match="cudaEventQuery failed: an illegal memory access"):
        cuda.ready("cudaEventQuery", 700)


# ---- graphs


def test_a_graph_replays_what_was_captured(cuda: Cuda, stand_in: StandIn) -> None:
    stream, host, device, back = cuda.stream(), cuda.host_memory(4), cuda.device_memory(4), cuda.host_memory(4)
    back.view[:] = b"none"
    calls: list[bytes] = []

    def work() -> None:
        stream.copy(device, host)
        assert stand_in.enqueue(stream.handle, lambda: calls.append(bytes(host.view))) == 0
        stream.copy(back, device)

    host.view[:] = b"capt"
    graph = stream.capture(work)
    assert (bytes(back.view), calls, graph.nodes) == (b"none", [], 3)
    for content in (b"one.", b"two."):
        host.view[:] = content
        graph.launch(stream)
        stream.synchronize()
        assert bytes(back.view) == content
    assert calls == [b"one.", b"two."]


def test_a_graph_of_nothing_says_so(cuda: Cuda) -> None:
    stream = cuda.stream()
    graph = stream.capture(lambda: None)
    assert graph.nodes == 0
    graph.launch(stream)


def test_a_graph_runs_on_another_stream_and_after_its_own_is_closed(cuda: Cuda) -> None:
    stream, other, memory, back = cuda.stream(), cuda.stream(), cuda.device_memory(4), cuda.host_memory(4)
    graph = stream.capture(lambda: stream.fill(memory, 7))
    stream.close()
    graph.launch(other)
    other.copy(back, memory)
    assert bytes(back.view) == b"\7" * 4


def test_an_event_recorded_in_a_capture_has_no_time(cuda: Cuda) -> None:
    stream, start, end = cuda.stream(), cuda.event(), cuda.event()
    stream.capture(lambda: (start.record(stream), end.record(stream)))
    with pytest.raises(CudaError):
        end.ns_since(start)


def test_an_allocation_spoils_a_capture(cuda: Cuda) -> None:
    stream = cuda.stream()
    with pytest.raises(CudaError, match=r"cudaMalloc failed.*\(cudaErrorStreamCaptureUnsupported, 900\)"):
        stream.capture(lambda: cuda.device_memory(64))
    stream.synchronize()  # the capture was ended all the same


def test_a_capture_that_was_spoilt_in_silence_is_an_error(cuda: Cuda) -> None:
    """TensorRT returns False where a call within it failed; whoever does not look learns it at the end."""
    stream, pointer = cuda.stream(), ctypes.c_void_p()
    with pytest.raises(CudaError, match=r"cudaStreamEndCapture failed.*due to a previous error during capture"):
        stream.capture(lambda: cuda.function("cudaMalloc")(ctypes.byref(pointer), 64))
    assert stream.capture(lambda: None).nodes == 0


@pytest.mark.parametrize(("mode", "spoilt"), [("global", True), ("thread_local", False), ("relaxed", False)])
def test_what_other_threads_may_do_depends_on_the_mode(cuda: Cuda, mode: str, spoilt: bool) -> None:
    """The calls of other threads are TensorRT's in another slot, say."""
    stream, pointer, codes = cuda.stream(), ctypes.c_void_p(), []

    def elsewhere() -> None:
        codes.append(cuda.function("cudaMalloc")(ctypes.byref(pointer), 64))

    stream.begin_capture(mode)
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    if spoilt:
        with pytest.raises(CudaError, match="cudaErrorStreamCaptureInvalidated"):
            stream.end_capture()
    else:
        assert stream.end_capture().nodes == 0
        cuda.check("cudaFree", pointer)
    assert codes == [900 if spoilt else 0]


def test_the_error_of_what_is_captured_is_the_one_that_is_raised(cuda: Cuda, stand_in: StandIn) -> None:
    stream, memory = cuda.stream(), cuda.device_memory(4)

    def work() -> None:
        stream.fill(memory, 1)
        raise LookupError("of the work's own")

    before = stand_in.live
    with pytest.raises(LookupError, match="own"):
        stream.capture(work)
    assert stand_in.live == before
    assert cuda.function("cudaGetLastError")() == 0


def test_a_capture_mode_that_is_none_is_refused(cuda: Cuda) -> None:
    with pytest.raises(ValueError, match="'local' is none of global, thread_local, relaxed"):
        cuda.stream().capture(lambda: None, mode="local")


def test_a_capture_cannot_be_ended_before_it_began(cuda: Cuda) -> None:
    with pytest.raises(CudaError, match="cudaStreamEndCapture failed"):
        cuda.stream().end_capture()


def test_before_cuda_11_4_graphs_are_made_by_the_older_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIBRARY_VARIABLE, str(compiled(tmp_path, "-DBEFORE_CUDA_11_4")))
    monkeypatch.setenv("STANDIN_CUDA_RUNTIME", "11020")
    with Cuda.load() as cuda:
        assert not cuda.has("cudaGraphInstantiateWithFlags")
        stream, memory, back = cuda.stream(), cuda.device_memory(2), cuda.host_memory(2)
        stream.capture(lambda: stream.fill(memory, 9)).launch(stream)
        stream.copy(back, memory)
        assert bytes(back.view) == b"\t\t"


# ---- faults, and giving back


def test_an_error_that_sticks_is_the_first_and_the_last_word(stand_in: StandIn) -> None:
    stand_in.set(fail_after=3)
    with Cuda.load(stage="run") as cuda:  # which closes in silence
        stream, memory, event = cuda.stream(), cuda.device_memory(16), cuda.event()
        for _ in range(3):
            stream.fill(memory, 0)
        with pytest.raises(CudaError, match=r"an illegal memory access .*\(cudaErrorIllegalAddress, 700\)") as first:
            stream.fill(memory, 0)
        with pytest.raises(CudaError, match="cudaEventRecord failed"):
            event.record(stream)
        assert cuda.failed is first.value
        memory.close()
        with pytest.raises(CudaError, match="cudaStreamSynchronize failed"):
            stream.synchronize()
    assert (first.value.info.code, first.value.info.stage, first.value.number) == ("cuda_error", "run", 700)


def test_a_launch_can_be_what_fails(stand_in: StandIn) -> None:
    stand_in.set(fail_after=2)
    with Cuda.load() as cuda:
        stream, memory = cuda.stream(), cuda.device_memory(16)
        graph = stream.capture(lambda: stream.fill(memory, 1))
        graph.launch(stream)
        graph.launch(stream)
        with pytest.raises(CudaError, match="cudaGraphLaunch failed: an illegal memory access"):
            graph.launch(stream)


def test_freeing_that_fails_first_is_said_once_all_is_given_back(stand_in: StandIn) -> None:
    cuda = Cuda.load()
    stream, memory = cuda.stream(), cuda.device_memory(16)
    cuda.function("cudaFree")(memory.pointer)  # behind its back
    with pytest.raises(CudaError, match="cudaFree failed: invalid argument"):
        cuda.close()
    assert stand_in.live == (0, 0)
    cuda.close()
    stream.close()


def test_what_is_raised_in_the_block_is_not_masked_by_freeing(stand_in: StandIn) -> None:
    def use(cuda: Cuda, memory: DeviceMemory) -> None:
        cuda.function("cudaFree")(memory.pointer)  # so that to free it fails
        raise LookupError("the block's own")

    with pytest.raises(LookupError, match="own"), Cuda.load() as cuda:
        use(cuda, cuda.device_memory(16))
    with Cuda.load() as cuda, pytest.raises(LookupError, match="own"), cuda.device_memory(16) as memory:
        use(cuda, memory)
    assert stand_in.live == (0, 0)


def test_things_are_given_back_twice_and_in_any_order(stand_in: StandIn) -> None:
    cuda = Cuda.load()
    with cuda.stream() as stream, cuda.event() as event, cuda.device_memory(16) as memory, cuda.host_memory(16) as host:
        graph = stream.capture(lambda: stream.fill(memory, 1))
        assert stand_in.live == (2, 3)
        stream.close()
        event.close()
        event.close()
    assert stand_in.live == (0, 1)
    cuda.close()
    assert stand_in.live == (0, 0)
    graph.close()
    host.close()
    cuda.close()


def test_use_after_close_is_refused(stand_in: StandIn) -> None:
    cuda = Cuda.load()
    stream, event, graph = cuda.stream(), cuda.event(), cuda.stream().capture(lambda: None)
    memory, host = cuda.device_memory(16), cuda.host_memory(16)
    stream.close()
    for use in (stream.synchronize, lambda: event.record(stream), lambda: graph.launch(stream), lambda: stream.handle):
        with pytest.raises(RuntimeError, match="this Stream is closed"):
            use()
    cuda.close()
    for name, use in {
        "Event": event.synchronize,
        "Graph": lambda: graph.handle,
        "DeviceMemory": lambda: memory.handle,
        "HostMemory": lambda: host.view,
        "Cuda": cuda.stream,
    }.items():
        with pytest.raises(RuntimeError, match=f"this {name} is closed"):
            use()
    with pytest.raises(AttributeError):
        event.nothing  # noqa: B018
    assert stand_in.live == (0, 0)


def test_no_error_is_left_for_others_to_find(cuda: Cuda) -> None:
    """TensorRT asks cudaGetLastError after its own calls."""
    with pytest.raises(CudaError):
        cuda.set_device(99)
    assert cuda.function("cudaGetLastError")() == 0


def test_a_sticky_error_leaves_the_process_with_its_own_exit(stand_in: StandIn) -> None:
    """A worker that fails on the device ends as it wants to: nothing crashes at the end of the interpreter."""
    stand_in.set(fail_after=1)
    script = ROUND_TRIP.replace("with Cuda.load() as cuda:", "cuda = Cuda.load()\nif True:")
    done = subprocess.run(
        [sys.executable, "-c", script, str(ROOT)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "cudaGraphLaunch failed: an illegal memory access" in done.stderr.splitlines()[-1]


# ---- on a device's Python


def test_it_works_under_python_38(stand_in: StandIn) -> None:
    here = sorted(Path.home().glob(".pyenv/versions/3.8*/bin/python"))
    python = str(here[-1]) if here else shutil.which("python3.8")
    if python is None:
        pytest.skip("no CPython 3.8 here: neither ~/.pyenv/versions/3.8* nor python3.8")
    argv = [python, "-I", "-B", "-c", ROUND_TRIP, str(ROOT)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
