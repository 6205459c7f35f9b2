"""Random weights for keras.applications that behave like trained ones as far as numerics go: otherwise FP16 overflows
in deep networks, and the parity gate sees little."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from export.data.golden import Array

RESIDUAL_GAIN = 0.25
"""Gain of the last batch norm before an addition, and of ConvNeXt's layer scale, which starts at 1e-6: whatever its
branches compute, an error in them would not be seen."""


def randomise(network: Any, images: Array) -> None:
    """In place; Keras has drawn the seeded initial values. `images` are (N, C, H, W)."""
    import keras

    random = np.random.default_rng(0)
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in (*norms, *(one for one in _all_layers(network) if type(one).__name__ == "LayerNormalization")):
        _vary(layer, random)
    for layer in _all_layers(network):
        _even_depthwise(layer, random)
    for layer in network.layers:
        _open_rectifier(layer)
    order = {layer.name: index for index, layer in enumerate(network.layers)}
    for layer in network.layers:
        if isinstance(layer, keras.layers.Add):
            before = sorted(_norms_before(layer), key=lambda norm: order[norm.name])
            for norm in before[-1:]:  # the branch is built after the shortcut, which may end in a norm too
                norm.gamma.assign(norm.gamma * RESIDUAL_GAIN)
        if type(layer).__name__ == "LayerScale":
            layer.gamma.assign(np.full(layer.gamma.shape, RESIDUAL_GAIN, np.float32))
    if norms:
        _measure_norms(network, norms, images.transpose(0, 2, 3, 1))


def _vary(layer: Any, random: np.random.Generator) -> None:
    """Gains of ones and shifts of zeros would hide a graph that has lost them, or swapped their channels."""
    if layer.gamma is not None:
        layer.gamma.assign(random.uniform(0.8, 1.2, layer.gamma.shape))
    if layer.beta is not None:
        layer.beta.assign(random.normal(0.0, 0.1, layer.beta.shape))


def _open_rectifier(layer: Any) -> None:
    """A batch norm before a ReLU is shifted by one of its deviations. Around zero, random layers of that kind enlarge
    whatever enters them by a fifth each (Yang et al., A Mean Field Theory of Batch Normalization, 2019): the rounding
    errors of FP16 grow 150-fold in the 27 of a MobileNet. Shifted, the enlargement is a twentieth."""
    import keras

    if not isinstance(layer, keras.layers.ReLU | keras.layers.Activation) or isinstance(layer.input, list):
        return
    source = layer.input._keras_history.operation  # noqa: SLF001  Keras has no public way
    if isinstance(source, keras.layers.BatchNormalization) and source.beta is not None:
        source.beta.assign(source.beta + 1.0)


def _even_depthwise(layer: Any, random: np.random.Generator) -> None:
    """Keras takes a depthwise kernel of (3, 3, C, 1) for a sum over 9 C values, and it is one over 9: what comes out is
    so faint that the batch norm's epsilon is all that counts, and FP16 loses a tenth of a MobileNet's answer."""
    import keras

    separable = isinstance(layer, keras.layers.SeparableConv2D)
    if separable or isinstance(layer, keras.layers.DepthwiseConv2D):
        kernel = layer.depthwise_kernel if separable else layer.kernel
        height, width = kernel.shape[:2]
        kernel.assign(random.normal(0.0, math.sqrt(2.0 / (height * width)), kernel.shape))


def _all_layers(network: Any) -> list[Any]:
    return list(network._flatten_layers(include_self=False))  # noqa: SLF001  ConvNeXt nests a Sequential


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


def _measure_norms(network: Any, norms: list[Any], images: Array) -> None:
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
