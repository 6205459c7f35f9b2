"""What does not load, what does not fit, what breaks: engines, memory, the driver, over a scripted TensorRT."""

from __future__ import annotations

from pathlib import Path

import pytest
from trt_bench import Bench, asks_back_what_it_was_given, refusal
from trt_models import a_job, images, network

from device_agents.contract import DimRange
from device_agents.cuda import Cuda
from device_agents.cuda_handles import HostMemory
from device_agents.trt import api, memory
from tests.stand_ins.tensorrt_fixture import ScriptedTensorRT

pytest.importorskip("onnx", reason="making a small model needs onnx")
pytest.importorskip("onnxruntime", reason="the scripted TensorRT computes through onnxruntime")


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
