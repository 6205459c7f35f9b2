"""Networks as exporters want them: modules that take tensors and return a tuple of tensors, whose names are known."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from export import nest

OUTPUT = "logits"
"""What the output of a classifier is called in every framework."""


def flatten(value: Any, inputs: Collection[str] = ()) -> dict[str, Any]:
    """What a network returns, as tensors by stable names (export.nest); one that an input has gets `_out`
    behind it. Errors: ExportError."""
    import torch

    found = nest.flatten(value, lambda part: isinstance(part, torch.Tensor))
    return nest.by_name((_unlike(name, inputs), tensor) for name, tensor in found.items())


def _unlike(name: str, inputs: Collection[str]) -> str:
    while name in inputs:
        name += "_out"
    return name


def adapter(network: Any, call: Callable[..., dict[str, Any]]) -> Any:
    """A module around `network` that takes tensors and returns a tuple of tensors: those of `call(network, *inputs)`.
    Their names are in its `names` once it has run. Each is a copy: torch's exporter mixes up the names of a tensor that
    is returned twice, and those of an input that is returned."""
    import torch

    class Adapter(torch.nn.Module):  # type: ignore[misc]
        names: tuple[str, ...] = ()

        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self.training = False  # the network has its mode, which a program of torch.export cannot change

        def train(self, mode: bool = True) -> Any:  # noqa: ARG002
            return self

        def forward(self, *inputs: Any) -> tuple[Any, ...]:
            outputs = call(self.network, *inputs)
            self.names = tuple(outputs)
            return tuple(tensor.clone() for tensor in outputs.values())

    return Adapter()
