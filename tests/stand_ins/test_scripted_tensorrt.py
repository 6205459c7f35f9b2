"""The scripted TensorRT itself: the names of each release, the order of calls, and every refusal it was made for."""

from __future__ import annotations

import ctypes
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.stand_ins.cudart import StandIn
from tests.stand_ins.tensorrt_fixture import ScriptedTensorRT

onnx = pytest.importorskip("onnx", reason="its models are made with onnx: install edgebench[pytorch]")
pytest.importorskip("onnxruntime", reason="it computes with onnxruntime: install edgebench[local]")

SHAPES = ("8.5", "8.6", "10.3", "10.16", "11.4")
WEIGHTS = np.random.default_rng(5).standard_normal((48, 5)).astype(np.float32)


def a_model(
    dtype: str = "float32", batch: object = "batch", opset: int = 17, extra: tuple[str, ...] = (), qdq: bool = False
) -> bytes:
    """image[batch,3,4,4] -> Flatten -> MatMul -> Relu -> scores[batch,5]; `extra` operators follow."""
    from onnx import TensorProto, helper, numpy_helper

    kind = TensorProto.FLOAT if dtype == "float32" else TensorProto.FLOAT16
    nodes = [helper.make_node("Flatten", ["image"], ["flat"], "flatten")]
    constants = [numpy_helper.from_array(WEIGHTS.astype(dtype), "weights")]
    data = "flat"
    if qdq:
        constants += [numpy_helper.from_array(np.float32(0.02), "scale"), numpy_helper.from_array(np.int8(0), "zero")]
        nodes.append(helper.make_node("QuantizeLinear", ["flat", "scale", "zero"], ["q"], "quantize"))
        nodes.append(helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["dq"], "dequantize"))
        data = "dq"
    nodes.append(helper.make_node("MatMul", [data, "weights"], ["product"], "product"))
    nodes.append(helper.make_node("Relu", ["product"], ["scores"], "relu"))
    nodes += [helper.make_node(op, ["scores"], [f"extra{n}"], f"extra_{n}") for n, op in enumerate(extra)]
    image = helper.make_tensor_value_info("image", kind, [batch, 3, 4, 4])
    scores = helper.make_tensor_value_info("scores", kind, [batch, 5])
    graph = helper.make_graph(nodes, "small", [image], [scores], constants)
    imports = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString()  # type: ignore[no-any-return]


class Bench:
    """One release at work, and what it logged."""

    def __init__(self, trt: ModuleType, cuda: StandIn) -> None:
        self.trt: Any = trt
        self.cuda = cuda
        self.said: list[str] = []
        said = self.said

        class Log(trt.ILogger):  # type: ignore[name-defined,misc]
            def log(self, severity: Any, msg: str) -> None:
                said.append(msg)

        self.logger = Log()
        self.builder = self.trt.Builder(self.logger)

    @property
    def flags(self) -> int:
        """Strongly typed where there is such a thing, explicit batch where it is needed."""
        known = self.trt.NetworkDefinitionCreationFlag
        name = "STRONGLY_TYPED" if hasattr(known, "STRONGLY_TYPED") else "EXPLICIT_BATCH"
        return 1 << int(getattr(known, name))

    def parsed(self, model: bytes, flags: int | None = None) -> tuple[Any, Any, bool]:
        network = self.builder.create_network(self.flags if flags is None else flags)
        parser = self.trt.OnnxParser(network, self.logger)
        return network, parser, parser.parse(model)

    def config(self, *flags: str, profile: tuple[int, int, int] | None = (1, 4, 8), profiles: int = 1) -> Any:
        config = self.builder.create_builder_config()
        config.profiling_verbosity = self.trt.ProfilingVerbosity.DETAILED
        for flag in flags:
            config.set_flag(getattr(self.trt.BuilderFlag, flag))
        for _ in range(profiles if profile else 0):
            optimization = self.builder.create_optimization_profile()
            optimization.set_shape("image", *((batch, 3, 4, 4) for batch in profile or ()))
            config.add_optimization_profile(optimization)
        return config

    def built(self, model: bytes, config: Any = None) -> Any:
        network, _, fine = self.parsed(model)
        assert fine, self.said
        return self.builder.build_serialized_network(network, config or self.config())

    def engine(self, plan: Any = None) -> Any:
        return self.trt.Runtime(self.logger).deserialize_cuda_engine(plan or self.built(a_model()))

    def stream(self) -> int:
        handle = ctypes.c_void_p()
        assert self.cuda.library.cudaStreamCreateWithFlags(ctypes.byref(handle), 1) == 0
        return int(handle.value or 0)

    def memory(self, size: int) -> int:
        pointer = ctypes.c_void_p()
        assert self.cuda.library.cudaMalloc(ctypes.byref(pointer), ctypes.c_size_t(size)) == 0
        return int(pointer.value or 0)

    def context(self, engine: Any = None, batch: int = 2, dtype: str = "float32") -> tuple[Any, int, int]:
        """Ready to be enqueued, with the addresses of image and scores."""
        context = (engine or self.engine()).create_execution_context()
        assert context.set_input_shape("image", (batch, 3, 4, 4))
        size = np.dtype(dtype).itemsize
        image, scores = self.memory(batch * 48 * size), self.memory(batch * 5 * size)
        assert context.set_tensor_address("image", image)
        assert context.set_tensor_address("scores", scores)
        return context, image, scores

    def says(self, text: str) -> bool:
        return any(text in line for line in self.said)


