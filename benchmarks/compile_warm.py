"""Imported once by the server that forks a process for each step of benchmarks/compile_coverage.py: what every step
would import and warm up on its own. One thread: a pool of more would not survive the fork."""

from __future__ import annotations


def _warm() -> None:
    import torch
    import torch._inductor.compile_fx
    import torchvision  # noqa: F401

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    layer = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1), torch.nn.BatchNorm2d(1), torch.nn.ReLU()).eval()
    with torch.inference_mode():
        torch.compile(layer, backend="eager", fullgraph=True)(torch.zeros(1, 1, 2, 2))
    torch._dynamo.reset()
    torch.set_num_threads(threads)


_warm()
