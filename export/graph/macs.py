"""Multiply-accumulates of single nodes, from the shapes of what they read and make."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

Shape = Sequence[int]

_Count = Callable[[Any, Sequence[Shape], Shape], int]


def of_node(node: Any, inputs: Sequence[Shape], output: Shape) -> int:
    """Multiply-accumulates of one run of a node whose operator is in COUNTED; `inputs` are all of its inputs' shapes,
    () where there is none. Errors: ValueError for a form that is not counted."""
    return COUNTED[node.op_type](node, inputs, output)


def _conv(weight: int) -> _Count:
    """Each output element sums over the kernel and one group's input channels: weight is (M, C / group, k...)."""
    return lambda _, inputs, y: math.prod(y) * math.prod(inputs[weight][1:])


def _conv_transpose(_node: Any, inputs: Sequence[Shape], _y: Shape) -> int:
    """Each input element is spread over the kernel and one group's output channels: weight is (C, M / group, k...)."""
    return math.prod(inputs[0]) * math.prod(inputs[1][1:])


def _gemm(node: Any, inputs: Sequence[Shape], y: Shape) -> int:
    transposed = next((attribute.i for attribute in node.attribute if attribute.name == "transA"), 0)
    return math.prod(y) * inputs[0][0 if transposed else 1]


def _matmul(_node: Any, inputs: Sequence[Shape], y: Shape) -> int:
    return math.prod(y) * inputs[0][-1]


def _einsum(node: Any, inputs: Sequence[Shape], _y: Shape) -> int:
    """The product of the sizes of all letters."""
    equation = next(attribute.s.decode() for attribute in node.attribute if attribute.name == "equation")
    operands = equation.replace(" ", "").partition("->")[0].split(",")
    if len(operands) > 2 or "." in equation:
        raise ValueError(f"Einsum {equation!r} is not counted")
    sizes = dict(zip("".join(operands), [size for shape in inputs for size in shape], strict=True))
    return math.prod(sizes.values()) if len(operands) == 2 else 0


def _recurrent(_node: Any, inputs: Sequence[Shape], _y: Shape) -> int:
    """Every step multiplies by the weights of the input and of the state: (directions, gates * H, I) and (..., H)."""
    steps, batch = inputs[0][0], inputs[0][1]
    return steps * batch * (math.prod(inputs[1]) + math.prod(inputs[2]))


def _unknown(node: Any, _inputs: Sequence[Shape], _y: Shape) -> int:
    raise ValueError(f"{node.op_type} is not counted")


COUNTED: dict[str, _Count] = {
    "Conv": _conv(1),
    "ConvInteger": _conv(1),
    "DeformConv": _conv(1),
    "QLinearConv": _conv(3),
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "QLinearMatMul": _matmul,
    "Einsum": _einsum,
    "RNN": _recurrent,
    "GRU": _recurrent,
    "LSTM": _recurrent,
    "Attention": _unknown,
}
"""The operators that multiply and add along an axis; what works element by element is not counted, as in published
figures."""

WEIGHT_INPUTS = {"ConvInteger": 1, "MatMulInteger": 1, "QLinearConv": 3, "QLinearMatMul": 3, "DequantizeLinear": 0}
"""Which input of an operator on integers is its weight."""
