"""Rewrites of the ONNX graphs that tf2onnx makes: operations as they are, layouts channels-first."""
