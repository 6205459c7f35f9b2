"""A user's module: Keras models of every kind, as small as they can be. Only the child process of a test imports it."""

import keras
import numpy as np
from keras import layers


def several():
    """Two images and a row of numbers in, a map, scores and a nest of both out."""
    left, right = keras.Input((24, 16, 3), name="left"), keras.Input((24, 16, 3), name="right")
    meta = keras.Input((7,), name="meta")
    convolution = layers.Conv2D(6, 3, padding="same", activation="relu")
    x = layers.BatchNormalization()(layers.Concatenate()([convolution(left), convolution(right)]))
    mask = layers.Conv2D(2, 1)(x)
    pooled = layers.GlobalAveragePooling2D()(x)
    scores = layers.Dense(5)(layers.Concatenate()([pooled, meta]))
    return keras.Model(
        {"left": left, "meta": meta, "right": right},
        {"mask": mask, "scores": scores, "nest": [pooled, {"again": scores}]},
    )


def preprocessed():
    """A Sequential with its preprocessing, upsampling and a transposed convolution."""
    return keras.Sequential(
        [
            keras.Input((24, 24, 3)),
            layers.Rescaling(1 / 127.5, offset=-1.0),
            layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[0.5, 0.6, 0.7]),
            layers.Conv2D(6, 3, activation="swish"),
            layers.MaxPooling2D(),
            layers.SeparableConv2D(8, 3),
            layers.Conv2DTranspose(4, 3, strides=2),
            layers.UpSampling2D(),
            layers.UpSampling2D(interpolation="bilinear"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ]
    )


def segmenter():
    """A U-Net for images of any size."""
    image = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 255)(image)
    skips = []
    for filters in (6, 12):
        x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(filters, 3, padding="same")(x)))
        skips.append(x)
        x = layers.MaxPooling2D()(x)
    for skip in skips[::-1]:
        x = layers.Concatenate()([layers.UpSampling2D()(x), skip])
        x = layers.PReLU(shared_axes=[1, 2])(layers.Conv2D(6, 3, padding="same")(x))
    return keras.Model(image, layers.Softmax()(layers.Conv2D(4, 1)(x)))


def transposed():
    """Transposed convolutions whose outputs are not the input's sides times the stride."""
    image = keras.Input((None, None, 3))
    kinds = ((3, 2, "same", 0), (2, 2, "valid", 1), (2, 3, "valid", 0), (3, 3, "same", 1))
    maps = [
        layers.Conv2DTranspose(2, kernel, step, padding, output_padding=more)(image)
        for kernel, step, padding, more in kinds
    ]
    return keras.Model(image, maps)


class Grown(layers.Layer):
    """A transposed convolution to a size that the layer is told, or to one that is even whatever its input is."""

    def build(self, *shapes):
        self.kernel = self.add_weight(shape=(3, 3, 3, 3), name="kernel")

    def call(self, x, like=None):
        import tensorflow as tf

        sides = tf.shape(x)[1:3] // 2 * 4 if like is None else tf.shape(like)[1:3]
        size = tf.concat([tf.shape(x)[:1], sides, [3]], 0)
        return tf.ensure_shape(tf.nn.conv2d_transpose(x, self.kernel, size, 2), (None, None, None, 3))


def skipping():
    image = keras.Input((None, None, 3))
    half = layers.Conv2D(3, 3, strides=2, padding="same")(image)
    return keras.Model(image, layers.GlobalAveragePooling2D()(Grown()(half, image)))


def even():
    image = keras.Input((None, None, 3))
    return keras.Model(image, layers.GlobalAveragePooling2D()(Grown()(image)))


def resizing():
    image = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 255)(layers.Resizing(16, 16)(image))
    return keras.Model(image, layers.Dense(2)(layers.Flatten()(layers.Conv2D(4, 3)(x))))


def two_ends():
    image = keras.Input((16, 16, 1))
    x = layers.Conv2D(4, 3, strides=2, padding="same")(image)
    return keras.Model(image, [layers.GlobalMaxPooling2D(name="top")(x), layers.Flatten(name="flat")(x)])


def recurrent():
    """A loop, whose body reads tensors and weights from around it."""
    row = keras.Input((6, 5), name="row")
    x = layers.GRU(4)(layers.LSTM(3, return_sequences=True)(row))
    return keras.Model(row, layers.Dense(2)(x))


