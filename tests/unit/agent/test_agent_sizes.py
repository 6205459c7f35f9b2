"""Batch, height and width free at once, in both runtimes: profiles, outputs that the runtime works out, trtexec."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trt_bench import Bench, refusal

from device_agents import inputs, runtimes
from device_agents.backends.base import Backend
from device_agents.backends.onnxruntime import Backend as OnnxRuntime
from device_agents.contract import DimRange, EngineRequest, JobSpec, SchemaViolation, TensorSpec
from device_agents.trt.command import equivalent
from device_agents.trt.options import build_options, run_options
from tests import free_sizes
from tests.jobs import job_spec

pytest.importorskip("onnx", reason="making a small model needs onnx")
pytest.importorskip("onnxruntime", reason="the scripted TensorRT computes through onnxruntime")

PROFILE = {"batch": free_sizes.BATCHES, **free_sizes.SIDES}


def job(batch: int, size: tuple[int, int], **changes: Any) -> JobSpec:
    sides = dict(zip(("height", "width"), size, strict=True))
    fields: dict[str, Any] = {
        "backend": "tensorrt",
        "inputs": tuple(one.at_batch(batch, sides) for one in free_sizes.INPUTS),
        "outputs": tuple(one.at_batch(batch) for one in free_sizes.OUTPUTS),
        "batch": batch,
        "free_dims": {"batch": batch, **sides},
        "graph_inputs": free_sizes.INPUTS,
        "engine": EngineRequest(profiles=(PROFILE,)),
    }
    return job_spec(**{**fields, **changes})


def images(batch: int, size: tuple[int, int]) -> dict[str, Any]:
    return {"images": np.random.default_rng(batch).standard_normal((batch, 3, *size)).astype(np.float32)}


def gives_what_the_model_computes(backend: Backend, model: Path, batch: int, size: tuple[int, int]) -> None:
    given = images(batch, size)
    (found,) = runtimes.answers(backend, [given], 0)
    for name, wanted in free_sizes.computed(model, given["images"]).items():
        assert found[name].shape == wanted.shape
        np.testing.assert_allclose(np.asarray(found[name], np.float32), wanted, rtol=1e-4, atol=1e-5)


class TestTensorRT:
    def test_one_engine_computes_every_size_within_its_profile(self, bench: Bench) -> None:
        model = free_sizes.write_model(bench.folder / "model.onnx")
        bench.build(job(2, (48, 64), task="build"))
        for batch, size in ((1, (32, 96)), (8, (96, 96)), (2, (40, 56))):
            gives_what_the_model_computes(bench.reloaded(job(batch, size)), model, batch, size)

    def test_a_size_outside_is_told_the_ranges(self, newest: Bench) -> None:
        free_sizes.write_model(newest.folder / "model.onnx")
        newest.build(job(2, (48, 64), task="build"))
        error = refusal(lambda: newest.reloaded(job(2, (32, 128))))
        assert error.info.code == "shape_outside_profile"
        assert "images 2x3x32x128 lies outside every optimization profile" in error.info.message
        assert "1x3x32x32 to 8x3x96x96" in error.info.message

    def test_the_profile_tuned_for_the_nearest_size_is_taken(self, newest: Bench) -> None:
        small = {"batch": DimRange(1, 2, 8), "height": DimRange(32, 32, 96), "width": DimRange(32, 32, 96)}
        free_sizes.write_model(newest.folder / "model.onnx")
        request = EngineRequest(profiles=({**small, "height": DimRange(32, 96, 96)}, small))
        newest.build(job(2, (32, 32), task="build", engine=request))
        chosen = [
            newest.reloaded(job(2, size, engine=request)).switches()["optimization_profile"]
            for size in ((96, 32), (40, 32))
        ]
        assert chosen == [0, 1]

    def test_without_profiles_the_engine_is_of_the_job_s_size_alone(self, newest: Bench) -> None:
        model = free_sizes.write_model(newest.folder / "model.onnx")
        bare = job(2, (48, 64), engine=EngineRequest())
        gives_what_the_model_computes(newest.loaded(bare), model, 2, (48, 64))
        assert refusal(lambda: newest.reloaded(job(2, (48, 65), engine=EngineRequest()))).info.code == (
            "shape_outside_profile"
        )

    def test_trtexec_s_line_has_every_dimension(self) -> None:
        spec = job(4, (32, 96))
        line = equivalent(spec, "10.3.0", "strong", build_options(spec), run_options(spec), 0)
        assert "--minShapes=images:1x3x32x32 --optShapes=images:2x3x48x64 --maxShapes=images:8x3x96x96" in line
        assert "--shapes=images:4x3x32x96" in line


class TestOnnxRuntime:
    @pytest.mark.parametrize(("batch", "size"), [(1, (32, 32)), (3, (33, 95))])
    def test_computes_every_size(self, tmp_path: Path, batch: int, size: tuple[int, int]) -> None:
        model = free_sizes.write_model(tmp_path / "model.onnx")
        backend = OnnxRuntime()
        backend.start()
        backend.load(model, job(batch, size, backend="onnxruntime", options={"provider": "cpu"}))
        gives_what_the_model_computes(backend, model, batch, size)
        backend.close()

    def test_an_output_whose_size_depends_on_the_data_is_refused(self, tmp_path: Path) -> None:
        from onnx import TensorProto, helper, save

        graph = helper.make_graph(
            [helper.make_node("NonZero", ["images"], ["where"])],
            "nonzero",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 8])],
            [helper.make_tensor_value_info("where", TensorProto.INT64, [2, "count"])],
        )
        path = tmp_path / "model.onnx"
        save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
        spec = job_spec(
            inputs=(TensorSpec("images", "float32", (2, 8)),),
            outputs=(TensorSpec("where", "int64", (2, "count")),),
            batch=2,
            free_dims={"batch": 2},
            options={"provider": "cpu"},
        )
        backend = OnnxRuntime()
        backend.start()
        error = refusal(lambda: backend.load(path, spec))
        assert error.info.message == "the size of 'where' depends on the data (2xcount), which is not supported"


def test_a_tool_that_tells_plain_values_gets_the_shapes_of_the_reference() -> None:
    answers: dict[str, Any] = {"logits": np.zeros((8, 10)), "features": np.zeros((8, 4, 16, 48))}
    settled = inputs.Golden(images(8, (32, 96)), answers).settled(job(2, (32, 96)))
    assert [tensor.shape for tensor in settled.outputs] == [(2, 10), (2, 4, 16, 48)]


def test_a_job_without_the_size_of_an_input_is_none() -> None:
    with pytest.raises(SchemaViolation, match="a job has inputs of one size"):
        replace(job(2, (32, 32)), inputs=free_sizes.INPUTS)