@pytest.fixture
def release(scripted_tensorrt: ScriptedTensorRT) -> Callable[[str], Bench]:
    return lambda shape: Bench(scripted_tensorrt.module(shape), scripted_tensorrt.stand_in)


@pytest.fixture(params=SHAPES)
def bench(request: pytest.FixtureRequest, release: Callable[[str], Bench]) -> Bench:
    return release(request.param)


def array(address: int, shape: tuple[int, ...], dtype: str = "float32") -> Any:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_char * size).from_address(address), dtype).reshape(shape)


def expected(images: Any) -> Any:
    return np.maximum(images.reshape(len(images), -1) @ WEIGHTS, 0)


# What works


def test_it_computes_what_the_graph_says_at_every_batch_of_the_profile(bench: Bench):
    engine, stream = bench.engine(), bench.stream()
    for batch in (1, 3, 8):
        context, image, scores = bench.context(engine if batch == 1 else bench.engine(), batch)
        images = np.random.default_rng(batch).random((batch, 3, 4, 4), dtype=np.float32)
        array(image, images.shape)[...] = images
        assert tuple(context.get_tensor_shape("scores")) == (batch, 5)
        assert context.execute_async_v3(stream)
        np.testing.assert_allclose(array(scores, (batch, 5)), expected(images), rtol=1e-5)


