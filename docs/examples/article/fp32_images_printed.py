"""A network of policy mixed_float16 that is fed FP32, and holds its weights in FP32."""

import tensorflow as tf

tf.keras.mixed_precision.set_global_policy("mixed_float16")
network = tf.keras.applications.ResNet50(weights=None)
images = tf.random.normal((1, 224, 224, 3))
print("images", images.dtype.name, "weights", network.weights[0].dtype)
