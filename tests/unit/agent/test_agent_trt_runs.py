"""The run path of the TensorRT backend over APIs shaped like 8.5, 8.6, 10.3 and 11, which a scripted TensorRT plays:
what is computed, what is timed, which shapes go where.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from trt_bench import BOUNDS, Bench, asks_back_what_it_was_given, refusal
from trt_models import CLASSES, a_job, images, network

from device_agents import measure
from device_agents.contract import DimRange, LoadPattern, Precision, Timing
from device_agents.tasks import trial

pytest.importorskip("onnx", reason="making a small model needs onnx")
pytest.importorskip("onnxruntime", reason="the scripted TensorRT computes through onnxruntime")


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
