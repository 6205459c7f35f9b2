"""TensorFlow on the device: a SavedModel of ours, and the running of it."""
