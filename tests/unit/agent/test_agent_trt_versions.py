"""Builds, options and the equivalent command line, over APIs shaped like 8.5, 8.6, 10.3 and 11, which a scripted
TensorRT plays.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from trt_bench import BOUNDS, Bench, asks_back_what_it_was_given, refusal
from trt_models import a_job, network

from device_agents.backends import tensorrt
from device_agents.contract import JobSpec, Precision
from device_agents.cuda import Cuda
from device_agents.errors import DeviceError
from device_agents.trt import timings
from tests.stand_ins.tensorrt_fixture import ScriptedTensorRT

pytest.importorskip("onnx", reason="making a small model needs onnx")
pytest.importorskip("onnxruntime", reason="the scripted TensorRT computes through onnxruntime")


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

    def test_timings_are_those_of_a_power_mode(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """The engine's key holds the power mode; by the timings of another the new engine would be the old one."""
        model = network(bench.folder / "model.onnx", batch=1)
        bench.build(a_job(model, free=False))
        first, attributes = bench.engine.read_bytes(), Cuda.attributes
        monkeypatch.setattr(Cuda, "attributes", lambda self: attributes(self)._replace(sm_clock_khz=612_000))
        built = bench.build(a_job(model, free=False))
        assert built.warnings == ()
        assert bench.engine.read_bytes() != first
        assert len(list(bench.caches.iterdir())) == 2

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
