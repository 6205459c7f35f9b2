"""How the onnxruntime backend keeps order on CUDA's streams, shown without a GPU.

The libcudart is the stand-in of tests/stand_ins: its device memory is host memory and its streams run at once. So the
real onnxruntime computes with its CPU provider in "device" buffers, between copies and events that the stand-in checks.
It shows that the right buffers go the right way; nothing of speed, and nothing of what overlaps.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ort_models import classifier, images, job

from device_agents import measure
from device_agents.backends.onnxruntime import Backend
from device_agents.contract import LoadPattern, Timing
from device_agents.cuda import Cuda
from device_agents.errors import DeviceError
from device_agents.ort import providers
from device_agents.ort.streams import StreamRunner, Streams
from tests.stand_ins.cuda_onnxruntime import Runtime
from tests.stand_ins.cudart import StandIn

ort = pytest.importorskip("onnxruntime", reason="the runtime that computes is onnxruntime")
pytest.importorskip("onnx", reason="making a small model needs onnx")

SHORT = Timing(processes=1, warmup_s=0.05, warmup_iterations=5, warmup_cap_s=0.2, duration_s=0.1, iterations=20)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ort") / "model.onnx"
    classifier(path)
    return path


@pytest.fixture
def cuda(stand_in: StandIn) -> Iterator[Cuda]:
    with Cuda(str(stand_in.path)) as cuda:
        yield cuda


class Lab:
    def __init__(self, cuda: Cuda, model: Path, *, overlap: bool, transfers: bool, graph: bool) -> None:
        self.spec = job(transfers=transfers)
        session = ort.InferenceSession(str(model), providers=[providers.CPU])
        self.session = session
        self.runner = StreamRunner(
            ort, cuda, Streams(cuda, overlap=overlap), session, self.spec,
            in_flight=2 if overlap else 1, cuda_graph=graph, spin=True, device="cpu",
        )  # fmt: skip

    def wanted(self, batch: dict[str, np.ndarray]) -> Any:
        return self.session.run(["p", "y"], batch)

    def check(self, slot: int, batch: dict[str, np.ndarray]) -> None:
        found, wanted = self.runner.outputs(slot), self.wanted(batch)
        np.testing.assert_allclose(found["p"], wanted[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(found["y"], wanted[1])


WAYS = [(o, t, g) for o in (False, True) for t in (True, False) for g in (False, True)]


@pytest.mark.parametrize(("overlap", "transfers", "graph"), WAYS)
def test_each_inference_gets_its_own_inputs(
    cuda: Cuda, model: Path, overlap: bool, transfers: bool, graph: bool
) -> None:
    lab = Lab(cuda, model, overlap=overlap, transfers=transfers, graph=graph)
    batches = images(5)
    for slot, batch in enumerate(batches):
        lab.runner.bind(batch, slot)
    for _ in range(2):
        for slot, batch in enumerate(batches):
            lab.runner.enqueue(slot)
            lab.runner.wait(slot)
            lab.check(slot, batch)
    lab.runner.bind(batches[4], 0)  # a slot that is bound again computes the new inputs
    lab.runner.enqueue(0)
    lab.runner.wait(0)
    lab.check(0, batches[4])
    lab.runner.close()


@pytest.mark.parametrize("transfers", [True, False])
def test_two_under_way_do_not_mix(cuda: Cuda, model: Path, transfers: bool) -> None:
    lab = Lab(cuda, model, overlap=True, transfers=transfers, graph=True)
    batches = images(5)
    for slot, batch in enumerate(batches):
        lab.runner.bind(batch, slot)
    lab.runner.enqueue(0)
    for slot in range(1, 5):
        lab.runner.enqueue(slot)
        lab.runner.wait(slot - 1)
        lab.check(slot - 1, batches[slot - 1])
    lab.runner.wait(4)
    lab.check(4, batches[4])
    lab.runner.close()


def test_outputs_that_another_slot_overwrote_are_not_shown_as_this_one_s(cuda: Cuda, model: Path) -> None:
    lab = Lab(cuda, model, overlap=False, transfers=False, graph=True)
    for slot, batch in enumerate(images(2)):
        lab.runner.bind(batch, slot)
        lab.runner.enqueue(slot)
        lab.runner.wait(slot)
    with pytest.raises(RuntimeError, match="outputs of slot 0 are gone"):
        lab.runner.outputs(0)
    lab.runner.close()


@pytest.mark.parametrize("overlap", [False, True])
def test_the_parts_of_an_inference_are_told(cuda: Cuda, model: Path, overlap: bool) -> None:
    lab = Lab(cuda, model, overlap=overlap, transfers=True, graph=False)
    lab.runner.bind(images(1)[0], 0)
    lab.runner.enqueue(0)
    lab.runner.wait(0)
    parts = lab.runner.parts(0)
    assert min(parts) >= 0
    assert parts.compute_ns > 0
    # the stand-in's streams run at once, so that here the events hold the runtime's call, and that is all of enqueue
    assert 0 < parts.enqueue_ns <= parts.compute_ns
    lab.runner.close()


@pytest.mark.parametrize("graph", [False, True])
def test_without_transfers_nothing_is_said_to_come_from_the_host_or_go_there(
    cuda: Cuda, model: Path, graph: bool
) -> None:
    """Although a graph, bound to its addresses, has a slot moved there."""
    lab = Lab(cuda, model, overlap=False, transfers=False, graph=graph)
    lab.runner.bind(images(1)[0], 0)
    lab.runner.enqueue(0)
    lab.runner.wait(0)
    parts = lab.runner.parts(0)
    assert (parts.h2d_ns, parts.d2h_ns) == (0, 0)
    assert parts.compute_ns > 0
    lab.runner.close()


def test_nothing_is_left_of_a_closed_runner(cuda: Cuda, stand_in: StandIn, model: Path) -> None:
    lab = Lab(cuda, model, overlap=True, transfers=True, graph=False)
    lab.runner.bind(images(1)[0], 0)
    used = lab.runner.memory()["gpu_used"]
    assert used > 0
    lab.runner.close()
    assert stand_in.live == (0, 0)


class TestTheWholeBackend:
    """With tests/stand_ins/cuda_onnxruntime.py: the real runtime, which says CUDA and computes on the processor."""

    @pytest.fixture
    def runtime(self, stand_in: StandIn) -> Runtime:
        if not hasattr(ort.InferenceSession, "get_provider_graph_assignment_info"):
            pytest.skip(f"onnxruntime {ort.__version__} does not record where nodes run")
        return Runtime()

    def loaded(self, runtime: Runtime, model: Path, **changes: Any) -> Backend:
        backend = Backend()
        backend._ort = runtime
        backend.load(model, job(**{"options": {"provider": "cuda"}, **changes}))
        return backend

    @pytest.mark.parametrize("kind", ["serial", "pipelined", "rate"])
    def test_measures_in_every_pattern(self, runtime: Runtime, model: Path, stand_in: StandIn, kind: str) -> None:
        pattern = LoadPattern(kind, 200.0) if kind == "rate" else LoadPattern(kind)
        backend = self.loaded(runtime, model, pattern=pattern)
        batches = images(3)
        for slot, batch in enumerate(batches):
            backend.bind(batch, slot)
        timed = measure.measure(backend, 3, pattern, SHORT)
        assert all(len(part) == len(timed.timed) for part in timed.parts.values())
        assert set(timed.parts) == {"h2d", "compute", "d2h", "enqueue"}
        for slot, batch in enumerate(batches):
            backend.enqueue(slot)
            backend.wait(slot)
            wanted = ort.InferenceSession(str(model), providers=[providers.CPU]).run(["p"], batch)[0]
            np.testing.assert_allclose(backend.outputs(slot)["p"], wanted, rtol=1e-5, atol=1e-6)
        switches = backend.switches()
        assert switches["parts"] == "told"
        assert switches["streams"] == (3 if kind == "pipelined" else 1)
        assert int(str(switches["nodes_cuda"])) > 3
        assert backend.memory()["gpu_used"] > 0
        assert backend.cache_bytes() == Cuda.load().attributes().l2_bytes
        backend.close()
        assert stand_in.live == (0, 0)

    @pytest.mark.parametrize("transfers", [True, False])
    def test_pipelined_replays_a_graph_for_each_inference_under_way(
        self, runtime: Runtime, model: Path, transfers: bool
    ) -> None:
        """The parity check, one inference at a time, goes through each of them, too."""
        options = {"provider": "cuda", "cuda_graph": True}
        backend = self.loaded(runtime, model, pattern=LoadPattern("pipelined"), options=options, transfers=transfers)
        batches = images(3)
        for slot, batch in enumerate(batches):
            backend.bind(batch, slot)
        for slot in (0, 1):
            backend.enqueue(slot)
            backend.wait(slot)
        assert runtime.graphs == ["1", "2"]
        session = ort.InferenceSession(str(model), providers=[providers.CPU])
        backend.enqueue(0)
        for slot, batch in enumerate(batches):
            if slot < 2:
                backend.enqueue(slot + 1)
            backend.wait(slot)
            wanted = session.run(["p"], batch)[0]
            np.testing.assert_allclose(backend.outputs(slot)["p"], wanted, rtol=1e-5, atol=1e-6)
        assert backend.switches()["streams"] == (3 if transfers else 1)
        backend.close()

    def test_tensorrt_s_one_graph_does_not_do_for_two_under_way(self, runtime: Runtime, model: Path) -> None:
        options = {"provider": "tensorrt", "cuda_graph": True}
        with pytest.raises(
            DeviceError, match=r"cannot run the load pattern pipelined .*keeps one CUDA graph"
        ) as caught:
            self.loaded(runtime, model, pattern=LoadPattern("pipelined"), options=options)
        assert caught.value.info.code == "unsupported"

    @pytest.mark.parametrize("spin", [True, False])
    def test_waits_for_the_gpu_as_it_is_asked_to(
        self, runtime: Runtime, model: Path, stand_in: StandIn, spin: bool
    ) -> None:
        backend = self.loaded(runtime, model, options={"provider": "cuda", "spin": spin})
        backend.bind(images(1)[0], 0)
        backend.enqueue(0)
        backend.wait(0)
        spun, slept = stand_in.waits
        assert (spun > 0, slept > 0) == (spin, not spin)
        backend.close()

    def test_an_error_of_cuda_in_mid_run_is_one_of_the_run(
        self, runtime: Runtime, model: Path, stand_in: StandIn
    ) -> None:
        stand_in.set(fail_after=20)
        backend = self.loaded(runtime, model)
        backend.bind(images(1)[0], 0)
        with pytest.raises(DeviceError, match="illegal memory access") as caught:
            measure.measure(backend, 1, LoadPattern("serial"), SHORT)
        assert (caught.value.info.code, caught.value.info.stage) == ("cuda_error", "run")
        backend.close()

    def test_gives_the_provider_its_stream_and_options(self, runtime: Runtime, model: Path) -> None:
        options = {"provider": "cuda", "cuda_graph": True, "nhwc": True, "spin": False}
        backend = self.loaded(runtime, model, options=options)
        (asked,) = runtime.asked
        stream = backend._runner._streams.compute.handle  # type: ignore[union-attr]
        assert asked == {
            "device_id": "0", "user_compute_stream": str(stream), "use_tf32": "0", "enable_cuda_graph": "1",
            "prefer_nhwc": "1",
        }  # fmt: skip
        assert os.environ["NVIDIA_TF32_OVERRIDE"] == "0"
        backend.close()

    def test_without_parts_leaves_the_streams_to_the_runtime(self, runtime: Runtime, model: Path) -> None:
        """How it waits is ours to say all the same."""
        backend = self.loaded(runtime, model, options={"provider": "cuda", "parts": False, "spin": False})
        assert "user_compute_stream" not in runtime.asked[0]
        assert backend.switches()["parts"] == "not told: the option parts is false"
        assert Cuda.load().schedule() == "block"
        assert backend.cache_bytes() == Cuda.load().attributes().l2_bytes
        backend.close()

    @pytest.mark.parametrize(
        ("graph", "transfers", "places"), [(False, True, {"cpu"}), (False, False, {"cuda"}), (True, True, {"cuda"})]
    )
    def test_without_parts_each_slot_gets_its_own_outputs_all_the_same(
        self, runtime: Runtime, model: Path, graph: bool, transfers: bool, places: set[str]
    ) -> None:
        options = {"provider": "cuda", "parts": False, "cuda_graph": graph}
        backend = self.loaded(runtime, model, options=options, transfers=transfers)
        batches = images(3)
        for slot, batch in enumerate(batches):
            backend.bind(batch, slot)
        session = ort.InferenceSession(str(model), providers=[providers.CPU])
        for slot in (0, 2, 1, 0):
            backend.enqueue(slot)
            backend.wait(slot)
            wanted = session.run(["p"], batches[slot])[0]
            np.testing.assert_allclose(backend.outputs(slot)["p"], wanted, rtol=1e-5, atol=1e-6)
        assert runtime.places == places
        backend.close()

    def test_without_a_cuda_runtime_says_so_and_goes_on(
        self, runtime: Runtime, model: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("EDGEBENCH_CUDART", "/nowhere/libcudart.so")
        backend = self.loaded(runtime, model)
        assert "/nowhere/libcudart.so" in str(backend.switches()["parts"])
        backend.close()
        with pytest.raises(DeviceError, match=r"cannot run the load pattern pipelined .*nowhere"):
            self.loaded(runtime, model, pattern=LoadPattern("pipelined"))

    def test_leaves_nothing_on_the_gpu_when_the_model_cannot_be_loaded(
        self, runtime: Runtime, tmp_path: Path, stand_in: StandIn
    ) -> None:
        broken = tmp_path / "broken.onnx"
        broken.write_bytes(b"no model")
        with pytest.raises(DeviceError) as caught:
            self.loaded(runtime, broken)
        assert caught.value.info.code == "load_failed"
        assert stand_in.live == (0, 0)
