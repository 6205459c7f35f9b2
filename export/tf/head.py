"""The preprocessing layers at the head of a Keras model: what they do to pixels, and the model without them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiles.errors import ConfigError, ExportError
from profiles.schema import ImageInput

_KNOWN = ("Rescaling", "Normalization", "Resizing")


@dataclass(frozen=True)
class Head:
    """`layers` by name, in order. They make `scale` * pixel + `shift` of a pixel of 0 to 255, one value a channel, and
    images of `size` (height, width) where they resize. `tensors` are the image and what each of them gives."""

    layers: tuple[str, ...]
    scale: NDArray[np.float64]
    shift: NDArray[np.float64]
    size: tuple[int, int] | None
    tensors: tuple[Any, ...]

    @property
    def rest(self) -> Any:
        """What all of them give."""
        return self.tensors[-1]

    @property
    def takes_raw_pixels(self) -> bool:
        """Whether what is made of pixels of 0 to 255 is what networks take: of the order of one."""
        ends = np.concatenate([self.shift, self.scale * 255 + self.shift])
        return bool(np.abs(ends).max() <= 10 and np.abs(self.scale).max() < 0.1)


def find(network: Any) -> Head | None:
    """The Rescaling, Normalization and Resizing layers that a Keras 3 model of one image begins with; None where there
    are none, or where something else reads the image too."""
    import keras

    tensors = getattr(network, "inputs", None)
    if not isinstance(network, keras.Model) or not tensors or len(tensors) != 1 or len(tensors[0].shape) != 4:
        return None
    channels = tensors[0].shape[-1]
    given, layers, size = [tensors[0]], [], None
    scale, shift = np.ones(channels or 1), np.zeros(channels or 1)
    while (node := _only_reader(network, given[-1])) is not None and type(node.operation).__name__ in _KNOWN:
        layer = node.operation
        if type(layer).__name__ == "Resizing":
            size = (int(layer.height), int(layer.width))
        elif (affine := _affine(layer, len(scale))) is not None:
            scale, shift = scale * affine[0], shift * affine[0] + affine[1]
        else:
            break
        layers.append(layer.name)
        given.append(node.output_tensors[0])
    return Head(tuple(layers), scale, shift, size, tuple(given)) if layers else None


def without(network: Any, head: Head, name: str) -> Any:
    """The model that takes what the head gives: the same layers and weights. Errors: ConfigError where an output is
    made by the head alone."""
    import keras

    if any(output is tensor for output in network.outputs for tensor in head.tensors):
        message = "an output of the model is what its preprocessing layers give"
        raise ConfigError(message, where="--keras-preprocessing strip", fix="leave it out: the layers are kept")
    shape = head.rest.shape[1:]
    if head.size is not None:
        shape = (*head.size, shape[-1])
    image = keras.Input(shape, name=name, dtype=head.rest.dtype)
    inner = keras.Model(head.rest, network.outputs if len(network.outputs) > 1 else network.outputs[0])
    return keras.Model(image, inner(image), name=network.name)


def stripped(image: ImageInput, head: Head) -> ImageInput:
    """How the model without its head wants the image that the whole model wants as `image`."""
    mean, std = np.asarray(image.mean), np.asarray(image.std)
    # The head gets (pixel - mean) / std and gives scale times that, plus shift.
    new_std = std / head.scale
    new_mean = mean - head.shift * new_std
    if (new_std <= 0).any():
        raise ExportError("the preprocessing layers turn pixels into their negative", fix="keep them")
    shape = image.shape if head.size is None else (image.shape[0], *head.size)
    return replace(image, shape=shape, mean=tuple(map(float, new_mean)), std=tuple(map(float, new_std)))


def _only_reader(network: Any, tensor: Any) -> Any:
    """The one call (a node of Keras's) of a layer in this network that takes the tensor."""
    nodes = [node for level in network._nodes_by_depth.values() for node in level]  # noqa: SLF001  no public way
    readers = [node for node in nodes if any(given is tensor for given in node.input_tensors)]
    return readers[0] if len(readers) == 1 else None


def _affine(layer: Any, channels: int) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """(factor, addend) of a layer, one value a channel; None where it has one for each row or pixel."""
    if type(layer).__name__ == "Rescaling":
        factor, addend = np.asarray(layer.scale, np.float64), np.asarray(layer.offset, np.float64)
    else:
        mean, variance = np.asarray(layer.mean, np.float64), np.asarray(layer.variance, np.float64)
        factor = 1.0 / np.maximum(np.sqrt(variance), 1e-7)  # keras.config.epsilon()
        addend = -mean * factor
        if layer.invert:
            factor, addend = 1.0 / factor, mean
    for value in (factor, addend):
        if value.size != 1 and not value.size == value.shape[-1] == channels:
            return None
    each = [np.broadcast_to(value.reshape(-1), (channels,)) for value in (factor, addend)]
    return each[0], each[1]
