"""The TensorRT backend over APIs shaped like 8.5, 8.6, 10.3 and 11: built and run through a scripted TensorRT.

That is a stand-in (tests/stand_ins/tensorrt): it has the real names, keeps the real order of calls, refuses what those
versions refuse and computes through onnxruntime in the memory of a stand-in for CUDA. It shows that the run path is
right; it says nothing of speed.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from trt_models import CLASSES, a_job, images, network

from device_agents import measure
from device_agents.backends import tensorrt
from device_agents.backends.base import Built
from device_agents.contract import DimRange, JobSpec, LoadPattern, Precision, Timing
from device_agents.cuda import Cuda
from device_agents.cuda_handles import HostMemory
from device_agents.errors import DeviceError
from device_agents.tasks import trial
from device_agents.trt import api, memory, timings
from tests.stand_ins.tensorrt_fixture import ScriptedTensorRT

pytest.importorskip("onnx", reason="making a small model needs onnx")
ort = pytest.importorskip("onnxruntime", reason="the scripted TensorRT computes through onnxruntime")

SHAPES = ("8.5", "8.6", "10.3", "11.4")
BOUNDS = ({"batch": DimRange(1, 2, 4)}, {"batch": DimRange(5, 8, 16)})


class Bench:
    """One shape of TensorRT with a folder for models and engines."""

    def __init__(self, scripted: ScriptedTensorRT, shape: str, folder: Path) -> None:
        self.scripted = scripted
        self.cuda = scripted.stand_in
        self.shape = shape
        self.folder = folder
        self.engine = folder / "engines" / "model.engine"
        self.caches = folder / "caches"
        self.engine.parent.mkdir()
        self.caches.mkdir()
        self._opened: list[tensorrt.Backend] = []

    def backend(self) -> tensorrt.Backend:
        """As in a fresh process: its own TensorRT, nothing heard yet, no plugins registered."""
        api.logger_for.cache_clear()
        name = self.scripted.module(self.shape).__name__
        vars(sys.modules[f"{name}._foundation"])["plugins_are_there"] = False

        class Backend(tensorrt.Backend):
            module: ClassVar[str] = name

        made = Backend()
        made.start()
        self._opened.append(made)
        return made

    def build(self, spec: JobSpec, told: list[str] | None = None) -> Built:
        told = [] if told is None else told
        backend = self.backend()
        try:
            return backend.build(self.folder / spec.model_file, self.engine, spec, self.caches, told.append)
        finally:
            backend.close()

    def loaded(self, spec: JobSpec) -> tensorrt.Backend:
        self.build(spec)
        return self.reloaded(spec)

    def reloaded(self, spec: JobSpec) -> tensorrt.Backend:
        backend = self.backend()
        backend.load(self.engine, spec)
        return backend

    def close(self) -> None:
        for backend in self._opened:
            backend.close()


@pytest.fixture(params=SHAPES)
def bench(request: pytest.FixtureRequest, scripted_tensorrt: ScriptedTensorRT, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(scripted_tensorrt, request.param, tmp_path)
    yield made
    made.close()


@pytest.fixture
def newest(scripted_tensorrt: ScriptedTensorRT, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(scripted_tensorrt, "10.3", tmp_path)
    yield made
    made.close()


def computed(model: Path, inputs: dict[str, Any]) -> Any:
    return ort.InferenceSession(str(model), providers=["CPUExecutionProvider"]).run(["scores"], inputs)[0]


def refusal(work: Callable[[], object]) -> DeviceError:
    with pytest.raises(DeviceError) as caught:
        work()
    return caught.value


def asks_back_what_it_was_given(backend: tensorrt.Backend, model: Path, spec: JobSpec, slots: int = 3) -> None:
    """Every slot computes its own inputs; bound anew, it computes those."""
    for seed in (0, 100):
        batches = [images(spec.batch, spec.precision, seed + slot) for slot in range(slots)]
        for slot, batch in enumerate(batches):
            backend.bind(batch, slot)
        for slot in (0, *reversed(range(slots))):
            backend.enqueue(slot)
            backend.wait(slot)
        for slot, batch in enumerate(batches):
            np.testing.assert_allclose(
                backend.outputs(slot)["scores"], computed(model, batch), rtol=2e-2, atol=2e-3, err_msg=f"slot {slot}"
            )


class TestRuns:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"cuda_graph": True},
            {"streams": 2},
            {"streams": 2, "cuda_graph": True},
            {"pinned": False},
            {"spin": False},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("transfers", [True, False])
    @pytest.mark.parametrize("pattern", ["serial", "pipelined"])
    def test_every_way_gives_what_the_model_computes(
        self, bench: Bench, options: dict[str, Any], transfers: bool, pattern: str
    ) -> None:
        model = network(bench.folder / "model.onnx", batch=2)
        spec = a_job(model, 2, free=False, task="measure", options=options, transfers=transfers, pattern=pattern)
        if "streams" in options and pattern == "serial":
            error = refusal(lambda: bench.build(spec))
            assert error.info.message == "streams=2 has no use with serial, which keeps one inference under way"
            assert "--pattern pipelined" in error.info.fix
            return
        backend = bench.loaded(spec)
        asks_back_what_it_was_given(backend, model, spec)
        switches = backend.switches()
        assert switches["cuda_graph"] is bool(options.get("cuda_graph", False))
        assert switches["transfers"] is transfers
        assert switches["copy_streams"] is (transfers and pattern == "pipelined")
        assert switches["nvtx_verbosity"] == "layer_names_only", "of a build by default; ours tells layers in detail"
        assert switches["schedule"] == ("spin" if options.get("spin", True) else "block")
        assert backend.in_flight == 2 * options.get("streams", 1)
        backend.close()
        backend.close()
        memory_left, handles_left = bench.cuda.live
        assert handles_left == 0
        if not options.get("cuda_graph"):  # what was captured the stand-in keeps, and with it the context
            assert memory_left == 0

    @pytest.mark.parametrize(
        ("pattern", "streams"), [("serial", 1), ("rate:2000", 1), ("pipelined", 1), ("pipelined", 3)]
    )
    def test_the_timed_loop_takes_each_inference_apart(self, bench: Bench, pattern: str, streams: int) -> None:
        model = network(bench.folder / "model.onnx", batch=1)
        spec = a_job(model, free=False, task="measure", pattern=pattern, options={"streams": streams})
        backend = bench.loaded(spec)
        slots = 2 * streams + 1
        for slot in range(slots):
            backend.bind(images(1, seed=slot), slot)
        timing = Timing(1, warmup_s=0, warmup_iterations=5, warmup_cap_s=0.2, duration_s=0.05, iterations=20, cap_s=2)
        timed = measure.measure(backend, slots, LoadPattern.parse(pattern), timing)
        assert len(timed.timed) >= 20
        assert {name: len(part) for name, part in timed.parts.items()} == dict.fromkeys(
            ("h2d", "compute", "d2h", "enqueue"), len(timed.timed)
        )
        assert all(value > 0 for value in timed.parts["compute"])
        assert all(value > 0 for value in timed.parts["enqueue"])

    @pytest.mark.parametrize("host_mib", [1, 8])
    def test_inputs_outgrow_the_last_cache_of_host_and_gpu(
        self, newest: Bench, monkeypatch: pytest.MonkeyPatch, host_mib: int
    ) -> None:
        """The stand-in's GPU has an L2 of 4 MiB; what the processor has says nothing of it."""
        monkeypatch.setattr(trial, "last_cache_bytes", lambda _: host_mib << 20)
        model = network(newest.folder / "model.onnx", batch=64)
        spec = a_job(model, 64, free=False, task="measure")
        buffers = trial._buffers(spec, None, newest.loaded(spec))
        assert sum(buffer["image"].nbytes for buffer in buffers) > max(4, host_mib) << 20

    def test_without_transfers_nothing_is_copied_in_the_timed_part(self, bench: Bench) -> None:
        model = network(bench.folder / "model.onnx", batch=1)
        backend = bench.loaded(a_job(model, free=False, task="measure", transfers=False))
        backend.bind(images(1), 0)
        backend.enqueue(0)
        backend.wait(0)
        parts = backend.parts(0)
        assert parts is not None
        assert parts.h2d_ns == parts.d2h_ns == 0
        assert parts.compute_ns > 0

    def test_what_the_host_does_before_the_enqueue_is_no_computing(
        self, newest: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The device waits from one event to the next: addresses are given to TensorRT ahead of both."""
        context = newest.scripted.module(newest.shape).IExecutionContext
        kept, late_s = context.set_tensor_address, 0.05

        def late(*args: Any) -> bool:
            time.sleep(late_s)
            return bool(kept(*args))

        monkeypatch.setattr(context, "set_tensor_address", late)
        model = network(newest.folder / "model.onnx", batch=1)
        for transfers in (True, False):
            backend = newest.loaded(a_job(model, free=False, task="measure", transfers=transfers))
            for slot in (0, 1):
                backend.bind(images(1, seed=slot), slot)
            computes = []
            for slot in (0, 1, 0):
                backend.enqueue(slot)
                backend.wait(slot)
                parts = backend.parts(slot)
                assert parts is not None
                computes.append(parts.compute_ns)
            assert min(computes) < late_s * 1e9

    def test_what_memory_held_before_is_never_computed(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """A graph is captured after an inference; of integers that were never set, indices would go astray."""
        engine = bench.scripted.module(bench.shape).ICudaEngine
        compute, seen = engine._run, []

        def watched(self: Any, inputs: dict[str, Any]) -> Any:
            seen.append(inputs["image"].copy())
            return compute(self, inputs)

        monkeypatch.setattr(engine, "_run", watched)
        model = network(bench.folder / "model.onnx", batch=1)
        backend = bench.loaded(a_job(model, free=False, task="measure", options={"cuda_graph": True}))
        given = [images(1, seed=slot) for slot in range(3)]
        for slot, batch in enumerate(given):
            backend.bind(batch, slot)
            backend.enqueue(slot)
            backend.wait(slot)
        assert len(seen) >= 2 * len(given)
        for array in seen:
            assert any(np.array_equal(array, batch["image"]) for batch in given)

    @pytest.mark.parametrize("precision", list(Precision))
    def test_the_graphs_types_are_the_engines(self, bench: Bench, precision: Precision) -> None:
        """On 8.x the builder is told as well; on 10 that would be refused, on 11 there is nothing to tell."""
        model = network(bench.folder / "model.onnx", precision, batch=1)
        spec = a_job(model, free=False, task="measure", precision=precision)
        built = bench.build(spec)
        assert {"fp32": "fp32", "fp16": "fp16", "int8": "int8"}[precision.value] in {
            one.precision for one in built.layers
        }
        assert built.device_memory_bytes
        asks_back_what_it_was_given(bench.reloaded(spec), model, spec)

    def test_memory_is_told(self, bench: Bench) -> None:
        model = network(bench.folder / "model.onnx", batch=1)
        backend = bench.loaded(a_job(model, free=False, task="measure", pattern="pipelined", options={"streams": 2}))
        backend.bind(images(1), 0)
        found = backend.memory()
        assert set(found) == {"engine_device", "buffers_device", "gpu_used"}
        assert 0 < found["engine_device"] + found["buffers_device"] <= found["gpu_used"]

    def test_layers_have_times_types_and_nodes(self, bench: Bench) -> None:
        model = network(bench.folder / "model.onnx", Precision.FP16, batch=1)
        spec = a_job(model, free=False, task="measure", precision=Precision.FP16, options={"cuda_graph": True})
        backend = bench.loaded(spec)
        backend.bind(images(1, Precision.FP16), 0)
        layers = backend.layers(0, 5)
        assert layers
        assert all(layer.time_ns is not None and layer.time_ns >= 0 for layer in layers)
        assert "fp16" in {layer.precision for layer in layers}
        nodes = {node for layer in layers for node in layer.nodes}
        assert {"/block/Conv", "/block/Relu", "/head/MatMul"} <= nodes  # from 8.5's names, from later ones' metadata

    def test_what_the_first_inference_takes_longer_is_not_the_layers(self, bench: Bench) -> None:
        """A process that profiles is as cold as any: kernels are loaded at their first launch."""
        bench.scripted.set(cold_s=0.5)
        model = network(bench.folder / "model.onnx", batch=1)
        backend = bench.loaded(a_job(model, free=False, task="measure"))
        backend.bind(images(1), 0)
        assert sum(layer.time_ns or 0 for layer in backend.layers(0, 2)) < 0.2e9


class TestShapes:
    @pytest.mark.parametrize(("batch", "index"), [(1, 0), (4, 0), (5, 1), (16, 1)])
    def test_the_profile_that_holds_the_batch_is_chosen(self, bench: Bench, batch: int, index: int) -> None:
        model = network(bench.folder / "model.onnx")
        spec = a_job(model, batch, profiles=BOUNDS, task="measure")
        backend = bench.loaded(spec)
        assert backend.switches()["optimization_profile"] == index
        asks_back_what_it_was_given(backend, model, spec)
        assert backend.outputs(0)["scores"].shape == (batch, CLASSES)

    def test_overlapping_profiles_the_one_tuned_for_it(self, bench: Bench) -> None:
        model = network(bench.folder / "model.onnx")
        bounds = ({"batch": DimRange(1, 1, 16)}, {"batch": DimRange(1, 8, 16)})
        assert bench.loaded(a_job(model, 6, profiles=bounds, task="measure")).switches()["optimization_profile"] == 1

    def test_a_batch_outside_every_profile_names_the_ranges(self, bench: Bench) -> None:
        model = network(bench.folder / "model.onnx")
        bench.build(a_job(model, 2, profiles=BOUNDS))
        error = refusal(lambda: bench.reloaded(a_job(model, 17, profiles=BOUNDS, task="measure")))
        assert error.info.code == "shape_outside_profile"
        assert error.info.stage == "load"
        assert "0: image 1x3x8x8 to 4x3x8x8; 1: image 5x3x8x8 to 16x3x8x8" in error.info.message

    def test_without_profiles_the_engine_takes_the_jobs_shapes_alone(self, bench: Bench) -> None:
        model = network(bench.folder / "model.onnx")
        spec = a_job(model, 3, task="measure")
        asks_back_what_it_was_given(bench.loaded(spec), model, spec)
        error = refusal(lambda: bench.reloaded(a_job(model, 2, task="measure")))
        assert "(0: image 3x3x8x8)" in error.info.message

    def test_several_streams_and_free_shapes(self, bench: Bench) -> None:
        """TensorRT 8.5 wants a profile for every context; 8.6 shares them when told at the build."""
        model = network(bench.folder / "model.onnx")
        spec = a_job(model, 2, profiles=BOUNDS, task="measure", pattern="pipelined", options={"streams": 2})
        if bench.shape == "8.5":
            error = refusal(lambda: bench.loaded(spec))
            assert error.info.code == "unsupported"
            assert "streams=1" in error.info.fix
            return
        asks_back_what_it_was_given(bench.loaded(spec), model, spec)

    def test_inputs_of_another_shape_are_refused(self, bench: Bench) -> None:
        model = network(bench.folder / "model.onnx")
        backend = bench.loaded(a_job(model, 2, task="measure"))
        error = refusal(lambda: backend.bind(images(3), 0))
        assert "(3, 3, 8, 8)" in error.info.message


class TestBadEngines:
    def test_a_damaged_file(self, bench: Bench) -> None:
        model = network(bench.folder / "model.onnx", batch=1)
        spec = a_job(model, free=False, task="measure")
        bench.build(spec)
        bench.engine.write_bytes(b"ftrt" + bytes(2000))
        error = refusal(lambda: bench.reloaded(spec))
        assert error.info.code == "engine_damaged"
        assert "--rebuild" in error.info.fix

    def test_one_of_another_version(self, scripted_tensorrt: ScriptedTensorRT, tmp_path: Path) -> None:
        model = network(tmp_path / "model.onnx", batch=1)
        spec = a_job(model, free=False, task="measure")
        bench = Bench(scripted_tensorrt, "8.6", tmp_path)
        bench.build(spec)
        bench.shape = "10.3"
        error = refusal(lambda: bench.reloaded(spec))
        assert error.info.code == "engine_foreign"
        assert "expecting library version 10.3" in error.info.message

    def test_one_of_another_gpu(self, bench: Bench) -> None:
        model = network(bench.folder / "model.onnx", batch=1)
        spec = a_job(model, free=False, task="measure")
        bench.build(spec)
        bench.cuda.set(capability="8.0")
        error = refusal(lambda: bench.reloaded(spec))
        assert error.info.code == "engine_foreign"
        assert "expecting compute 8.0 got compute 8.7" in error.info.message

    def test_one_of_another_model(self, bench: Bench) -> None:
        model = network(bench.folder / "model.onnx", batch=1)
        bench.build(a_job(model, free=False))
        other = a_job(network(bench.folder / "other.onnx", batch=1, extra=("Exp",)), free=False, task="measure")
        bench.build(other)
        error = refusal(lambda: bench.reloaded(other))
        assert error.info.code == "load_failed"
        assert "extra_0" in error.info.message

    def test_a_version_compatible_one_runs_its_own_code(
        self, scripted_tensorrt: ScriptedTensorRT, tmp_path: Path
    ) -> None:
        bench = Bench(scripted_tensorrt, "10.3", tmp_path)
        model = network(tmp_path / "model.onnx", batch=1)
        spec = a_job(model, free=False, task="measure", options={"version_compatible": True})
        bench.build(spec)
        asks_back_what_it_was_given(bench.reloaded(spec), model, spec)
        bench.close()

    def test_one_with_a_plugin_is_built_and_loads_in_another_process(self, bench: Bench) -> None:
        """InstanceNormalization is one in 8.x, and not every parser registers them."""
        bench.scripted.set(plugins="Relu")
        model = network(bench.folder / "model.onnx", batch=1)
        spec = a_job(model, free=False, task="measure")
        asks_back_what_it_was_given(bench.loaded(spec), model, spec)


class TestMemory:
    def test_no_build_begins_without_memory_for_it(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        model = network(bench.folder / "model.onnx", batch=1)
        told: list[str] = []
        monkeypatch.setattr(memory, "available_host_bytes", lambda: 1200 << 20)
        bench.cuda.set(memory=1100 << 20)
        bench.build(a_job(model, free=False))
        bench.engine.unlink()
        monkeypatch.setattr(memory, "available_host_bytes", lambda: 700 << 20)
        bench.cuda.set(memory=100 << 20)
        error = refusal(lambda: bench.build(a_job(model, free=False), told))
        assert error.info.code == "out_of_memory"
        assert "of memory, which GPU and host share" in error.info.message
        assert "700 MiB is free" in error.info.message
        assert told == []
        assert list(bench.engine.parent.iterdir()) == []

    def test_what_runs_out_while_it_loads_says_the_batch_that_fits(self, bench: Bench) -> None:
        """A context wants four times the inputs; at batch 1000 that is 3 MiB, and 2 MiB are there."""
        model = network(bench.folder / "model.onnx")
        spec = a_job(model, 1000, task="measure")
        bench.build(spec)
        bench.cuda.set(memory=2 << 20)
        error = refusal(lambda: bench.reloaded(spec))
        assert error.info.code == "out_of_memory"
        assert "at batch 1000 (3 MiB asked" in error.info.message
        batch = int(error.info.fix.partition("a batch of ")[2].split()[0])
        assert 1 <= batch < 1000
        smaller = a_job(model, batch, task="measure")
        bench.cuda.set(memory=1 << 30)
        bench.build(smaller)
        bench.cuda.set(memory=2 << 20)
        bench.reloaded(smaller)

    def test_the_batch_is_that_of_the_batch_dimension(self) -> None:
        """A free height is no batch."""
        wide = {"batch": DimRange(1, 4, 8), "height": DimRange(224, 512, 1024)}
        spec = a_job(Path(__file__), 2, profiles=(wide,))
        assert memory.largest_batch(spec) == 8
        error = memory.no_memory("load", "a buffer", spec, api.Said(), 100 << 20, 200 << 20)
        assert "ran out of memory at batch 8 (200 MiB asked, 100 MiB free)" in error.info.message
        assert error.info.fix.startswith("bounds up to a batch of 3 would fit")

    def test_weights_that_do_not_fit_fit_at_no_batch(self, newest: Bench) -> None:
        model = network(newest.folder / "model.onnx")
        spec = a_job(model, 8, task="measure")
        newest.build(spec)
        newest.cuda.set(memory=512)
        error = refusal(lambda: newest.reloaded(spec))
        assert error.info.code == "out_of_memory"
        assert error.info.message.startswith("loading the engine ran out of memory at batch 8 (")
        assert "weights are the same at every batch" in error.info.fix

    def test_kernels_that_do_not_fit_are_out_of_memory_in_the_run(self, bench: Bench) -> None:
        bench.scripted.set(kernels=2 << 30)
        model = network(bench.folder / "model.onnx")
        backend = bench.loaded(a_job(model, 2, task="measure"))
        backend.bind(images(2), 0)
        error = refusal(lambda: backend.enqueue(0))
        assert (error.info.code, error.info.stage) == ("out_of_memory", "run")
        assert "ran out of memory at batch 2 (2,048 MiB asked" in error.info.message
        assert error.info.fix == "take a smaller batch, or end what else uses the memory"

    def test_buffers_that_do_not_fit(self, bench: Bench) -> None:
        model = network(bench.folder / "model.onnx")
        spec = a_job(model, 1000, task="measure")
        bench.build(spec)
        bench.cuda.set(memory=64 << 20)
        backend = bench.reloaded(spec)

        def fill() -> None:
            for slot in range(2000):
                backend.bind(images(1000), slot)

        error = refusal(fill)
        assert error.info.code == "out_of_memory"
        assert "ran out of memory at batch 1000" in error.info.message
        batch = int(error.info.fix.partition("a batch of ")[2].split()[0])
        assert 1 <= batch < 1000

    def test_pinned_memory_that_does_not_fit_is_the_hosts(self, newest: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        def none(cuda: Cuda, size: int) -> HostMemory:
            raise cuda.error("cudaHostAlloc", 2, asked=size)

        monkeypatch.setattr(Cuda, "host_memory", none)
        model = network(newest.folder / "model.onnx")
        backend = newest.loaded(a_job(model, 64, task="measure"))
        error = refusal(lambda: backend.bind(images(64), 0))
        assert error.info.code == "out_of_memory"
        assert "asked as pinned host memory" in error.info.message

    def test_a_cuda_error_in_mid_run_is_told_and_closing_works(self, bench: Bench) -> None:
        model = network(bench.folder / "model.onnx", batch=1)
        spec = a_job(model, free=False, task="measure")
        bench.build(spec)
        bench.cuda.set(fail_after=7)  # copies and inferences; three make one round here
        backend = bench.reloaded(spec)
        backend.bind(images(1), 0)

        def run() -> None:
            for _ in range(3):
                backend.enqueue(0)
                backend.wait(0)

        error = refusal(run)
        assert error.info.code in ("cuda_error", "run_failed")
        assert error.info.stage == "run"
        assert "700" in error.info.message
        backend.close()


class TestBuilds:
    def test_an_operator_that_is_missing_is_named_with_the_version_that_has_it(
        self, scripted_tensorrt: ScriptedTensorRT, tmp_path: Path
    ) -> None:
        scripted_tensorrt.set(unsupported="IsInf,NonMaxSuppression")
        bench = Bench(scripted_tensorrt, "8.5", tmp_path)
        model = network(tmp_path / "model.onnx", batch=1, extra=("Exp", "IsInf"))
        error = refusal(lambda: bench.build(a_job(model, free=False)))
        assert error.info.code == "unsupported_operator"
        assert "node 6 '/extra/IsInf_1': the operator IsInf is not supported" in error.info.message
        assert error.info.fix == "TensorRT has IsInf since 8.6"

    def test_two_missing_operators_are_both_named(self, bench: Bench) -> None:
        """TensorRT 8 stops at the first; the parser is asked for the others by name."""
        bench.scripted.set(unsupported="Exp,Sin")
        model = network(bench.folder / "model.onnx", batch=1, extra=("Exp", "Sin"))
        error = refusal(lambda: bench.build(a_job(model, free=False)))
        assert "node 5 '/extra/Exp_0'" in error.info.message
        assert "node 6 '/extra/Sin_1'" in error.info.message

    def test_the_timing_cache_is_kept_and_read(self, bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
        model = network(bench.folder / "model.onnx", batch=1)
        spec = a_job(model, free=False)
        bench.build(spec)
        first = bench.engine.read_bytes()
        kept = list(bench.caches.iterdir())
        assert len(kept) == 1
        assert "sm87" in kept[0].name
        capfd.readouterr()
        built = bench.build(spec)
        assert built.warnings == ()
        assert f"bytes read from {kept[0]}" in capfd.readouterr().err
        assert bench.engine.read_bytes() == first, "the tactics are those of the first build"

    @pytest.mark.parametrize("how", ["numbered", "asked"])
    def test_builds_that_share_no_timings(self, bench: Bench, how: str) -> None:
        model = network(bench.folder / "model.onnx", batch=1)
        change: dict[str, Any] = {"build": 1} if how == "numbered" else {"options": {"timing_cache": False}}
        bench.build(a_job(model, free=False, **change))
        first = bench.engine.read_bytes()
        bench.build(a_job(model, free=False, **change))
        assert list(bench.caches.iterdir()) == []
        assert bench.engine.read_bytes() != first

    def test_a_damaged_timing_cache_is_dropped_and_said(self, bench: Bench) -> None:
        model = network(bench.folder / "model.onnx", batch=1)
        bench.build(a_job(model, free=False))
        cache = next(bench.caches.iterdir())
        cache.write_bytes(cache.read_bytes()[:-1] + b"?")
        built = bench.build(a_job(model, free=False))
        assert len(built.warnings) == 1
        assert "is damaged and was not used" in built.warnings[0]
        assert bench.build(a_job(model, free=False)).warnings == ()

    def test_timings_of_another_gpu_are_not_used(self, bench: Bench) -> None:
        model = network(bench.folder / "model.onnx", batch=1)
        bench.build(a_job(model, free=False))
        bench.scripted.set(gpu="another GPU of the same capability")
        built = bench.build(a_job(model, free=False))
        assert any("is of another TensorRT or GPU" in warning for warning in built.warnings)
        first = bench.engine.read_bytes()
        assert bench.build(a_job(model, free=False)).warnings == ()
        assert bench.engine.read_bytes() == first, "nor are they merged into those of this GPU"

    def test_two_builders_at_once_lose_nothing(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """While one builds, another writes the same file: what it found is merged."""
        other = network(bench.folder / "other.onnx", batch=1, extra=("Exp",))
        model = network(bench.folder / "model.onnx", batch=1)
        keep, sizes = timings.Timings.keep, []

        def keep_later(kept: timings.Timings, config: Any) -> None:
            monkeypatch.setattr(timings.Timings, "keep", keep)
            bench.build(a_job(other, free=False))
            sizes.append(next(bench.caches.iterdir()).stat().st_size)
            keep(kept, config)

        monkeypatch.setattr(timings.Timings, "keep", keep_later)
        bench.build(a_job(model, free=False))
        bench.build(a_job(other, free=False))
        first = bench.engine.read_bytes()
        bench.build(a_job(other, free=False))
        assert bench.engine.read_bytes() == first
        assert next(bench.caches.iterdir()).stat().st_size >= sizes[0]

    def test_progress_comes_from_the_monitor_where_there_is_one(self, bench: Bench) -> None:
        told: list[str] = []
        model = network(bench.folder / "model.onnx", batch=1)
        bench.build(a_job(model, free=False), told)
        assert told[0] == "reading the model"
        assert ("Building Engine 0/2" in told) is (not bench.shape.startswith("8."))

    def test_no_engine_is_left_of_a_build_that_failed(self, bench: Bench) -> None:
        bench.scripted.set(workspace=64 << 20)
        model = network(bench.folder / "model.onnx", batch=1)
        error = refusal(lambda: bench.build(a_job(model, free=False, options={"workspace_mib": 1})))
        assert error.info.code == "build_failed"
        assert "workspace_mib" in error.info.fix
        assert list(bench.engine.parent.iterdir()) == []


class TestOptions:
    def test_a_dla_where_there_is_one(self, bench: Bench) -> None:
        model = network(bench.folder / "model.onnx", Precision.FP16, batch=1)
        spec = a_job(model, free=False, task="measure", precision=Precision.FP16, options={"dla_core": 1})
        error = refusal(lambda: bench.build(spec))
        assert error.info.code == "unsupported"
        assert "DLA core 1 was asked for" in error.info.message
        assert "sees no DLA on this device" in error.info.message
        bench.scripted.set(dla_cores=2)
        bench.build(spec)
        asks_back_what_it_was_given(bench.reloaded(spec), model, spec)
        with pytest.raises(DeviceError, match="has 2 DLA cores"):
            bench.build(a_job(model, free=False, precision=Precision.FP16, options={"dla_core": 2}))
        error = refusal(lambda: bench.build(a_job(model, free=False, options={"dla_core": 0})))
        assert error.info.message == "the DLA computes in FP16 and INT8, not in FP32"

    @pytest.mark.parametrize(
        ("option", "value", "without"),
        [
            ("optimization_level", 1, ("8.5",)),
            ("hardware_compatibility", "ampere_plus", ("8.5",)),
            ("hardware_compatibility", "same_compute_capability", ("8.5", "8.6", "10.3")),
            ("version_compatible", True, ("8.5",)),
            ("typing", "strong", ("8.5", "8.6")),
            ("typing", "weak", ("11.4",)),
            ("tactic_dram_mib", 100, ("8.5",)),
            ("tactic_shared_kib", 48, ("8.5", "8.6")),
            ("workspace_mib", 100, ()),
            ("dla_sram_kib", 512, ()),
        ],
    )
    def test_what_a_version_lacks_is_refused_by_name(
        self, bench: Bench, option: str, value: Any, without: tuple[str, ...]
    ) -> None:
        model = network(bench.folder / "model.onnx", batch=1)
        spec = a_job(model, free=False, task="measure", options={option: value})
        if bench.shape not in without:
            bench.build(spec)
            asks_back_what_it_was_given(bench.reloaded(spec), model, spec)
            return
        error = refusal(lambda: bench.build(spec))
        assert error.info.code == "unsupported"
        assert "has no" in error.info.message or "compatibility" in error.info.message
        assert list(bench.engine.parent.iterdir()) == []

    def test_typing_is_strong_where_there_is_that(self, bench: Bench) -> None:
        model = network(bench.folder / "model.onnx", batch=1)
        made = bench.backend().made_of(a_job(model, free=False))
        assert made["typing"] == ("weak" if bench.shape.startswith("8.") else "strong")
        assert made["target"] == "sm87"
        assert set(tensorrt.Backend.build_options) <= set(made)

    def test_the_precision_is_asked_for_where_typing_is_weak(self, newest: Bench) -> None:
        """An FP32 graph in FP16 by TensorRT's own choice, as its users did until 10."""
        model = network(newest.folder / "model.onnx", batch=1)
        spec = a_job(model, free=False, options={"typing": "weak"})
        half = JobSpec(**{**vars(spec), "precision": Precision.FP16})
        assert {one.precision for one in newest.build(spec).layers} == {"fp32"}
        assert "fp16" in {one.precision for one in newest.build(half).layers}


class TestCommand:
    @pytest.mark.parametrize(
        ("shape", "words", "never"),
        [
            ("8.5", ("--fp16", "--useSpinWait", "--useCudaGraph", "--streams=1"), ("--stronglyTyped",)),
            ("10.3", ("--stronglyTyped", "--useSpinWait", "--useCudaGraph", "--infStreams=1"), ("--fp16",)),
            ("11.4", ("--includeDataTransfers", "--infStreams=1"), ("--fp16", "--useCudaGraph", "--stronglyTyped")),
        ],
    )
    def test_the_line_of_trtexec_is_right_for_the_version(
        self,
        scripted_tensorrt: ScriptedTensorRT,
        tmp_path: Path,
        shape: str,
        words: tuple[str, ...],
        never: tuple[str, ...],
    ) -> None:
        bench = Bench(scripted_tensorrt, shape, tmp_path)
        model = network(tmp_path / "model.onnx", Precision.FP16)
        spec = a_job(
            model,
            2,
            precision=Precision.FP16,
            task="measure",
            options={"cuda_graph": True},
        )
        backend = bench.loaded(spec)
        line = shlex.split(backend.command(spec, None))
        assert set(words) <= set(line)
        assert not set(never) & set(line)
        assert "--onnx=model.onnx" in line
        assert "--shapes=image:2x3x8x8" in line
        assert "--noTF32" in line
        assert "--exposeDMA" in line, "serial awaits each inference"
        bench.close()

    def test_one_that_trtexec_cannot_do_is_empty(self, scripted_tensorrt: ScriptedTensorRT, tmp_path: Path) -> None:
        bench = Bench(scripted_tensorrt, "8.6", tmp_path)
        model = network(tmp_path / "model.onnx")
        spec = a_job(model, 2, profiles=BOUNDS, task="measure")
        assert bench.loaded(spec).command(spec, None) == ""
        bench.close()


class TestNoDevice:
    @pytest.mark.parametrize(
        ("driver", "code"), [("0", "no_device"), ("11040", "driver_too_old")], ids=["no driver", "an old driver"]
    )
    def test_the_driver_is_what_is_wrong(self, newest: Bench, driver: str, code: str) -> None:
        model = network(newest.folder / "model.onnx", batch=1)
        newest.cuda.set(driver=driver)
        error = refusal(lambda: newest.build(a_job(model, free=False)))
        assert error.info.code == code
        assert error.info.stage == "build"
        newest.engine.write_bytes(b"any")
        assert refusal(lambda: newest.reloaded(a_job(model, free=False, task="measure"))).info.code == code
