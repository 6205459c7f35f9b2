"""MODEL as people type it: a profile's name, torchvision:NAME, keras:NAME, or the path of an .onnx file.

Pure: no framework is imported, so an unknown torchvision or Keras name is found out by the exporter's child process.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from profiles.errors import ConfigError
from profiles.load import model_profile, model_profile_names, unknown
from profiles.schema import FRAMEWORKS, FrameworkModel, ImageInput, ModelProfile

ONNX = "onnx"
"""The framework of a model that is an .onnx file already."""

_MODULES: Mapping[str, tuple[str, ...]] = {
    "pytorch": ("torch", "torchvision", "onnx", "onnxscript", "onnxruntime"),
    "tensorflow": ("tensorflow", "keras", "tf2onnx", "onnx", "onnxconverter_common", "onnxruntime"),
    ONNX: ("onnx", "onnxruntime"),
}

_LIBRARY_FRAMEWORK = {"torchvision": "pytorch", "keras": "tensorflow"}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}\Z")

# keras.applications by how each model wants its pixels (keras/src/applications/*.py: preprocess_input), and the side
# of its images where that is not 224.
_KERAS_RAW = ("EfficientNet", "ConvNeXt", "MobileNetV3")
_KERAS_CAFFE = ("ResNet50", "ResNet101", "ResNet152", "VGG16", "VGG19")
_KERAS_TORCH = ("DenseNet",)
_KERAS_SIDES = {
    "InceptionV3": 299,
    "InceptionResNetV2": 299,
    "Xception": 299,
    "NASNetLarge": 331,
    "EfficientNetB1": 240,
    "EfficientNetB2": 260,
    "EfficientNetB3": 300,
    "EfficientNetB4": 380,
    "EfficientNetB5": 456,
    "EfficientNetB6": 528,
    "EfficientNetB7": 600,
    "EfficientNetV2B1": 240,
    "EfficientNetV2B2": 260,
    "EfficientNetV2B3": 300,
    "EfficientNetV2S": 384,
    "EfficientNetV2M": 480,
    "EfficientNetV2L": 480,
}


@dataclass(frozen=True)
class ModelRef:
    """A model that can be exported: `name` as results and tables call it, and its profile, or its .onnx file."""

    name: str
    profile: ModelProfile | None = None
    path: Path | None = None

    def frameworks(self) -> tuple[str, ...]:
        """The frameworks that have this model, in the order in which they are exported."""
        if self.profile is None:
            return (ONNX,)
        return tuple(name for name in FRAMEWORKS if name in self.profile.frameworks)


def parse_model(text: str) -> ModelRef:
    """MODEL as typed. Errors: ConfigError for an unknown model, with the nearest name, or a file that is not there."""
    if text in model_profile_names():
        return ModelRef(text, profile=model_profile(text))
    library, colon, name = text.partition(":")
    if colon and library in _LIBRARY_FRAMEWORK:
        return ModelRef(text, profile=_library_profile(library, name))
    if text.endswith(".onnx"):
        return _file(Path(text).expanduser())
    fix = "or name torchvision:NAME, keras:NAME or a path that ends in .onnx"
    raise unknown("model", text, model_profile_names(), fix=fix)


def frameworks_of(ref: ModelRef) -> tuple[str, ...]:
    """The frameworks that have this model: a subset of pytorch and tensorflow, or `onnx` alone for a file."""
    return ref.frameworks()


def installed(framework: str) -> bool:
    """Whether everything that exports from this framework can be found, without importing any of it."""
    return not missing(framework)


def missing(framework: str) -> tuple[str, ...]:
    """The modules that exporting from this framework needs and that are not installed."""
    return tuple(module for module in _MODULES[framework] if importlib.util.find_spec(module) is None)


def keras_input(name: str) -> ImageInput:
    """The image that a model of keras.applications takes, as its preprocess_input makes it."""
    side = _KERAS_SIDES.get(name, 224)
    shape = (3, side, side)
    if name.startswith(_KERAS_RAW):
        return ImageInput(shape=shape, mean=(0.0, 0.0, 0.0), std=(1 / 255, 1 / 255, 1 / 255))
    if name in _KERAS_CAFFE:  # BGR, the ImageNet mean taken off, pixels of 0 to 255
        mean = (103.939 / 255, 116.779 / 255, 123.68 / 255)
        return ImageInput(shape=shape, mean=mean, std=(1 / 255, 1 / 255, 1 / 255))
    if name.startswith(_KERAS_TORCH):
        return ImageInput(shape=shape)
    return ImageInput(shape=shape, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def _library_profile(library: str, name: str) -> ModelProfile:
    if not _NAME.match(name):
        raise ConfigError(f"{name!r} is no model name", where=f"{library}:{name}")
    framework = _LIBRARY_FRAMEWORK[library]
    image = keras_input(name) if library == "keras" else ImageInput()
    frameworks = {framework: FrameworkModel(f"{library}:{name}")}
    return ModelProfile(f"{library}:{name}", "classification", frameworks, input=image)


def _file(path: Path) -> ModelRef:
    if not path.is_file():
        raise ConfigError("no such file", where=str(path))
    return ModelRef(path.stem, path=path.resolve())
