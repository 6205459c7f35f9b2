"""Pure readers of what Linux, NVIDIA's tools and files, and detectors say: text or arrays in, values out; used on the
device and on the host."""
