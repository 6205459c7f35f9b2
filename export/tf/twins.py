"""torchvision's ResNets and Vision Transformers as Keras models that take torchvision's weights.

keras.applications has no ResNet-18 and no ViT, and its ResNet50 strides in another convolution (v1, not v1.5). Here the
same name is the same network with the same weights in both frameworks; a test holds the outputs to 1e-4.

Networks are read off the weights: names and shapes of a torchvision state dict say how many blocks of which kind there
are. Sources: torchvision/models/resnet.py, torchvision/models/vision_transformer.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiles.errors import ExportError
from profiles.schema import ImageInput

State = Mapping[str, NDArray[np.float32]]
"""A torchvision state dict as arrays: convolutions (out, in, h, w), linear layers (out, in)."""

_OUTPUT = "logits"
_BN_EPSILON = 1e-5
_LN_EPSILON = 1e-6
_VIT_HEADS = {"vit_b_16": 12, "vit_b_32": 12, "vit_l_16": 16, "vit_l_32": 16, "vit_h_14": 16}


def build(name: str, state: State, spec: ImageInput) -> Any:
    """The Keras model `name` with the weights of `state`: images (N, H, W, C) to logits (N, classes).

    Its layers follow Keras's global dtype policy. Errors: ExportError for a network that has no twin here.
    """
    import keras

    channels, height, width = spec.shape
    image = keras.Input((height, width, channels), name=spec.name)
    if name in _VIT_HEADS:
        logits = _vision_transformer(image, state, _VIT_HEADS[name])
    elif name.startswith("resnet"):
        logits = _resnet(image, state)
    else:
        raise ExportError(f"torchvision's {name!r} has no Keras twin; there are ResNets and Vision Transformers")
    return keras.Model(image, logits, name=name)


def _resnet(x: Any, state: State) -> Any:
    from keras import layers

    x = _norm(_convolution(x, state, "conv1", stride=2), state, "bn1")
    x = layers.ReLU()(x)
    x = layers.ZeroPadding2D(1)(x)  # after a ReLU zeros never win, so this pads like torch's -inf
    x = layers.MaxPooling2D(3, strides=2)(x)
    for stage in range(1, 5):
        block = 0
        while f"layer{stage}.{block}.conv1.weight" in state:
            stride = 2 if stage > 1 and block == 0 else 1
            x = _residual_block(x, state, f"layer{stage}.{block}", stride)
            block += 1
    x = layers.GlobalAveragePooling2D()(x)
    return _linear(x, state, "fc", name=_OUTPUT)


def _residual_block(x: Any, state: State, at: str, stride: int) -> Any:
    """A basic block (two 3 x 3) or a bottleneck (1 x 1, 3 x 3, 1 x 1; v1.5: the 3 x 3 strides)."""
    from keras import layers

    convolutions = 3 if f"{at}.conv3.weight" in state else 2
    strider = 2 if convolutions == 3 else 1
    shortcut = x
    if f"{at}.downsample.0.weight" in state:
        shortcut = _norm(_convolution(x, state, f"{at}.downsample.0", stride=stride), state, f"{at}.downsample.1")
    for index in range(1, convolutions + 1):
        x = _convolution(x, state, f"{at}.conv{index}", stride=stride if index == strider else 1)
        x = _norm(x, state, f"{at}.bn{index}")
        if index < convolutions:
            x = layers.ReLU()(x)
    return layers.ReLU()(layers.Add()([x, shortcut]))


def _vision_transformer(x: Any, state: State, heads: int) -> Any:
    """Between the embedding and the head every token is a row of its own, (N T, D): linear layers are then plain matrix
    products, and no shape in the graph is computed from the batch."""
    import keras
    from keras import layers

    positions = state["encoder.pos_embedding"].copy()  # (1, T, D): T = 1 + patches
    tokens, width = positions.shape[1:]
    patch = state["conv_proj.weight"].shape[-1]
    x = _convolution(x, state, "conv_proj", stride=patch, padding=0)
    x = keras.ops.reshape(x, (-1, tokens - 1, width))
    # The class token goes in front of every sample: an empty row, to which it is added with the first position.
    x = layers.ZeroPadding1D((1, 0))(x)
    positions[:, :1] += state["class_token"]
    x = keras.ops.add(x, positions.astype(x.dtype))
    x = keras.ops.reshape(x, (-1, width))
    block = 0
    while f"encoder.layers.encoder_layer_{block}.ln_1.weight" in state:
        at = f"encoder.layers.encoder_layer_{block}"
        attended = _attention(_layer_norm(x, state, f"{at}.ln_1"), state, f"{at}.self_attention", (tokens, heads))
        x = layers.Add()([x, attended])
        hidden = _linear(_layer_norm(x, state, f"{at}.ln_2"), state, f"{at}.mlp.0")
        x = layers.Add()([x, _linear(_gelu(hidden), state, f"{at}.mlp.3")])
        block += 1
    x = keras.ops.reshape(x, (-1, tokens, width))[:, 0]  # the class token; a layer norm sees each row alone
    return _linear(_layer_norm(x, state, "encoder.ln"), state, "heads.head", name=_OUTPUT)


def _gelu(x: Any) -> Any:
    """Exact GELU, spelled out: TensorFlow's own uses erfc, which ONNX does not have."""
    import keras

    return 0.5 * x * (1.0 + keras.ops.erf(x * math.sqrt(0.5)))


