"""Engines built by the real TensorRT-RTX, which needs no GPU for that: what the builder makes and what it refuses.

No engine is run here: that wants a GPU. TensorRT itself builds by the same code; what differs between its versions is
played by a scripted TensorRT in the tests beside this one.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from trt_models import a_job, network

from device_agents import backends
from device_agents.backends.base import Built
from device_agents.contract import DimRange, Precision
from device_agents.errors import DeviceError
from device_agents.trt import config, memory, onnx_file
from device_agents.trt.backend import TensorRTBackend

trt = pytest.importorskip("tensorrt_rtx", reason="the real builder: pip install tensorrt-rtx-cu13")
pytest.importorskip("onnx", reason="making a small model needs onnx")

TARGETS = ("sm80", "sm86", "sm89", "sm120")


@pytest.fixture
def backend() -> Iterator[TensorRTBackend]:
    made = backends.create("tensorrt-rtx")
    assert isinstance(made, TensorRTBackend)
    made.start()
    yield made
    made.close()


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """These builds are for a GPU that is elsewhere, whatever this machine has."""
    monkeypatch.setenv("EDGEBENCH_CUDART", str(tmp_path / "none"))


pytestmark = pytest.mark.usefixtures("no_gpu")


class Bench:
    def __init__(self, backend: TensorRTBackend, folder: Path) -> None:
        self.backend = backend
        self.out = folder / "out" / "model.engine"
        self.caches = folder / "caches"
        self.told: list[str] = []
        self.out.parent.mkdir()
        self.caches.mkdir()

    def build(self, model: Path, **changes: Any) -> Built:
        spec = a_job(model, backend="tensorrt-rtx", **changes)
        return self.backend.build(model, self.out, spec, self.caches, self.told.append)

    def refusal(self, model: Path, **changes: Any) -> DeviceError:
        with pytest.raises(DeviceError) as caught:
            self.build(model, **changes)
        assert list(self.out.parent.iterdir()) == [], "something is left of a build that failed"
        assert caught.value.info.stage == "build"
        return caught.value


@pytest.fixture
def bench(backend: TensorRTBackend, tmp_path: Path) -> Bench:
    return Bench(backend, tmp_path)


class TestBuilds:
    @pytest.mark.parametrize("precision", list(Precision))
    def test_each_precision_in_the_graphs_own_types(self, bench: Bench, tmp_path: Path, precision: Precision) -> None:
        model = network(tmp_path / "model.onnx", precision)
        built = bench.build(model, precision=precision)
        assert bench.out.stat().st_size > 10_000
        assert [path.name for path in bench.out.parent.iterdir()] == ["model.engine"]
        assert set(built.seconds) == {"parse", "optimize", "write"}
        assert built.layers == ()
        assert built.device_memory_bytes is None
        assert built.warnings == ()

    @pytest.mark.parametrize("target", TARGETS)
    def test_each_target_gets_an_engine_of_its_own(self, bench: Bench, tmp_path: Path, target: str) -> None:
        model = network(tmp_path / "model.onnx", Precision.FP16)
        bench.build(model, precision=Precision.FP16, options={"target": target})
        for_all = bench.out.read_bytes()
        bench.build(model, precision=Precision.FP16)
        assert bench.out.read_bytes() != for_all

    def test_a_graph_whose_batch_is_fixed_needs_no_profile(self, bench: Bench, tmp_path: Path) -> None:
        bench.build(network(tmp_path / "model.onnx", batch=2), batch=2, free=False)
        assert bench.out.exists()

    def test_several_profiles_reach_the_engine(self, bench: Bench, tmp_path: Path) -> None:
        model = network(tmp_path / "model.onnx")
        bench.build(model, batch=4)
        fixed = bench.out.stat().st_size
        bench.build(model, batch=4, profiles=({"batch": DimRange(1, 4, 8)}, {"batch": DimRange(9, 16, 32)}))
        assert bench.out.stat().st_size > fixed, "kernels of two profiles are more than those of one"

    def test_progress_is_told(self, bench: Bench, tmp_path: Path) -> None:
        bench.build(network(tmp_path / "model.onnx"))
        assert bench.told[0] == "reading the model"
        assert any(word.startswith("Building engine ") for word in bench.told), bench.told

    def test_options_reach_the_builder(self, bench: Bench, tmp_path: Path) -> None:
        model = network(tmp_path / "model.onnx")
        bench.build(model, options={"workspace_mib": 512, "optimization_level": 0, "tactic_shared_kib": 64})


class TestNetwork:
    """What the builder tells TensorRT, asked of the real objects."""

    def test_the_precision_is_the_graphs(self) -> None:
        assert config.network_flags(trt, "strong") == 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)

    def test_tf32_is_off_and_layers_are_told_in_detail(self, tmp_path: Path) -> None:
        from device_agents.trt.options import build_options

        logger = trt.Logger(trt.Logger.ERROR)
        builder = trt.Builder(logger)
        settings = builder.create_builder_config()
        assert settings.get_flag(trt.BuilderFlag.TF32), "TensorRT's own default"
        model = network(tmp_path / "model.onnx")
        spec = a_job(model, options={"workspace_mib": 3, "optimization_level": 1, "target": "sm86"})
        config.configure(trt, builder, settings, builder.create_network(0), spec, build_options(spec))
        assert not settings.get_flag(trt.BuilderFlag.TF32)
        assert settings.profiling_verbosity == trt.ProfilingVerbosity.DETAILED
        assert settings.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE) == 3 << 20
        assert settings.builder_optimization_level == 1
        assert settings.get_compute_capability(0) == trt.ComputeCapability.SM86

    def test_its_timing_cache_does_nothing_so_it_gets_none(self, bench: Bench, tmp_path: Path) -> None:
        builder_config = trt.Builder(trt.Logger(trt.Logger.ERROR)).create_builder_config()
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            builder_config.set_timing_cache(builder_config.create_timing_cache(b""), True)
        assert "no-ops" in str(said[0].message)
        bench.build(network(tmp_path / "model.onnx"))
        assert list(bench.caches.iterdir()) == []
        assert "timing_cache" not in bench.backend.build_options


class TestRefusals:
    def test_operators_that_are_missing_are_named_with_their_nodes(self, bench: Bench, tmp_path: Path) -> None:
        model = network(tmp_path / "model.onnx", batch=2, extra=("Det", "Bernoulli"))
        error = bench.refusal(model, batch=2, free=False)
        assert error.info.code == "unsupported_operator"
        assert "node 5 '/extra/Det_0': the operator Det is not supported" in error.info.message
        assert "node 6 '/extra/Bernoulli_1': the operator Bernoulli is not supported" in error.info.message
        assert error.info.where == "model.onnx"
        assert "onnxruntime" in error.info.fix

    def test_a_node_that_makes_no_sense_is_named(self, bench: Bench, tmp_path: Path) -> None:
        import onnx

        model = network(tmp_path / "model.onnx")
        broken = onnx.load(model)
        broken.graph.initializer[1].dims[:] = [8, 20]  # MatMul of 16 channels
        model.write_bytes(broken.SerializeToString())
        error = bench.refusal(model)
        assert error.info.code == "parse_failed"
        assert "node 4 '/head/MatMul': MatMul: /head/MatMul: last dimension of input0 = 16" in error.info.message

    def test_what_is_no_onnx(self, bench: Bench, tmp_path: Path) -> None:
        model = tmp_path / "model.onnx"
        model.write_bytes(b"no graph in here" * 8)
        error = bench.refusal(model)
        assert error.info.code == "parse_failed"
        assert "check that the file is ONNX" in error.info.fix

    @pytest.mark.parametrize(("target", "silicon"), [("sm87", "Jetson Orin"), ("sm90", "H100")])
    def test_a_target_it_cannot_build_for(self, bench: Bench, tmp_path: Path, target: str, silicon: str) -> None:
        error = bench.refusal(network(tmp_path / "model.onnx"), options={"target": target})
        assert error.info.code == "unsupported"
        assert f"{target} ({silicon})" in error.info.message
        assert "sm80, sm86, sm89, sm120" in error.info.message
        assert "on the device itself" in error.info.fix

    @pytest.mark.parametrize("target", ["current", "none", "80", "a100"])
    def test_a_target_that_is_none(self, bench: Bench, tmp_path: Path, target: str) -> None:
        error = bench.refusal(network(tmp_path / "model.onnx"), options={"target": target})
        assert error.info.fix == "name one of those"

    def test_the_gpu_that_is_here_is_none_it_knows(self) -> None:
        from device_agents.trt.options import BuildOptions

        with pytest.raises(DeviceError, match="no engine for sm90"):
            config.refuse_gpu(trt, (9, 0), BuildOptions())
        config.refuse_gpu(trt, (8, 0), BuildOptions())
        config.refuse_gpu(trt, (9, 0), BuildOptions(target="sm80"))

    def test_a_job_outside_every_profile_is_refused_before_the_build(self, bench: Bench, tmp_path: Path) -> None:
        profiles = ({"batch": DimRange(1, 4, 8)}, {"batch": DimRange(16, 16, 32)})
        error = bench.refusal(network(tmp_path / "model.onnx"), batch=12, profiles=profiles, task="measure")
        assert error.info.code == "shape_outside_profile"
        assert "image 12x3x8x8" in error.info.message
        assert "0: image 1x3x8x8 to 8x3x8x8; 1: image 16x3x8x8 to 32x3x8x8" in error.info.message

    def test_a_profile_of_a_dimension_that_is_not_there(self, bench: Bench, tmp_path: Path) -> None:
        error = bench.refusal(network(tmp_path / "model.onnx"), profiles=({"height": DimRange(1, 4, 8)},))
        assert "bounds height" in error.info.message
        assert error.info.fix == "its free dimensions are batch"

    @pytest.mark.parametrize(
        ("option", "value"),
        [("optimization_level", 6), ("workspace_mib", -1), ("workspace_mib", True), ("tactic_shared_kib", "much")],
    )
    def test_values_that_cannot_be_meant(self, bench: Bench, tmp_path: Path, option: str, value: Any) -> None:
        error = bench.refusal(network(tmp_path / "model.onnx"), options={option: value})
        assert f"the option {option} cannot be {value!r}" in error.info.message
        assert "a whole number from" in error.info.fix

    def test_the_kernels_want_more_scratch_memory_than_they_may_have(self, bench: Bench, tmp_path: Path) -> None:
        error = bench.refusal(
            network(tmp_path / "model.onnx", batch=2), batch=2, free=False, options={"workspace_mib": 1}
        )
        assert error.info.code == "build_failed"
        assert "workspace" in error.info.message
        assert error.info.fix == "allow a larger workspace_mib, or leave it out"

    def test_an_engine_without_a_gpu_does_not_load(self, bench: Bench, tmp_path: Path) -> None:
        model = network(tmp_path / "model.onnx")
        bench.build(model)
        with pytest.raises(DeviceError) as caught:
            bench.backend.load(bench.out, a_job(model, backend="tensorrt-rtx"))
        assert caught.value.info.code == "no_cudart"


def test_a_build_that_memory_does_not_allow_says_the_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(tmp_path / "model.onnx")
    monkeypatch.setattr(memory, "available_host_bytes", lambda: 500 << 20)
    with pytest.raises(DeviceError) as caught:
        memory.refuse_too_little(model, None, None)
    assert caught.value.info.code == "out_of_memory"
    assert "about 400 MiB of host memory and a reserve of 256 MiB, 500 MiB is free" in caught.value.info.message
    monkeypatch.setattr(memory, "available_host_bytes", lambda: 700 << 20)
    memory.refuse_too_little(model, None, None)


def test_what_the_engine_is_made_of_names_every_option(backend: TensorRTBackend, tmp_path: Path) -> None:
    model = network(tmp_path / "model.onnx")
    made = backend.made_of(a_job(model, options={"target": "SM86"}))
    assert made["runtime"] == "tensorrt-rtx"
    assert made["runtime_version"] == trt.__version__
    assert str(made["runtime_version"]).count(".") == 3
    assert made["target"] == "sm86"
    assert made["typing"] == "strong"
    assert set(backend.build_options) <= set(made)
    assert backend.made_of(a_job(model))["target"] == "any"
    assert backend.made_of(a_job(model))["workspace_mib"] == "default"


def test_facts_of_a_machine_without_a_gpu(backend: TensorRTBackend) -> None:
    facts = backend.facts()
    assert facts["cudart"].unknown is not None
    assert "dla_cores" not in facts


def test_nodes_are_read_from_the_file(tmp_path: Path) -> None:
    import onnx

    model = network(tmp_path / "model.onnx", Precision.INT8)
    found = onnx_file.read(model.read_bytes())
    wanted = onnx.load(model)
    assert [tuple(node) for node in found.nodes] == [(node.name, node.op_type) for node in wanted.graph.node]
    assert found.opset == 17
    for cut in (0, 1, 7, len(model.read_bytes()) // 2):
        assert onnx_file.read(model.read_bytes()[:cut]).nodes == ()
    assert onnx_file.read(b"\xff" * 64) == onnx_file.Graph((), None)
