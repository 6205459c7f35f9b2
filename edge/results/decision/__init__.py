"""PyTorch or TensorFlow: the decision matrix of what was measured."""
