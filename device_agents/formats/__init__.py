"""Pure readers of what NVIDIA's tools and files say. Text in, values out; used on the device and on the host."""
