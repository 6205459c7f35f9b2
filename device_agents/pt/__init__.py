"""PyTorch on the device: weights into a network that is there, and the running of it."""
