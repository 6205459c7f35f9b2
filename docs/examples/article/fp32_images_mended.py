"""FP16 throughout: the policy is float16, and so are the images."""

import tensorflow as tf

tf.keras.config.set_dtype_policy("float16")
network = tf.keras.applications.ResNet50(weights=None)
images = tf.random.normal((1, 224, 224, 3), dtype=tf.float16)
print("images", images.dtype.name, "weights", network.weights[0].dtype)