def _attention(x: Any, state: State, at: str, grid: tuple[int, int]) -> Any:
    """Multi-head self-attention of (N T, D), T tokens a sample; torch keeps the query, key and value weights as one
    (3 D, D). `grid` is (T, heads)."""
    import keras
    from keras import layers

    width = x.shape[-1]
    size = width // grid[1]
    weights = np.split(state[f"{at}.in_proj_weight"], 3)
    biases = np.split(state[f"{at}.in_proj_bias"], 3)
    weights[0], biases[0] = weights[0] * size**-0.5, biases[0] * size**-0.5  # the query's scale: a power of two mostly
    rows = [_dense(x, w, b) for w, b in zip(weights, biases, strict=True)]
    split = [keras.ops.reshape(part, (-1, *grid, size)) for part in rows]
    query = layers.Permute((2, 1, 3))(split[0])  # (N, heads, T, size)
    key = layers.Permute((2, 3, 1))(split[1])  # (N, heads, size, T)
    value = layers.Permute((2, 1, 3))(split[2])
    attention = layers.Softmax()(keras.ops.matmul(query, key))
    joined = layers.Permute((2, 1, 3))(keras.ops.matmul(attention, value))
    return _linear(keras.ops.reshape(joined, (-1, width)), state, f"{at}.out_proj")


def _convolution(x: Any, state: State, at: str, *, stride: int, padding: int | None = None) -> Any:
    """torch pads both sides alike; Keras's "same" with a stride does not, so the padding is a layer of its own."""
    from keras import layers

    kernel = state[f"{at}.weight"].transpose(2, 3, 1, 0)  # (out, in, h, w) to (h, w, in, out)
    size = kernel.shape[0]
    pad = size // 2 if padding is None else padding
    bias = f"{at}.bias" in state
    symmetric = stride == 1 and 2 * pad == size - 1
    if pad and not symmetric:
        x = layers.ZeroPadding2D(pad)(x)
    layer = layers.Conv2D(
        kernel.shape[3], size, strides=stride, padding="same" if symmetric else "valid", use_bias=bias, name=_name(at)
    )
    y = layer(x)
    layer.set_weights([kernel, state[f"{at}.bias"]] if bias else [kernel])
    return y


def _norm(x: Any, state: State, at: str) -> Any:
    from keras import layers

    layer = layers.BatchNormalization(epsilon=_BN_EPSILON, name=_name(at))
    y = layer(x)
    layer.set_weights([state[f"{at}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")])
    return y


def _layer_norm(x: Any, state: State, at: str) -> Any:
    from keras import layers

    layer = layers.LayerNormalization(epsilon=_LN_EPSILON, name=_name(at))
    y = layer(x)
    layer.set_weights([state[f"{at}.weight"], state[f"{at}.bias"]])
    return y


def _linear(x: Any, state: State, at: str, name: str | None = None) -> Any:
    return _dense(x, state[f"{at}.weight"], state[f"{at}.bias"], name=name or _name(at))


def _dense(x: Any, weight: NDArray[np.float32], bias: NDArray[np.float32], name: str | None = None) -> Any:
    """torch's linear layer: `weight` is (out, in), Keras's kernel (in, out)."""
    from keras import layers

    layer = layers.Dense(weight.shape[0], name=name)
    y = layer(x)
    layer.set_weights([weight.T, bias])
    return y


def _name(at: str) -> str:
    return at.replace(".", "_")
