"""Inputs as they are declared on the command line, and the golden values that go into them."""

import numpy as np
import pytest

from device_agents.contract import DimRange, Precision, TensorSpec
from export.declared import golden_inputs, image_of, parse_inputs, samples, sized
from export.request import ExportRequest
from profiles.errors import ConfigError, ExportError

REQUEST = ExportRequest("sha256:0", "onnx", Precision.FP32, "dynamic", "sha256:0")


@pytest.mark.parametrize(
    ("text", "name", "dtype", "shape"),
    [
        ("images:float32:batch,3,224,224", "images", "float32", ("batch", 3, 224, 224)),
        ("images:float32:1x3x224x224", "images", "float32", (1, 3, 224, 224)),
        ("images:float32:Nx3x224x224", "images", "float32", ("N", 3, 224, 224)),
        ("images:float32:2x3xheightxwidth", "images", "float32", (2, 3, "height", "width")),
        ("boxes:float32:batch,box", "boxes", "float32", ("batch", "box")),
        ("images:float16:batchx3xheightxwidth", "images", "float16", ("batch", 3, "height", "width")),
        ("serving_default_x:0:int64:[batch, 7]", "serving_default_x:0", "int64", ("batch", 7)),
    ],
)
def test_an_input_is_name_type_and_shape(text: str, name: str, dtype: str, shape: tuple[int | str, ...]) -> None:
    (spec,) = parse_inputs([text])
    assert (spec.name, spec.dtype, spec.shape) == (name, dtype, shape)


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["images"], "is not NAME:DTYPE:SHAPE; for example"),
        (["images:float32:"], "is not NAME:DTYPE:SHAPE"),
        (["images:float31:1,3"], "unknown type 'float31' of input 'images'"),
        (["images:float32:1,0,3"], "'1,0,3' is no shape of input 'images'"),
        (["a:int64:1", "a:int64:2"], "input 'a' is declared twice"),
    ],
)
def test_a_declaration_that_cannot_be_meant_is_refused(texts: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_inputs(texts)


def test_pixels_are_known_where_mean_and_std_are_given_and_one_value_is_for_every_channel() -> None:
    spec = TensorSpec("images", "float32", ("batch", 3, 8, 6))
    assert image_of(spec, REQUEST) is None
    asked = ExportRequest("m", "onnx", Precision.FP32, 1, "w", mean=(0.5,), std=(0.25, 0.5, 1.0))
    image = image_of(spec, asked)
    assert image is not None
    assert (image.shape, image.mean, image.std) == ((3, 8, 6), (0.5, 0.5, 0.5), (0.25, 0.5, 1.0))
    last = image_of(TensorSpec("images", "float32", ("batch", 8, 6, 3)), asked, channels_last=True)
    assert last is not None
    assert last.shape == (3, 8, 6)


def test_normalisation_for_another_number_of_channels_is_refused() -> None:
    asked = ExportRequest("m", "onnx", Precision.FP32, 1, "w", mean=(0.5, 0.5), std=(0.5, 0.5))
    with pytest.raises(ConfigError, match="2 and 2 values for the 3 channels of input 'images'"):
        image_of(TensorSpec("images", "float32", ("batch", 3, 8, 6)), asked)


def test_free_sides_take_the_size_that_profiles_are_tuned_for() -> None:
    spec = TensorSpec("images", "float32", ("batch", 3, "height", "width"))
    size = (DimRange(224, 384, 512), DimRange(224, 320, 512))
    asked = ExportRequest("m", "onnx", Precision.FP32, "dynamic", "w", size=size)
    assert sized(spec, asked).shape == ("batch", 3, 384, 320)
    with pytest.raises(ExportError, match="dimension 'height' of input 'images' has no size; give it, with --size"):
        sized(spec, REQUEST)
    with pytest.raises(ExportError, match=r"dimension 'tokens' .* with --input ids:int64:SHAPE"):
        sized(TensorSpec("ids", "int64", ("batch", "tokens")), asked)


def test_golden_values_are_of_the_declared_type_and_range_and_unlike_in_every_input() -> None:
    specs = (
        TensorSpec("left", "float32", ("batch", 3, 8, 8)),
        TensorSpec("right", "float32", ("batch", 3, 8, 8)),
        TensorSpec("ids", "int64", ("batch", 5), 0.0, 9.0),
    )
    values = golden_inputs(specs, REQUEST)
    assert {name: (array.dtype.name, array.shape) for name, array in values.items()} == {
        "left": ("float32", (8, 3, 8, 8)),
        "right": ("float32", (8, 3, 8, 8)),
        "ids": ("int64", (8, 5)),
    }
    assert not np.array_equal(values["left"], values["right"])
    assert set(np.unique(values["ids"])) <= set(range(10))
    assert len(np.unique(values["ids"])) > 5


def test_samples_at_the_ends_of_a_free_size_leave_fixed_images_as_they_are() -> None:
    free = TensorSpec("left", "float32", ("batch", 3, "height", "width"))
    fixed = TensorSpec("right", "float32", ("batch", 3, 6, 6))
    size = (DimRange(8, 10, 12), DimRange(8, 10, 12))
    asked = ExportRequest("m", "pytorch", Precision.FP32, "dynamic", "w", size=size, mean=(0.5,), std=(0.5,))
    images = tuple(image for spec in (free, fixed) if (image := image_of(spec, asked)) is not None)
    shapes = {
        file: (arrays["left"].shape[2:], arrays["right"].shape[2:])
        for file, arrays in samples((free, fixed), images, asked).items()
    }
    assert shapes == {
        "golden.npz": ((10, 10), (6, 6)),
        "golden-8x8.npz": ((8, 8), (6, 6)),
        "golden-12x12.npz": ((12, 12), (6, 6)),
    }