@keras.saving.register_keras_serializable()
class Subclassed(keras.Model):
    def __init__(self, **more):
        super().__init__(**more)
        self.convolution, self.norm, self.dense = layers.Conv2D(4, 3), layers.LayerNormalization(), layers.Dense(3)

    def call(self, image, training=False):
        x = self.norm(keras.activations.gelu(self.convolution(image), approximate=False))
        return {"a": {"b": self.dense(keras.ops.mean(x, axis=(1, 2)))}, "c": (x[:, 0, 0], x[:, 1, 1])}


class TwoArguments(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(4)

    def call(self, image, meta):
        return self.dense(keras.ops.concatenate([keras.ops.mean(image, axis=(1, 2)), meta], -1))


def lambda_layer():
    image = keras.Input((8, 8, 3))
    return keras.Model(image, layers.GlobalAveragePooling2D()(layers.Lambda(lambda x: x * 2.0)(image)))


def unknown_operation():
    import tensorflow as tf

    class Bessel(layers.Layer):
        def call(self, x):
            return tf.math.bessel_i0(x)  # this line is named

    image = keras.Input((8, 8, 3))
    return keras.Model(image, layers.GlobalAveragePooling2D()(Bessel(name="bessel")(image)))


def adapted():
    """What its Normalization subtracts was measured, on images of 0 to 255."""
    image = keras.Input((24, 24, 3))
    norm = layers.Normalization()
    x = norm(image)
    norm.adapt(np.random.default_rng(0).normal(120, 60, (8, 24, 24, 3)).astype(np.float32))
    return keras.Model(image, layers.GlobalAveragePooling2D()(x))


class Narrow(layers.Layer):
    """Takes no dtype, and nothing else that Keras's own layers take."""

    def __init__(self, units):
        super().__init__()
        self.units = units
        self.inner = layers.Dense(units)

    def call(self, x):
        return self.inner(x) * 2


def narrow():
    row = keras.Input((6,), name="row")
    return keras.Model(row, Narrow(3)(row))


class Untold(layers.Layer):
    def __init__(self, made):
        super().__init__()
        self.made = made

    def call(self, x):
        return self.made(x)


def untold():
    row = keras.Input((6,), name="row")
    return keras.Model(row, Untold(lambda x: x * 2)(row))


def uneven():
    """Its Normalization has a value for each pixel."""
    image = keras.Input((8, 6, 3))
    norm = layers.Normalization(axis=(1, 2, 3))
    x = norm(image)
    norm.adapt(np.random.default_rng(0).normal(0.5, 0.2, (8, 8, 6, 3)).astype(np.float32))
    return keras.Model(image, layers.GlobalAveragePooling2D()(x))


def shown_head():
    image = keras.Input((8, 8, 3))
    x = layers.Rescaling(1 / 255)(image)
    y = layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[0.1, 0.1, 0.1])(x)
    return keras.Model(image, [x, layers.GlobalAveragePooling2D()(y)])


def five_channels():
    image = keras.Input((16, 12, 5))
    return keras.Model(image, layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 255)(image)))


def autoencoder():
    image = keras.Input((8, 8, 3), name="image")
    return keras.Model(image, {"image": layers.Conv2D(3, 3, padding="same")(image)})


def named_output():
    row = keras.Input((4,), name="output")
    return keras.Model(row, layers.Dense(2)(row))


def named_images():
    image = keras.Input((8, 8, 3))
    return keras.Model(image, {"images": layers.Conv2D(3, 3, padding="same")(image)})


def nested_inputs():
    a, b = keras.Input((4,), name="a"), keras.Input((5,), name="b")
    return keras.Model({"p": [a, b]}, layers.Dense(3)(layers.Concatenate()([a, b])))


class Particular(keras.Model):
    """Takes a dictionary, and not these."""

    def call(self, inputs):
        if keras.ops.shape(inputs["a"])[1] % 2:
            raise ValueError("sides must be even")
        return inputs["a"]


def sliced():
    """Patches as a Swin transformer merges them, and a gate through new axes: slices that TensorFlow has in int32."""
    image = keras.Input((16, 12, 3))
    x = layers.Conv2D(8, 3, padding="same")(image)
    x = x * layers.GlobalAveragePooling2D()(x)[:, None, None, :]
    x = keras.ops.concatenate([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], -1)
    return keras.Model(image, layers.GlobalAveragePooling2D()(layers.Conv2D(8, 1)(x)))


def double():
    row = keras.Input((6,), dtype="float64", name="row")
    return keras.Model(row, layers.LayerNormalization(dtype="float64", scale=False, center=False)(row))


def not_a_number():
    model = two_ends()
    model.layers[1].bias.assign([0.0, float("nan"), 0.0, 0.0])
    return model


def raising():
    raise RuntimeError("no such backbone")


def nothing():
    return 3
