"""keras.applications with their weights: imagenet's, random by a recipe of ours, or from a file."""

from __future__ import annotations

from typing import Any

from export import golden
from export.artifact import ExportRequest
from export.download import could_not_download, refuse_downloads, unreachable
from profiles.errors import ExportError
from profiles.load import unknown
from profiles.schema import ImageInput

RESIDUAL_GAIN = 0.25  # see export.frameworks.torch_weights

_CALIBRATION_IMAGES = 16
_CALIBRATION_SEED = golden.SEED + 1
_HOST = "https://storage.googleapis.com/tensorflow/keras-applications"  # keras/src/applications/*.py


def load_model(name: str, spec: ImageInput, request: ExportRequest) -> Any:
    """The Keras model, giving logits. Errors: ExportError for an unknown name, weights that cannot be downloaded, or a
    file that is not this network's weights."""
    import keras

    keras.utils.set_random_seed(request.seed)
    if request.weights == "pretrained":
        return _pretrained(name, spec)
    network = _build(name, spec, weights=None)
    if request.weights == "random":
        _randomise(network, spec)
    else:
        _load_file(network, request)
    return network


def _build(name: str, spec: ImageInput, weights: str | None) -> Any:
    import keras

    channels, height, width = spec.shape
    known = [key for key, value in vars(keras.applications).items() if key[0].isupper() and callable(value)]
    if name not in known:
        raise unknown("Keras model", name, known)
    make = getattr(keras.applications, name)
    return make(weights=weights, input_shape=(height, width, channels), classifier_activation=None)


def _pretrained(name: str, spec: ImageInput) -> Any:
    reason = unreachable(_HOST)
    if reason is not None:
        refuse_downloads()  # what is in Keras's cache is still found
    try:
        return _build(name, spec, weights="imagenet")
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


def _randomise(network: Any, spec: ImageInput) -> None:
    """Weights that behave like trained ones as far as numerics go: otherwise FP16 overflows in deep networks, and the
    parity gate sees little. In place; Keras has drawn the seeded initial values."""
    import keras

    order = {layer.name: index for index, layer in enumerate(network.layers)}
    for layer in network.layers:
        if isinstance(layer, keras.layers.Add):
            norms = sorted(_norms_before(layer), key=lambda norm: order[norm.name])
            for norm in norms[-1:]:  # the branch is built after the shortcut, which may end in a norm too
                norm.gamma.assign(norm.gamma * 0 + RESIDUAL_GAIN)
    images = golden.images(spec, count=_CALIBRATION_IMAGES, seed=_CALIBRATION_SEED).transpose(0, 2, 3, 1)
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    if norms:
        _measure_norms(network, norms, images)


def _norms_before(add: Any) -> list[Any]:
    """The batch norms that feed an addition, directly or through a dropout."""
    import keras

    found = []
    for tensor in add.input:
        source = tensor._keras_history.operation  # noqa: SLF001  Keras has no public way
        while isinstance(source, keras.layers.Dropout):
            source = source.input._keras_history.operation  # noqa: SLF001
        if isinstance(source, keras.layers.BatchNormalization):
            found.append(source)
    return found


def _measure_norms(network: Any, norms: list[Any], images: golden.Array) -> None:
    """Set every batch norm's mean and variance to those of seeded images, one norm after the other in the order of the
    network, each seeing the ones before it as they are then.

    With momentum 0 a training-mode call stores the batch's own statistics, and normalises by them.
    """
    for norm in norms:
        norm.momentum = 0.0
        call = norm.call
        norm.call = lambda x, *, _call=call, training=None, mask=None: _call(x, training=True, mask=mask)  # noqa: ARG005
    network(images, training=False)
    for norm in norms:
        del norm.call
