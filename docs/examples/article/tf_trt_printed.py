"""TF-TRT is asked to convert no model at all."""

import tensorflow as tf

tf.experimental.tensorrt.Converter(input_saved_model_dir=None).convert()
