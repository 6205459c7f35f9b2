"""As much of an ONNX file as errors need: its nodes in order and its opset. Read by hand, as a device has no onnx.

Fields: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto (ModelProto 7 graph, 8 opset_import; GraphProto 1 node;
NodeProto 3 name, 4 op_type; OperatorSetIdProto 1 domain, 2 version).
"""

from __future__ import annotations

from typing import Iterator, NamedTuple, Optional, Tuple, Union

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Node(NamedTuple):
    name: str
    op: str


class Graph(NamedTuple):
    """`nodes` of the main graph; `opset` of ONNX's own operators, None where the file tells none."""

    nodes: Tuple[Node, ...]
    opset: Optional[int]


def read(data: bytes) -> Graph:
    """Empty where `data` is no ONNX file: TensorRT's parser says what is wrong with it."""
    nodes, opset = [], None
    try:
        view = memoryview(data)
        for number, value in _fields(view):
            if number == 7 and isinstance(value, memoryview):
                nodes = [_node(inner) for field, inner in _fields(value) if field == 1]
            elif number == 8 and isinstance(value, memoryview):
                entry = dict(_fields(value))
                if not entry.get(1) and isinstance(entry.get(2), int):
                    opset = entry.get(2)
    except (IndexError, ValueError, TypeError, UnicodeDecodeError):
        return Graph((), None)
    return Graph(tuple(nodes), opset if isinstance(opset, int) else None)


def _node(value: Union[int, memoryview]) -> Node:
    fields = {field: inner for field, inner in _fields(value) if field in (3, 4)}
    return Node(*(bytes(fields.get(field, b"")).decode() for field in (3, 4)))


def _fields(data: Union[int, memoryview]) -> Iterator[Tuple[int, Union[int, memoryview]]]:
    """Number and value of each field of a message: an integer, or the bytes. Errors: ValueError, IndexError,
    TypeError."""
    if isinstance(data, int):
        raise TypeError("a number where a message belongs")
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield key >> 3, value
        elif kind == _BYTES:
            size, at = _varint(data, at)
            if at + size > len(data):
                raise ValueError("cut")
            yield key >> 3, data[at : at + size]
            at += size
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind}")


def _varint(data: memoryview, at: int) -> Tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
