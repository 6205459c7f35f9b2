"""What the onnxruntime backend is made of: providers and their options, where nodes run, and two ways of running.

`host.py` lets the runtime copy and waits for it; `streams.py` owns the CUDA streams, so that copies and computing can
be told apart and the next inference enqueued ahead.
"""
