"""Where an INT8 graph quantises: what TensorRT's guide to explicit quantisation recommends, and measured accuracy.

- The inputs of convolutions and of products with a constant matrix: that makes them INT8 kernels. Their outputs stay
  as they are, so that TensorRT can fuse what follows (bias, ReLU, the addition of a shortcut).
- Where a convolution's output is added to a shortcut, the shortcut: the addition is then fused into the convolution.
- No depthwise convolution: it is little of the arithmetic and a fifth of the error (MobileNetV2 0.36 instead of
  0.45, EfficientNet-B0 0.21 instead of 0.24), and its engine grows as if padded (24 MB by TensorRT-RTX, not 9).
- No product of two activations (attention): most probabilities of a softmax over 197 tokens are less than one step of
  INT8. No shortcut around a product of matrices: in a transformer that is the stream that carries everything.
- Weights per channel of output, activations per tensor, both symmetric: TensorRT has nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from export.precision.nodes import attribute

_CONVOLUTIONS = ("Conv", "ConvTranspose")


@dataclass(frozen=True)
class Weight:
    """A constant to quantise, as one input of a node; `axis` is that of its output channels, None for one scale."""

    node: int
    index: int
    name: str
    axis: int | None


@dataclass(frozen=True)
class Activation:
    """A tensor to quantise where a node reads it."""

    node: int
    index: int
    name: str


@dataclass(frozen=True)
class Placement:
    weights: tuple[Weight, ...]
    activations: tuple[Activation, ...]

    @property
    def tensors(self) -> tuple[str, ...]:
        """The activations, each once, in the graph's order."""
        return tuple(dict.fromkeys(one.name for one in self.activations))


def place(graph: Any) -> Placement:
    """What to quantise in a graph whose weights are initializers."""
    constants = {tensor.name: list(tensor.dims) for tensor in graph.initializer if tensor.data_type == 1}
    weights = []
    for number, node in enumerate(graph.node):
        axis = _axis(node, constants)
        if axis is not None:
            weights.append(Weight(number, 1, node.input[1], axis if axis >= 0 else None))
    inputs = [Activation(one.node, 0, graph.node[one.node].input[0]) for one in weights]
    return Placement(tuple(weights), (*inputs, *_shortcuts(graph, {one.node for one in weights})))


def _axis(node: Any, constants: dict[str, list[int]]) -> int | None:
    """The axis of the output channels in the node's weight, -1 for one scale; None where it is not to be quantised."""
    if len(node.input) < 2 or node.input[1] not in constants or node.input[0] in constants:
        return None
    shape = constants[node.input[1]]
    if node.op_type == "Conv":
        depthwise = shape[1] == 1 and _integer(node, "group", 1) > 1
        return None if depthwise else 0
    if node.op_type == "ConvTranspose":  # (C, M / group, ...): with groups an index of axis 1 is several channels
        return 1 if _integer(node, "group", 1) == 1 else -1
    if node.op_type == "Gemm":
        return 0 if _integer(node, "transB", 0) else 1
    return 1 if node.op_type == "MatMul" and len(shape) == 2 else None


def _shortcuts(graph: Any, quantised: set[int]) -> Iterator[Activation]:
    makers = {name: number for number, node in enumerate(graph.node) for name in node.output}
    readers: dict[str, int] = {}
    for node in graph.node:
        for name in node.input:
            readers[name] = readers.get(name, 0) + 1
    constants = {tensor.name for tensor in graph.initializer}
    for number, node in enumerate(graph.node):
        if node.op_type != "Add" or not constants.isdisjoint(node.input):
            continue
        sources = [makers.get(name, -1) for name in node.input]
        folded = [at in quantised and graph.node[at].op_type in _CONVOLUTIONS for at in sources]
        if not any(folded):
            continue
        index = folded.index(False) if not all(folded) else _projection(graph, sources, readers)
        yield Activation(number, index, node.input[index])


def _projection(graph: Any, sources: list[int], readers: dict[str, int]) -> int:
    """Of two convolutions that are added, the one on the shortcut: what it reads, the block's main path reads too."""
    shared = [readers[graph.node[at].input[0]] > 1 for at in sources]
    return shared.index(True) if any(shared) else 1


def _integer(node: Any, name: str, default: int) -> int:
    found = attribute(node, name)
    return default if found is None else int(found.i)
