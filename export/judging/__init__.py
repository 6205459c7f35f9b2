"""Whether a graph computes what its framework does: the gate and all that it judges by."""
