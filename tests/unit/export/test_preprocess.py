"""Normalisation in the graph: the same answers, of whole pixels."""

import numpy as np
import pytest

from device_agents.contract import Precision
from export import graph
from export.data import golden, preprocess
from export.judging.parity import run
from profiles.errors import ExportError
from profiles.schema import ImageInput
from tests.unit.export import small_graphs as small

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

node = small.node
CAFFE = ImageInput(shape=(3, 12, 16), mean=(0.41, 0.46, 0.48), std=(1 / 255,) * 3, order="BGR")


def network(kind: int = small.FLOAT, sides: tuple[int | str, int | str] = (12, 16)):
    """images (N, 3, H, W) -> 3x3 convolution to y (N, 4, H, W)."""
    weights = small.random(4, 3, 3, 3).astype(np.float16 if kind == small.FLOAT16 else np.float32)
    return small.graph(
        [node("Conv", ["images", "w"], ["y"], pads=[1, 1, 1, 1])],
        {"images": ["batch", 3, *sides]},
        {"y": ["batch", 4, *sides]},
        {"w": weights},
        kind=kind,
    )


@pytest.mark.parametrize("spec", [ImageInput(shape=(3, 12, 16)), CAFFE], ids=["RGB", "BGR"])
@pytest.mark.parametrize("sides", [(12, 16), ("height", "width")], ids=["fixed", "free"])
@pytest.mark.parametrize(("kind", "precision"), [(small.FLOAT, Precision.FP32), (small.FLOAT16, Precision.FP16)])
def test_the_graph_answers_to_pixels_as_it_did_to_what_they_normalise_to(
    spec: ImageInput, sides: tuple[int | str, int | str], kind: int, precision: Precision
) -> None:
    values = golden.images(spec, pixels=True)
    before = run(network(kind).SerializeToString(), {"images": values}, precision)["y"]
    model = preprocess.in_graph(network(kind, sides), [spec])
    small.onnx.checker.check_model(model, full_check=True)
    (taken,) = graph.specs(model.graph.input)
    assert (taken.name, taken.dtype, taken.shape) == ("images", "uint8", ("batch", *sides, 3))
    after = run(model.SerializeToString(), {"images": preprocess.to_pixels(values, spec)}, precision)["y"]
    assert (
        np.allclose(after, before, rtol=1e-2, atol=2e-3 * np.abs(before).max())
        if kind == small.FLOAT16
        else (np.allclose(after, before, atol=1e-4 * np.abs(before).max()))
    )


def test_tensorrt_takes_uint8_only_where_a_cast_follows() -> None:
    """... and the first nodes are named, so that they are known again."""
    model = preprocess.in_graph(network(), [ImageInput(shape=(3, 12, 16))])
    assert small.kinds(model) == ["Cast", "Transpose", "Mul", "Add", "Conv"]
    assert preprocess.tensors(model) == {name for node in list(model.graph.node)[:4] for name in node.output}
    assert not preprocess.tensors(network())


def test_what_does_nothing_is_left_out() -> None:
    """A Keras model with its Rescaling layer wants pixels from 0 to 255."""
    spec = ImageInput(shape=(3, 12, 16), mean=(0.0,) * 3, std=(1 / 255,) * 3)
    assert small.kinds(preprocess.in_graph(network(), [spec])) == ["Cast", "Transpose", "Conv"]


def test_an_order_that_is_wrong_is_another_answer() -> None:
    values = golden.images(CAFFE, pixels=True)
    model = preprocess.in_graph(network(), [CAFFE]).SerializeToString()
    pixels = preprocess.to_pixels(values, CAFFE)
    right, wrong = (run(model, {"images": one}, Precision.FP32)["y"] for one in (pixels, pixels[..., ::-1]))
    assert np.linalg.norm(right - wrong) > 0.1 * np.linalg.norm(right)


def test_pixels_are_those_that_normalise_to_the_values() -> None:
    for spec in (ImageInput(shape=(3, 12, 16)), CAFFE):
        values = golden.images(spec, pixels=True)
        pixels = preprocess.to_pixels(values, spec)
        assert (pixels.dtype, pixels.shape) == (np.uint8, (8, 12, 16, 3))
        planes = (pixels[..., ::-1] if spec.order == "BGR" else pixels) / 255.0
        assert np.allclose(((planes - spec.mean) / spec.std).transpose(0, 3, 1, 2), values, atol=1e-4)
    assert preprocess.to_pixels(np.full((1, 3, 2, 2), 99.0), ImageInput(shape=(3, 2, 2))).max() == 255


def test_frames_of_a_video_are_pixels_too() -> None:
    spec = ImageInput(name="clip", shape=(3, 4, 8, 8))
    nodes = [node("ReduceMean", ["clip", "axes"], ["y"], keepdims=0)]
    shape = ["batch", 3, 4, 8, 8]
    model = small.graph(nodes, {"clip": shape}, {"y": ["batch", 3]}, {"axes": np.int64([2, 3, 4])})
    values = golden.images(spec, pixels=True)
    before = run(model.SerializeToString(), {"clip": values}, Precision.FP32)["y"]
    preprocess.in_graph(model, [spec])
    assert graph.specs(model.graph.input)[0].shape == ("batch", 4, 8, 8, 3)
    after = run(model.SerializeToString(), {"clip": preprocess.to_pixels(values, spec)}, Precision.FP32)["y"]
    assert np.allclose(after, before, atol=1e-5)


def test_inputs_that_are_no_images_are_refused() -> None:
    with pytest.raises(ExportError, match=r"no image input 'left'; it has \['images'\]"):
        preprocess.in_graph(network(), [ImageInput(name="left")])
    with pytest.raises(ExportError, match="expected float32 or float16 of 5 dimensions, found float32 of 4"):
        preprocess.in_graph(network(), [ImageInput(shape=(3, 4, 8, 8))])
    with pytest.raises(ExportError, match="nothing says how the model wants its images"):
        preprocess.in_graph(network(), [])


@pytest.mark.parametrize("kind", [small.FLOAT, small.FLOAT16], ids=["fp32", "fp16"])
@pytest.mark.parametrize("sides", [(12, 16), ("height", "width")], ids=["fixed", "free"])
def test_tensorrt_builds_an_engine_of_it(kind: int, sides: tuple[int | str, int | str]) -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason="the real builder: pip install tensorrt-rtx-cu13")
    model = preprocess.in_graph(network(kind, sides), [CAFFE])
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    made = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(made, logger)
    assert parser.parse(model.SerializeToString()), [str(parser.get_error(i)) for i in range(parser.num_errors)]
    assert made.get_input(0).dtype == trt.uint8
    config, profile = builder.create_builder_config(), builder.create_optimization_profile()
    profile.set_shape("images", *[(size, 12, 16, 3) for size in (1, 2, 4)])
    config.add_optimization_profile(profile)
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM80, 0)
    assert builder.build_serialized_network(made, config) is not None
