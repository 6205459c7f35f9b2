"""The onnxruntime backend on a real GPU: right outputs in every way of running, parts by events, nodes that fell back.

Passed on an H100 with onnxruntime-gpu 1.31, but for the TensorRT provider, whose libraries were not there.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gpu_models import beside_pytorch, convolutions, images, job

from device_agents import measure
from device_agents.backends.onnxruntime import Backend
from device_agents.contract import LoadPattern, Timing
from device_agents.cuda import Cuda
from device_agents.errors import DeviceError
from device_agents.ort import providers
from device_agents.ort.streams import StreamRunner
from tests import free_sizes

ort = pytest.importorskip("onnxruntime", reason="the backend needs onnxruntime")
pytest.importorskip("onnx", reason="making a small model needs onnx")

pytestmark = pytest.mark.leaves("CUDA's driver keeps pipes, threads and its context for the life of the process")

TIMING = Timing(
    processes=1, warmup_s=0.3, warmup_iterations=30, warmup_cap_s=3.0, duration_s=0.5, iterations=100, cap_s=10.0
)


@pytest.fixture(scope="module", autouse=True)
def gpu(model: Path) -> None:
    try:
        with Cuda.load() as cuda:
            cuda.device_count()
    except DeviceError as error:
        pytest.skip(f"no NVIDIA GPU to use here: {error}")
    skip_without(providers.CUDA, model)


def skip_without(provider: str, model: Path) -> None:
    """Skips where onnxruntime itself, asked with no option of ours, does not get the provider: what the backend fails
    at is no skip."""
    if provider not in ort.get_available_providers():
        pytest.skip(f"this onnxruntime has no {provider}: pip install onnxruntime-gpu")
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()
    if ort.InferenceSession(str(model), providers=[provider]).get_providers()[0] != provider:
        pytest.skip(f"the libraries that {provider} needs are not here ({providers.needs()})")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gpu") / "model.onnx"
    convolutions(path)
    return path


@contextmanager
def loaded(model: Path, batches: int = 3, **changes: Any) -> Iterator[Backend]:
    spec = job(**changes)
    backend = Backend()
    backend.start()
    try:
        backend.load(model, spec)
        for slot, batch in enumerate(images(batches, spec.batch, spec.inputs[0].dtype)):
            backend.bind(batch, slot)
        yield backend
    finally:
        backend.close()


def run(backend: Backend, slot: int) -> Any:
    backend.enqueue(slot)
    backend.wait(slot)
    return backend.outputs(slot)["y"].copy()


def check(found: list[np.ndarray], model: Path, limit: float = 1e-4) -> None:
    """Each answer is that of its own batch, within what FP32 allows: TF32 would be off by 1e-3 and more."""
    session = ort.InferenceSession(str(model), providers=[providers.CPU])
    for answer, batch in zip(found, images(len(found)), strict=True):
        wanted = session.run(None, batch)[0]
        assert np.linalg.norm(answer - wanted) <= limit * np.linalg.norm(wanted)


WAYS: list[dict[str, Any]] = [
    {},
    {"parts": False},
    {"cuda_graph": True},
    {"cuda_graph": True, "parts": False},
    {"nhwc": True},
    {"nhwc": True, "cuda_graph": True},
    {"spin": False},
]


@pytest.mark.parametrize("transfers", [True, False], ids=["transfers", "resident"])
@pytest.mark.parametrize("options", WAYS, ids=lambda way: " ".join(way) or "plain")
def test_every_way_gives_each_slot_its_own_fp32_outputs(model: Path, options: dict[str, Any], transfers: bool) -> None:
    if not transfers and options.get("cuda_graph") and options.get("parts") is False:
        with (
            pytest.raises(DeviceError, match="without transfers"),
            loaded(model, options={"provider": "cuda", **options}, transfers=transfers),
        ):
            pass
        return
    with loaded(model, options={"provider": "cuda", **options}, transfers=transfers) as backend:
        for _ in range(3):  # a CUDA graph is captured by the second run and replayed by the third
            found = [run(backend, slot) for slot in range(3)]
        switches = backend.switches()
    check(found, model)
    assert switches["provider"] == "cuda"
    assert switches["tf32"] is False
    assert switches["fallback_compute"] == 0


@pytest.mark.parametrize("transfers", [True, False], ids=["transfers", "resident"])
@pytest.mark.parametrize("options", [{}, {"cuda_graph": True}], ids=["plain", "graph"])
def test_two_under_way_do_not_mix(model: Path, options: dict[str, Any], transfers: bool) -> None:
    pattern = LoadPattern("pipelined")
    with loaded(model, 5, pattern=pattern, options={"provider": "cuda", **options}, transfers=transfers) as backend:
        for _ in range(2):  # the first round captures
            found = []
            backend.enqueue(0)
            for slot in range(5):
                if slot < 4:
                    backend.enqueue(slot + 1)
                backend.wait(slot)
                found.append(backend.outputs(slot)["y"].copy())
    check(found, model)


def test_the_parts_add_up_to_the_latency(model: Path) -> None:
    with loaded(model) as backend:
        assert backend.switches()["parts"] == "told", backend.switches()
        timed = measure.measure(backend, 3, LoadPattern("serial"), TIMING)
        assert backend.memory()["gpu_used"] > 0
    middle = {name: statistics.median(part) for name, part in timed.parts.items()}
    whole = statistics.median(timed.timed)
    on_device = middle["h2d"] + middle["compute"] + middle["d2h"]
    assert min(middle.values()) > 0
    assert on_device <= whole
    assert whole - on_device < 0.2 * whole + 200_000, (middle, whole)


def test_event_times_are_those_of_pytorch_within_one_percent(model: Path) -> None:
    torch = pytest.importorskip("torch", reason="no PyTorch to compare with: install edgebench[pytorch]")
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch has no CUDA that works here")
    with loaded(model, batch=32, options={"provider": "cuda", "cuda_graph": True}) as backend:
        runner = backend._runner
        assert isinstance(runner, StreamRunner), backend.switches()
        for _ in range(20):
            run(backend, 0)
        ratios = beside_pytorch(backend, runner._streams.compute.handle)
    assert statistics.median(ratios) == pytest.approx(1, abs=0.01)


def test_enqueue_returns_before_the_gpu_has_finished_and_who_blocks_sleeps_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "long.onnx"
    convolutions(path, depth=40)
    options = {"provider": "cuda", "spin": False}
    with loaded(path, batches=1, batch=64, options=options, transfers=False) as backend:
        for _ in range(5):
            run(backend, 0)
        backend.enqueue(0)
        wall, busy = time.perf_counter(), time.thread_time()
        backend.wait(0)
        wall, busy = time.perf_counter() - wall, time.thread_time() - busy
        told = backend.parts(0)
    assert told is not None
    assert told.enqueue_ns < 0.5 * told.compute_ns, told
    assert wall > 0.5 * told.compute_ns / 1e9
    assert busy < wall / 2


def test_pipelined_is_faster_than_one_after_another(model: Path) -> None:
    paces = {}
    for kind in ("serial", "pipelined"):
        with loaded(model, batches=4, batch=32, pattern=LoadPattern(kind)) as backend:
            timed = measure.measure(backend, 4, LoadPattern(kind), TIMING)
            assert len(timed.parts["compute"]) == len(timed.timed)
        paces[kind] = timed.elapsed_ns / len(timed.timed)
    assert paces["pipelined"] < 0.98 * paces["serial"], paces


def test_a_rate_counts_its_arrivals(model: Path) -> None:
    pattern = LoadPattern("rate", 100.0)
    with loaded(model, pattern=pattern) as backend:
        timed = measure.measure(backend, 3, pattern, TIMING)
    assert timed.counts["arrivals"] >= 100
    assert timed.counts["dropped"] + len(timed.timed) + timed.counts["waiting"] == timed.counts["arrivals"]
    assert len(timed.parts["compute"]) == len(timed.timed)


def test_shape_work_on_the_processor_is_named_and_no_reason_to_refuse(model: Path) -> None:
    with loaded(model, free_dims={}) as backend:
        run(backend, 0)
        switches = backend.switches()
    assert switches["fallback_compute"] == 0
    assert int(str(switches["fallback_shape_work"])) > 0
    assert "gather (Gather)" in str(switches["fallback_shape_work_nodes"])


def test_compute_that_fell_back_is_counted_named_and_refused(tmp_path: Path) -> None:
    path = tmp_path / "det.onnx"
    convolutions(path, depth=2, fall_back=True)
    with pytest.raises(DeviceError) as caught, loaded(path):
        pass
    assert caught.value.info.code == "fell_back"
    assert "det (Det)" in caught.value.info.message
    with loaded(path, options={"provider": "cuda", "allow_fallback": True}) as backend:
        assert np.isfinite(run(backend, 0)).all()
        assert int(str(backend.switches()["fallback_compute"])) >= 1
        assert "det (Det)" in str(backend.switches()["fallback_compute_nodes"])


def test_fp16_runs_as_fp16(tmp_path: Path) -> None:
    path = tmp_path / "fp16.onnx"
    convolutions(path, dtype=np.float16)
    with loaded(path, dtype="float16", options={"provider": "cuda", "nhwc": True}) as backend:
        assert run(backend, 0).dtype == np.float16


@pytest.mark.parametrize("options", [{}, {"cuda_graph": True}], ids=["plain", "graph"])
def test_tensorrt_s_provider_computes_the_same(model: Path, options: dict[str, Any]) -> None:
    skip_without(providers.TENSORRT, model)
    with loaded(model, options={"provider": "tensorrt", **options}) as backend:
        for _ in range(3):
            found = [run(backend, slot) for slot in range(3)]
        switches = backend.switches()
    check(found, model, 1e-3)
    assert int(str(switches["nodes_tensorrt"])) >= 1


@pytest.mark.parametrize("transfers", [True, False], ids=["transfers", "resident"])
@pytest.mark.parametrize("options", [{}, {"parts": False}], ids=lambda way: " ".join(way) or "plain")
def test_drawn_sizes_are_computed_each(tmp_path: Path, options: dict[str, Any], transfers: bool) -> None:
    pattern = LoadPattern.parse("sizes:32-96")
    backend, drawn = Backend(), free_sizes.write_model(tmp_path / "free.onnx")
    backend.start()
    backend.load(drawn, free_sizes.drawing(pattern, transfers=transfers, options={"provider": "cuda", **options}))
    free_sizes.computes(backend, drawn, pattern.sizes)
