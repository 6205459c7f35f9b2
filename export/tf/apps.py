"""keras.applications with their weights: imagenet's, random by a recipe of ours, or from a file."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from export.data import golden
from export.download import could_not_download, refused, stands_still_at_most, unreachable
from export.request import RANDOM, ExportRequest
from export.tf.network import resized
from export.tf.random_weights import randomise
from profiles.errors import ConfigError, ExportError
from profiles.load import unknown
from profiles.schema import ImageInput

_HOST = "https://storage.googleapis.com/tensorflow/keras-applications"  # keras/src/applications/*.py


def names() -> list[str]:
    """Every constructor of keras.applications."""
    import keras

    return sorted(name for name, value in vars(keras.applications).items() if name[0].isupper() and callable(value))


def load(name: str, spec: ImageInput, request: ExportRequest) -> Any:
    """The Keras model, giving logits, for images of the fixed size that is asked for, else of `spec`. Errors:
    ConfigError for an unknown name or an impossible size; ExportError for weights that cannot be downloaded, or a file
    that is not this network's weights."""
    import keras

    if name not in names():
        raise unknown("Keras model", name, names())
    keras.utils.set_random_seed(request.seed)
    channels, height, width = spec.shape
    own = (height, width, channels)
    wanted = own
    if request.size is not None and all(side.min == side.max for side in request.size):
        wanted = (request.size[0].opt, request.size[1].opt, channels)
    if request.weights == "pretrained":
        network = _pretrained(name, own)
        return network if wanted == own else _of_weights(name, wanted, network)
    network = _build(name, wanted)
    if request.weights == RANDOM:
        randomise(network, golden.images(_at(spec, wanted), count=_few(wanted), seed=golden.SEED + 1))
    else:
        _load_file(network, request)
    return network


def _at(spec: ImageInput, shape: tuple[int, int, int]) -> ImageInput:
    return replace(spec, shape=(shape[2], *shape[:2]))


def _build(name: str, shape: tuple[int, int, int], weights: str | None = None) -> Any:
    import keras

    try:
        return getattr(keras.applications, name)(weights=weights, input_shape=shape, classifier_activation=None)
    except ValueError as error:
        if "nput size must be at least" not in str(error):
            raise
        raise ConfigError(f"{name} does not take images of {shape[0]}x{shape[1]} ({error})", where="--size") from error


def _of_weights(name: str, shape: tuple[int, int, int], other: Any) -> Any:
    """The layers and weights of `other`: with imagenet's, EfficientNet has a layer more. How much is padded depends on
    the size: that is as Keras builds it for this one."""
    import keras

    built = {layer.name: layer for layer in _build(name, shape).layers}

    def clone(layer: Any) -> Any:
        source = built.get(layer.name, layer) if isinstance(layer, keras.layers.ZeroPadding2D) else layer
        return type(layer).from_config(source.get_config())

    return resized(other, shape, clone)


def _pretrained(name: str, shape: tuple[int, int, int]) -> Any:
    reason = unreachable(_HOST)
    try:
        with refused() if reason else stands_still_at_most():  # what is in Keras's cache is found either way
            return _build(name, shape, weights="imagenet")
    except Exception as error:  # Keras wraps URL errors in plain Exception
        if reason is None and not isinstance(error, OSError) and "URL fetch failure" not in str(error):
            raise
        raise could_not_download(name, _HOST, reason or error) from None


def _load_file(network: Any, request: ExportRequest) -> None:
    path = request.weights_path
    if path is None or not path.name.endswith(".weights.h5"):
        raise ExportError("Keras weights are a file that ends in .weights.h5", where=str(path))
    try:
        network.load_weights(path)
    except Exception as error:  # what a broken file raises has no common base
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ExportError(f"not the weights of this Keras model ({lines[0][:200]})", where=str(path)) from error


def _few(shape: tuple[int, int, int]) -> int:
    """Images to measure batch norms on: 16 of 224 x 224, fewer of larger ones, as Keras holds every activation."""
    return max(2, min(16, 16 * 224 * 224 // (shape[0] * shape[1])))
