"""Just enough of ONNX to play a parser: nodes, tensors and types, read from the protobuf bytes (onnx.proto3)."""

from __future__ import annotations

from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple, Union

FLOAT, UINT8, INT8, INT32, INT64, STRING, BOOL, FLOAT16, DOUBLE, BFLOAT16 = 1, 2, 3, 6, 7, 8, 9, 10, 11, 16
FLOATING = (FLOAT, FLOAT16, DOUBLE, BFLOAT16)

Field = Tuple[int, Union[int, bytes]]
Dims = Tuple[Union[int, str], ...]


class Node(NamedTuple):
    name: str
    op: str
    domain: str
    inputs: Tuple[str, ...]
    outputs: Tuple[str, ...]
    integers: Dict[str, int]
    tensor: int
    """The type of the tensor that a Constant holds, else 0."""


class Tensor(NamedTuple):
    name: str
    dtype: int
    dims: Dims


class Model(NamedTuple):
    opset: int
    nodes: List[Node]
    inputs: List[Tensor]
    outputs: List[Tensor]
    initializers: Dict[str, int]
    """Type by name."""
    external: List[str]
    """File names of weights that are not in these bytes."""
    weights_bytes: int


def read(data: bytes) -> Model:
    """Errors: ValueError for what is no ONNX model."""
    graph: Optional[bytes] = None
    opset = 0
    for number, value in _fields(data):
        if number == 7:
            graph = _bytes(value)
        if number == 8:
            entry = dict(_fields(_bytes(value)))
            if not entry.get(1):
                opset = int(entry.get(2, 0))
    if graph is None or not opset:
        raise ValueError("no graph")
    return _graph(graph, opset)


def _graph(data: bytes, opset: int) -> Model:
    nodes, inputs, outputs, initializers, external = [], [], [], {}, []
    size = 0
    for number, value in _fields(data):
        if number == 1:
            nodes.append(_node(_bytes(value)))
        elif number == 5:
            name, dtype, location, count = _initializer(_bytes(value))
            initializers[name] = dtype
            external += [location] if location else []
            size += count
        elif number in (11, 12):
            (inputs if number == 11 else outputs).append(_value_info(_bytes(value)))
    inputs = [tensor for tensor in inputs if tensor.name not in initializers]
    return Model(opset, nodes, inputs, outputs, initializers, sorted(set(external)), size)


def _node(data: bytes) -> Node:
    texts = {1: [], 2: [], 3: [], 4: [], 7: []}  # type: Dict[int, List[str]]
    integers, tensor = {}, 0
    for number, value in _fields(data):
        if number in texts:
            texts[number].append(_bytes(value).decode())
        elif number == 5:
            attribute = dict(_fields(_bytes(value)))
            if isinstance(attribute.get(3), int):
                integers[_bytes(attribute[1]).decode()] = int(attribute[3])
            if 5 in attribute:
                tensor = _initializer(_bytes(attribute[5]))[1]
    one = {number: (found or [""])[0] for number, found in texts.items()}
    return Node(one[3], one[4], one[7], tuple(texts[1]), tuple(texts[2]), integers, tensor)


def _initializer(data: bytes) -> Tuple[str, int, str, int]:
    """Name, type, external file or '', bytes held here."""
    name, dtype, location, size = "", 0, "", 0
    for number, value in _fields(data):
        if number == 2:
            dtype = int(value)
        elif number == 8:
            name = _bytes(value).decode()
        elif number == 13:
            entry = {key: _bytes(text).decode() for key, text in _fields(_bytes(value))}
            location = entry.get(2, "") if entry.get(1) == "location" else location
        elif number != 1 and isinstance(value, bytes):
            size += len(value)
    return name, dtype, location, size


def _value_info(data: bytes) -> Tensor:
    name, dtype, dims = "", 0, []  # type: Tuple[str, int, List[Union[int, str]]]
    for number, value in _fields(data):
        if number == 1:
            name = _bytes(value).decode()
        if number == 2:
            tensor = dict(_fields(_bytes(value))).get(1, b"")
            fields = dict(_fields(_bytes(tensor)))
            dtype = int(fields.get(1, 0))
            for _, dim in _fields(_bytes(fields.get(2, b""))):
                entry = dict(_fields(_bytes(dim)))
                dims.append(_bytes(entry[2]).decode() if 2 in entry else int(entry.get(1, 0)))
    return Tensor(name, dtype, tuple(dims))


def _bytes(value: Union[int, bytes]) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where bytes belong")  # noqa: TRY004 - of the data, not of the program
    return value


def _fields(data: bytes) -> Iterator[Field]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        size, at = {1: (8, at), 5: (4, at)}[kind] if kind in (1, 5) else _varint(data, at)
        if kind not in (1, 2, 5) or at + size > len(data):
            raise ValueError("no protobuf")
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> Tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("no protobuf")
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at


def types(model: Model) -> Dict[str, int]:
    """The element type of every tensor, by the operators' common rules."""
    found = {**{tensor.name: tensor.dtype for tensor in model.inputs}, **model.initializers}
    for node in model.nodes:
        for output in node.outputs:
            found[output] = _output_type(node, found)
    return {**found, **{tensor.name: tensor.dtype for tensor in model.outputs}}


def _output_type(node: Node, found: Dict[str, int]) -> int:
    given = [found[name] for name in node.inputs if name in found]
    if node.op == "Cast":
        return node.integers.get("to", FLOAT)
    if node.op in ("Constant", "ConstantOfShape"):
        return node.tensor or FLOAT
    if node.op == "QuantizeLinear":
        return given[2] if len(given) > 2 else UINT8
    if node.op == "DequantizeLinear":
        return given[1] if len(given) > 1 else FLOAT
    if node.op in ("Equal", "Greater", "Less", "Not", "And", "Or", "GreaterOrEqual", "LessOrEqual", "IsNaN"):
        return BOOL
    if node.op in ("Shape", "Size", "ArgMax", "ArgMin", "NonZero"):
        return INT64
    if node.op == "Where":
        given = given[1:]
    return next((dtype for dtype in given if dtype in FLOATING), (given or [FLOAT])[0])
