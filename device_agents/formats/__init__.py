"""Pure readers of what NVIDIA's tools and files say, and of what detectors say: text or arrays in, values out; used on
the device and on the host."""
