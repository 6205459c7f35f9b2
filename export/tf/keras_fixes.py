"""What Keras 3.15 does in a traced function that keeps a graph from being made, or from being a good one. In effect
while a model is traced; the reference is computed before, by Keras as it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def traceable() -> Iterator[None]:
    """Upsampling of images whose size is not known is refused by a check of that size (keras.ops.image.resize compares
    a tensor with 0). Nearest neighbours are repeated element by element, in a dozen nodes that no runtime takes for
    what they are: ONNX has Resize."""
    from keras import layers

    original = layers.UpSampling2D.call
    layers.UpSampling2D.call = _upsample
    try:
        yield
    finally:
        layers.UpSampling2D.call = original


def _upsample(layer: Any, inputs: Any) -> Any:
    import tensorflow as tf

    first = layer.data_format == "channels_first"
    images = tf.transpose(inputs, (0, 2, 3, 1)) if first else inputs
    known = images.shape[1:3].as_list()
    size = tf.shape(images)[1:3] if None in known else tf.constant(known)
    resized = tf.image.resize(images, size * tf.constant(layer.size), method=layer.interpolation)
    return tf.transpose(resized, (0, 3, 1, 2)) if first else resized