def test_an_fp16_graph_is_an_fp16_engine(bench: Bench):
    flags = () if hasattr(bench.trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED") else ("FP16",)
    engine = bench.engine(bench.built(a_model("float16"), bench.config(*flags)))
    assert engine.get_tensor_dtype("image") == bench.trt.DataType.HALF
    assert bench.trt.nptype(engine.get_tensor_dtype("scores")) is np.float16
    context, image, scores = bench.context(engine, 2, "float16")
    images = np.random.default_rng(1).random((2, 3, 4, 4), dtype=np.float32)
    array(image, images.shape, "float16")[...] = images
    assert context.execute_async_v3(bench.stream())
    np.testing.assert_allclose(array(scores, (2, 5), "float16"), expected(images), rtol=2e-2, atol=2e-2)
    assert {layer["TacticName"].split("_")[1] for layer in layers(bench, engine)} == {"fp16"}


def test_a_captured_graph_computes_again_at_every_launch(bench: Bench):
    context, image, scores = bench.context()
    stream, cuda = bench.stream(), bench.cuda.library
    graph, executable = ctypes.c_void_p(), ctypes.c_void_p()
    assert context.execute_async_v3(stream)
    assert cuda.cudaStreamBeginCapture(ctypes.c_void_p(stream), 1) == 0
    assert context.execute_async_v3(stream)
    assert cuda.cudaStreamEndCapture(ctypes.c_void_p(stream), ctypes.byref(graph)) == 0
    assert cuda.cudaGraphInstantiateWithFlags(ctypes.byref(executable), graph, ctypes.c_ulonglong(0)) == 0
    for seed in (1, 2):
        images = np.random.default_rng(seed).random((2, 3, 4, 4), dtype=np.float32)
        array(image, images.shape)[...] = images
        assert cuda.cudaGraphLaunch(executable, ctypes.c_void_p(stream)) == 0
        np.testing.assert_allclose(array(scores, (2, 5)), expected(images), rtol=1e-5)


def test_the_network_tells_its_layers_and_their_types(bench: Bench):
    network, _, _ = bench.parsed(a_model(qdq=True))
    told = [network.get_layer(index) for index in range(network.num_layers)]
    assert [layer.name for layer in told] == ["flatten", "quantize", "dequantize", "product", "relu"]
    assert [layer.type == bench.trt.LayerType.QUANTIZE for layer in told] == [False, True, False, False, False]
    assert told[3].get_output(0).dtype == bench.trt.DataType.FLOAT
    assert told[1].get_output(0).dtype == bench.trt.DataType.INT8
    network, _, _ = bench.parsed(a_model("float16"))
    assert network.get_layer(1).get_output(0).dtype == bench.trt.DataType.HALF


def layers(bench: Bench, engine: Any) -> Any:
    inspector = engine.create_engine_inspector()
    return json.loads(inspector.get_engine_information(bench.trt.LayerInformationFormat.JSON))["Layers"]


def test_the_inspector_speaks_as_the_version_does(bench: Bench):
    engine = bench.engine()
    told = json.loads(engine.create_engine_inspector().get_engine_information(bench.trt.LayerInformationFormat.JSON))
    product = told["Layers"][-1]
    assert product["Name"] == "product + relu"
    new = bench.trt.__version__.startswith("11")
    assert ("I/O Tensors" in told, "Bindings" in told) == (new, not new)
    assert ("Format/Datatype" in product["Outputs"][0], "DataType" in product["Outputs"][0]) == (not new, new)
    assert ("Metadata" in product) == (bench.trt.__version__[:3] != "8.5")
    config = bench.config()
    config.profiling_verbosity = bench.trt.ProfilingVerbosity.LAYER_NAMES_ONLY
    assert layers(bench, bench.engine(bench.built(a_model(), config))) == ["flatten", "product + relu"]


def test_a_profiler_hears_of_every_layer(bench: Bench):
    heard = []

    class Profiler(bench.trt.IProfiler):  # type: ignore[name-defined,misc]
        def report_layer_time(self, layer_name: str, ms: float) -> None:
            heard.append((layer_name, ms))

    context, _, _ = bench.context()
    context.profiler = Profiler()
    assert context.execute_async_v3(bench.stream())
    assert [name for name, _ in heard] == ["flatten", "product + relu"]
    context.enqueue_emits_profile = False
    assert context.execute_async_v3(context._stream)
    assert len(heard) == 2
    assert context.report_to_profiler()
    assert len(heard) == 4


def test_the_same_timing_cache_gives_the_same_engine(bench: Bench):
    assert bytes(bench.built(a_model())) != bytes(bench.built(a_model()))
    config = bench.config()
    assert config.set_timing_cache(config.create_timing_cache(b""), False)
    first = bytes(bench.built(a_model(), config))
    kept = bytes(config.get_timing_cache().serialize())
    again = bench.config()
    assert again.set_timing_cache(again.create_timing_cache(kept), False)
    assert bytes(bench.built(a_model(), again)) == first


def test_weights_in_another_file_are_read_beside_the_model(bench: Bench, tmp_path: Path):
    model = onnx.load_from_string(a_model())
    where = tmp_path / "big.onnx"
    onnx.save(model, where, save_as_external_data=True, location="big.data", size_threshold=0)
    data = where.read_bytes()
    network, parser, fine = bench.parsed(data)
    assert not fine
    assert "Failed to open file" in parser.get_error(0).desc()
    parser = bench.trt.OnnxParser(network, bench.logger)
    assert parser.parse(data, str(where))
    engine = bench.engine(bench.builder.build_serialized_network(network, bench.config()))
    (tmp_path / "big.data").unlink()
    context, _, _ = bench.context(engine)
    assert context.execute_async_v3(bench.stream())


def test_a_plan_is_a_buffer_without_a_length(bench: Bench):
    plan = bench.built(a_model())
    file = io.BytesIO()
    file.write(plan)
    assert file.getvalue() == bytes(plan) == bytes(memoryview(plan))
    assert plan.nbytes == len(file.getvalue())
    with pytest.raises(TypeError):
        len(plan)


# What the parser refuses


@pytest.mark.parametrize("shape", ["8.5", "8.6"])
def test_without_explicit_batch_there_is_no_parsing_before_10(shape: str, release: Callable[[str], Bench]):
    bench = release(shape)
    _, parser, fine = bench.parsed(a_model(), 0)
    assert not fine
    assert "explicit batch" in parser.get_error(0).desc()


def test_in_11_the_old_flags_are_gone(release: Callable[[str], Bench]):
    trt = release("11.4").trt
    for owner, name in [
        (trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH"),
        (trt.BuilderFlag, "FP16"),
        (trt.Builder, "platform_has_fast_fp16"),
        (trt.ICudaEngine, "device_memory_size"),
        (trt.OnnxParser, "supports_model"),
    ]:
        with pytest.raises(AttributeError):
            getattr(owner, name)


@pytest.mark.parametrize(("shape", "ceiling"), [("8.5", 17), ("8.6", 17), ("10.3", 20), ("10.16", 20)])
def test_an_opset_above_the_ceiling(shape: str, ceiling: int, release: Callable[[str], Bench]):
    bench = release(shape)
    assert bench.parsed(a_model(opset=ceiling))[2]
    _, parser, fine = bench.parsed(a_model(opset=ceiling + 1))
    assert not fine
    assert f"above {ceiling}" in parser.get_error(0).desc()
    assert parser.get_error(0).code() == bench.trt.ErrorCode.UNSUPPORTED_GRAPH


def test_operators_that_it_lacks(bench: Bench, scripted_tensorrt: ScriptedTensorRT):
    """Before 10 the first one, later all of them, with names."""
    scripted_tensorrt.set(unsupported="Erf,Cosh")
    model = a_model(extra=("Erf", "Tanh", "Cosh"))
    _, parser, fine = bench.parsed(model)
    assert not fine
    found = [parser.get_error(index) for index in range(parser.num_errors)]
    old = bench.trt.__version__ < "10" or bench.trt.__version__.startswith("8")
    assert [error.node() for error in found] == ([3] if old else [3, 5])
    assert "Erf" in found[0].desc()
    assert hasattr(found[0], "node_name") != old
    if not old:
        assert (found[0].node_name(), found[0].node_operator()) == ("extra_0", "Erf")
    assert not parser.supports_operator("Erf")


def test_supports_model_tells_which_nodes(bench: Bench, scripted_tensorrt: ScriptedTensorRT):
    scripted_tensorrt.set(unsupported="Erf")
    parser = bench.trt.OnnxParser(bench.builder.create_network(bench.flags), bench.logger)
    model = a_model(extra=("Erf", "Tanh"))
    parts = [([0, 1, 2], True), ([3], False), ([4], True)]
    if hasattr(parser, "supports_model"):
        assert parser.supports_model(model) == (False, parts)
    if hasattr(parser, "supports_model_v2"):
        assert not parser.supports_model_v2(model)
        told = [(parser.get_subgraph_nodes(n), parser.is_subgraph_supported(n)) for n in range(parser.num_subgraphs)]
        assert told == parts


def test_what_is_no_model(bench: Bench):
    for data in (b"", b"no model", a_model()[:-40]):
        _, parser, fine = bench.parsed(data)
        assert not fine
        assert parser.get_error(0).code() == bench.trt.ErrorCode.MODEL_DESERIALIZE_FAILED


# What the builder refuses


@pytest.mark.parametrize("shape", ["8.5", "8.6"])
def test_an_fp16_graph_without_the_flag_before_10(shape: str, release: Callable[[str], Bench]):
    bench = release(shape)
    assert bench.built(a_model("float16")) is None
    assert bench.says("fp16 is not configured in the builder")


@pytest.mark.parametrize("shape", ["10.3", "10.16"])
def test_the_fp16_flag_on_a_strongly_typed_network(shape: str, release: Callable[[str], Bench]):
    bench = release(shape)
    assert bench.built(a_model("float16"), bench.config("FP16")) is None
    assert bench.says("strongly typed")


@pytest.mark.parametrize("shape", ["8.5", "8.6"])
def test_quantized_graphs_without_the_int8_flag_before_10(shape: str, release: Callable[[str], Bench]):
    bench = release(shape)
    assert bench.built(a_model(qdq=True)) is None
    assert bench.says("INT8")
    engine = bench.engine(bench.built(a_model(qdq=True), bench.config("INT8")))
    assert "int8" in layers(bench, engine)[-1]["TacticName"]


def test_a_free_dimension_without_a_profile(bench: Bench):
    assert bench.built(a_model(), bench.config(profile=None)) is None
    assert bench.says("no optimization profile has been defined")
    assert bench.built(a_model(batch=3), bench.config(profile=None)) is not None
    assert bench.built(a_model(batch=3)) is None
    assert bench.says("static dimension does not match")
    empty = bench.builder.create_optimization_profile()
    assert bench.config().add_optimization_profile(empty) == -1
    with pytest.raises(ValueError, match="inconsistent"):
        empty.set_shape("image", (4, 3, 4, 4), (2, 3, 4, 4), (8, 3, 4, 4))


def test_too_little_workspace_and_too_little_memory(bench: Bench, scripted_tensorrt: ScriptedTensorRT):
    scripted_tensorrt.set(workspace=1 << 20)
    config = bench.config()
    config.set_memory_pool_limit(bench.trt.MemoryPoolType.WORKSPACE, 1 << 19)
    assert bench.built(a_model(), config) is None
    assert bench.says("insufficient workspace")
    bench.cuda.set(memory=1 << 18)
    assert bench.built(a_model(), bench.config()) is None


def test_dla(bench: Bench, scripted_tensorrt: ScriptedTensorRT):
    config = bench.config()
    config.default_device_type = bench.trt.DeviceType.DLA
    config.DLA_core = 0
    assert bench.builder.num_DLA_cores == 0
    assert bench.built(a_model(), config) is None
    scripted_tensorrt.set(dla_cores=2)
    assert bench.builder.num_DLA_cores == 2
    assert bench.built(a_model(), config) is not None
    assert bench.built(a_model(extra=("Erf",)), config) is None
    assert bench.says("GPU fallback is not enabled")
    config.set_flag(bench.trt.BuilderFlag.GPU_FALLBACK)
    assert bench.built(a_model(extra=("Erf",)), config) is not None


def test_a_monitor_hears_the_build_and_can_stop_it(bench: Bench):
    if not hasattr(bench.trt, "IProgressMonitor"):
        with pytest.raises(AttributeError):
            bench.config().progress_monitor = None
        return
    heard: list[str] = []

    class Monitor(bench.trt.IProgressMonitor):  # type: ignore[name-defined,misc]
        going = True

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            heard.append(phase_name)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return self.going

        def phase_finish(self, phase_name: str) -> None:
            pass

    config, monitor = bench.config(), Monitor()
    config.progress_monitor = monitor
    assert bench.built(a_model(), config) is not None
    assert heard == ["Building Engine", "Timing tactics"]
    monitor.going = False
    assert bench.built(a_model(), config) is None


def test_timing_caches_of_another_version_or_gpu(
    bench: Bench, release: Callable[[str], Bench], scripted_tensorrt: ScriptedTensorRT
):
    other = release("8.6" if not bench.trt.__version__.startswith("8.6") else "10.3")
    foreign = bytes(other.config().create_timing_cache(b"").serialize())
    assert bench.config().create_timing_cache(foreign) is None
    assert bench.config().create_timing_cache(b"not a cache") is None
    own = bytes(bench.config().create_timing_cache(b"").serialize())
    scripted_tensorrt.set(gpu="another one")
    config = bench.config()
    cache = config.create_timing_cache(own)
    assert not config.set_timing_cache(cache, False)
    assert config.set_timing_cache(cache, True)


def test_an_attribute_that_no_class_has(bench: Bench):
    with pytest.raises(AttributeError):
        bench.config().max_worskpace = 1
    with pytest.raises(TypeError):
        bench.config().set_flag(1)
    with pytest.raises(NotImplementedError, match="does not play"):
        bench.builder.gpu_allocator = None


def test_a_silent_fp32_engine_on_purpose(bench: Bench, scripted_tensorrt: ScriptedTensorRT):
    scripted_tensorrt.set(silent_fp32=1)
    flags = () if hasattr(bench.trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED") else ("FP16",)
    engine = bench.engine(bench.built(a_model("float16"), bench.config(*flags)))
    assert {layer["TacticName"].split("_")[1] for layer in layers(bench, engine)} == {"fp32"}


# What the runtime refuses


def test_corrupt_engines(bench: Bench):
    plan = bytes(bench.built(a_model()))
    for data in (b"", b"nonsense", plan[:-1], plan[:200] + b"?" + plan[201:]):
        assert bench.engine(data or b"\0") is None
    assert bench.says("Magic tag does not match")


def test_engines_of_another_version(bench: Bench, release: Callable[[str], Bench]):
    other = release("8.6" if not bench.trt.__version__.startswith("8.6") else "10.3")
    assert bench.engine(bytes(other.built(a_model()))) is None
    assert bench.says(f"expecting library version {bench.trt.__version__} got {other.trt.__version__}")


def test_engines_for_another_gpu(bench: Bench):
    plan = bytes(bench.built(a_model()))
    compatible = None
    if hasattr(bench.trt, "HardwareCompatibilityLevel"):
        config = bench.config()
        config.hardware_compatibility_level = bench.trt.HardwareCompatibilityLevel.AMPERE_PLUS
        compatible = bytes(bench.built(a_model(), config))
    bench.cuda.set(capability="8.0")
    assert bench.engine(plan) is None
    assert bench.says("expecting compute 8.0 got compute 8.7")
    if compatible:
        assert bench.engine(compatible) is not None


def test_version_compatible_engines_cross_within_a_major(release: Callable[[str], Bench]):
    old, new = release("10.3"), release("10.16")
    plan = bytes(old.built(a_model(), old.config("VERSION_COMPATIBLE")))
    runtime = new.trt.Runtime(new.logger)
    assert runtime.deserialize_cuda_engine(plan) is None
    runtime.engine_host_code_allowed = True
    assert runtime.deserialize_cuda_engine(plan) is not None
    assert release("11.4").engine(plan) is None


def test_without_a_gpu_nothing_starts(bench: Bench):
    bench.cuda.set(devices=0)
    with pytest.raises(TypeError, match="nullptr"):
        bench.trt.Builder(bench.logger)
    with pytest.raises(TypeError, match="nullptr"):
        bench.trt.Runtime(bench.logger)


def test_a_context_that_does_not_fit_the_device(bench: Bench):
    plan = bytes(bench.built(a_model(), bench.config(profile=(1, 1, 4096))))
    bench.cuda.set(memory=1 << 20)
    assert bench.engine(plan).create_execution_context() is None
    assert bench.says("could not be allocated")


# What a context refuses


def test_shapes_outside_the_profile(bench: Bench):
    context = bench.engine().create_execution_context()
    for shape in ((9, 3, 4, 4), (0, 3, 4, 4), (2, 3, 5, 4), (2, 3, 4)):
        assert not context.set_input_shape("image", shape)
    assert bench.says("exceed min ~ max range")
    assert not context.set_input_shape("scores", (1, 5))


def test_enqueue_before_shapes_and_addresses(bench: Bench):
    context, stream = bench.engine().create_execution_context(), bench.stream()
    assert context.infer_shapes() == ["image"]
    assert not context.execute_async_v3(stream)
    assert bench.says("not all shapes are specified")
    assert context.set_input_shape("image", (1, 3, 4, 4))
    assert context.infer_shapes() == []
    assert not context.execute_async_v3(stream)
    assert bench.says("Call setTensorAddress()")


def test_addresses_that_are_no_device_memory(bench: Bench):
    context, image, scores = bench.context()
    stream = bench.stream()
    pageable = np.zeros(4096, np.float32)
    for address in (pageable.ctypes.data // 256 * 256 + 256, bench.memory(16)):
        assert context.set_tensor_address("scores", address)
        assert not context.execute_async_v3(stream)
    assert not context.set_tensor_address("scores", scores + 4)
    assert context.set_tensor_address("scores", scores)
    assert context.execute_async_v3(stream)
    assert bench.cuda.library.cudaFree(ctypes.c_void_p(image)) == 0
    assert not context.execute_async_v3(stream)
    assert bench.says("no device memory")


def test_one_context_on_two_streams(bench: Bench):
    context, _, _ = bench.context()
    assert context.execute_async_v3(bench.stream())
    assert not context.execute_async_v3(bench.stream())
    assert bench.says("another stream")


def test_a_first_enqueue_within_a_capture(bench: Bench):
    context, _, _ = bench.context()
    stream = bench.stream()
    assert bench.cuda.library.cudaStreamBeginCapture(ctypes.c_void_p(stream), 1) == 0
    assert not context.execute_async_v3(stream)


def test_a_cuda_error_in_mid_run(bench: Bench):
    bench.cuda.set(fail_after=1)
    context, _, _ = bench.context()
    stream = bench.stream()
    assert context.execute_async_v3(stream)
    assert not context.execute_async_v3(stream)
    assert bench.says("Cuda Runtime")


def test_nvtx_marks_are_never_more_than_those_of_the_build(bench: Bench):
    detail = bench.trt.ProfilingVerbosity
    context, _, _ = bench.context()
    assert context.nvtx_verbosity == detail.DETAILED, "as it was built"
    context.nvtx_verbosity = detail.LAYER_NAMES_ONLY
    assert context.nvtx_verbosity == detail.LAYER_NAMES_ONLY
    config = bench.config()
    config.profiling_verbosity = detail.LAYER_NAMES_ONLY
    context, _, _ = bench.context(bench.engine(bench.built(a_model(), config)))
    context.nvtx_verbosity = detail.DETAILED
    assert context.nvtx_verbosity == detail.LAYER_NAMES_ONLY
    assert "higher than the profiling verbosity" in bench.said[-1]


def test_plugins_are_registered_by_parsers_before_10_alone(bench: Bench, scripted_tensorrt: ScriptedTensorRT):
    scripted_tensorrt.set(plugins="Relu")
    vars(sys.modules[f"{bench.trt.__name__}._foundation"])["plugins_are_there"] = False
    assert bench.parsed(a_model())[2] is bench.trt.__version__.startswith("8.")
    bench.trt.init_libnvinfer_plugins(bench.logger, "")
    assert bench.parsed(a_model())[2]
    assert bench.engine() is not None


def test_two_contexts_on_one_profile_before_10(bench: Bench):
    """Profile sharing is not there in 8.5, asked for in 8.6, always on from 10."""
    engine = bench.engine(bench.built(a_model(), bench.config(profiles=2)))
    first, second = engine.create_execution_context(), engine.create_execution_context()
    assert first.set_input_shape("image", (1, 3, 4, 4))
    shared = not bench.trt.__version__.startswith("8")
    assert (second.active_optimization_profile == 0) == shared
    assert second.set_input_shape("image", (1, 3, 4, 4)) == shared
    assert second.set_optimization_profile_async(0, bench.stream()) == shared
    assert second.set_optimization_profile_async(1, bench.stream())
    assert not second.set_optimization_profile_async(2, bench.stream())
    assert second.infer_shapes() == ["image"]
    assert second.set_input_shape("image", (1, 3, 4, 4))
