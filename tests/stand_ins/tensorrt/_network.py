"""The network that a parser fills."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence

from . import _layers, _onnx
from ._foundation import DataType, Dims, ILogger
from ._names import ENUMS, VERSION, Played
from ._onnx import Model, Tensor

_NAMES = {
    _onnx.FLOAT: "FLOAT",
    _onnx.DOUBLE: "FLOAT",
    _onnx.FLOAT16: "HALF",
    _onnx.BFLOAT16: "BF16",
    _onnx.INT8: "INT8",
    _onnx.UINT8: "UINT8",
    _onnx.INT32: "INT32",
    _onnx.INT64: "INT64",
    _onnx.BOOL: "BOOL",
}


def dtype_of(number: int) -> Any:
    """TensorRT's type for one of ONNX; before 10, 64-bit integers become 32-bit ones."""
    name = _NAMES.get(number, "")
    if name == "INT64" and not hasattr(DataType, "INT64"):
        name = "INT32"
    return getattr(DataType, name, None)


def creation_flag(name: str, flags: int) -> bool:
    """Whether a flag of NetworkDefinitionCreationFlag is there and set: 11 moved STRONGLY_TYPED to another bit."""
    member = getattr(ENUMS["NetworkDefinitionCreationFlag"], name, None)
    return member is not None and bool(flags >> int(member) & 1)


class ITensor(Played):
    def __init__(self, tensor: Tensor, is_input: bool) -> None:
        self._tensor, self._is_input = tensor, is_input

    name = property(lambda self: self._tensor.name)
    dtype = property(lambda self: dtype_of(self._tensor.dtype))
    shape = property(lambda self: Dims(dim if isinstance(dim, int) and dim > 0 else -1 for dim in self._tensor.dims))
    is_network_input = property(lambda self: self._is_input)
    is_network_output = property(lambda self: not self._is_input)
    is_shape_tensor = property(lambda self: False)
    is_execution_tensor = property(lambda self: True)

    def get_dimension_name(self, index: int) -> str:
        dim = self._tensor.dims[index]
        return dim if isinstance(dim, str) else ""


_KINDS = {
    "Conv": "CONVOLUTION",
    "MatMul": "MATRIX_MULTIPLY",
    "Gemm": "MATRIX_MULTIPLY",
    "Relu": "ACTIVATION",
    "Sigmoid": "ACTIVATION",
    "Add": "ELEMENTWISE",
    "Mul": "ELEMENTWISE",
    "MaxPool": "POOLING",
    "AveragePool": "POOLING",
    "QuantizeLinear": "QUANTIZE",
    "DequantizeLinear": "DEQUANTIZE",
    "Softmax": "SOFTMAX",
    "Constant": "CONSTANT",
    "Cast": "CAST",
}


class ILayer(Played):
    """A node of the graph; the shapes of what lies between nodes are not known here."""

    def __init__(self, node: _onnx.Node, types: Dict[str, int]) -> None:
        self._node, self._types = node, types

    name = property(lambda self: _layers.name_of(self._node))
    num_inputs = property(lambda self: len(self._node.inputs))
    num_outputs = property(lambda self: len(self._node.outputs))
    metadata = property(lambda self: f"[ONNX Layer: {_layers.name_of(self._node)}]")

    @property
    def type(self) -> Any:
        kinds = ENUMS["LayerType"]
        return getattr(kinds, _KINDS.get(self._node.op, "SHUFFLE"), kinds.SHUFFLE)

    def get_input(self, index: int) -> Optional[ITensor]:
        return self._tensor(self._node.inputs, index)

    def get_output(self, index: int) -> Optional[ITensor]:
        return self._tensor(self._node.outputs, index)

    def _tensor(self, names: Sequence[str], index: int) -> Optional[ITensor]:
        if not 0 <= index < len(names) or names[index] not in self._types:
            return None
        return ITensor(Tensor(names[index], self._types[names[index]], ()), False)


class INetworkDefinition(Played):
    def __init__(self, flags: int, logger: ILogger) -> None:
        self._flags, self._logger = flags, logger
        self._name = "Unnamed Network 0"
        self._model: Optional[Model] = None
        self._files: Dict[str, bytes] = {}

    name = property(lambda self: self._name, lambda self, name: setattr(self, "_name", name))
    flags = property(lambda self: self._flags)
    num_inputs = property(lambda self: len(self._parsed("inputs")))
    num_outputs = property(lambda self: len(self._parsed("outputs")))
    num_layers = property(lambda self: len(self._parsed("nodes")))

    @property
    def has_implicit_batch_dimension(self) -> bool:
        return VERSION < (10,) and not creation_flag("EXPLICIT_BATCH", self._flags)

    def get_flag(self, flag: Any) -> bool:
        return bool(self._flags >> int(flag) & 1)

    def get_input(self, index: int) -> ITensor:
        return ITensor(self._parsed("inputs")[index], True)

    def get_output(self, index: int) -> ITensor:
        return ITensor(self._parsed("outputs")[index], False)

    def get_layer(self, index: int) -> ILayer:
        node = self._parsed("nodes")[index]
        return ILayer(node, _onnx.types(self._model))  # type: ignore[arg-type]

    def _parsed(self, what: str) -> List[Any]:
        return [] if self._model is None else list(getattr(self._model, what))
