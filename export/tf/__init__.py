"""TensorFlow and Keras: models ready to be run, and their way through tf2onnx."""
