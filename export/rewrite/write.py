"""A graph and its weights as a file: the same network gives the same bytes, whatever the order it was made in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.rewrite.net import Net, captured, node_proto

_IR_VERSION = 8  # of opsets 17 and 18 (onnx.helper.VERSION_TABLE); onnxruntime reads no younger one than it knows
_RUNNING_NUMBER = re.compile(r"__\d+")


def write(net: Net, path: Path, *, limit: int = 1_900_000_000) -> None:
    """Write the graph to `path`, its weights into `path`.data when they are over `limit` bytes. Nodes, tensors and
    constants are named after TensorFlow's operations, without tf2onnx's running numbers: the same network gives
    the same bytes."""
    import onnx

    nodes = net.ordered()
    given = {value.name: value.name for value in (*net.inputs, *net.outputs)}
    taken = set(given)
    used: dict[str, str] = {}
    for node in nodes:
        node.name = _unique(_RUNNING_NUMBER.sub("", node.name) or node.op, taken)
        for index, name in enumerate(node.outputs):
            given.setdefault(name, node.name if index == 0 else f"{node.name}:{index}")
        for index, name in enumerate((*node.inputs, *captured(node))):
            if name in net.constants:
                used.setdefault(name, f"{node.name}/input_{index}")
    given |= {**used, "": ""}
    graph = onnx.GraphProto(name="net", input=net.inputs, output=net.outputs)
    graph.node.extend(node_proto(node, given) for node in nodes)
    total = sum(net.constants[name].nbytes for name in used)
    data = path.with_name(path.name + ".data") if total > limit else None
    graph.initializer.extend(_written({new: net.constants[old] for old, new in used.items()}, data))
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", net.opset)])
    model.producer_name, model.ir_version = "tf2onnx", _IR_VERSION
    path.write_bytes(model.SerializeToString(deterministic=True))


def _unique(name: str, taken: set[str]) -> str:
    candidate, count = name, 1
    while candidate in taken:
        candidate, count = f"{name}_{count}", count + 1
    taken.add(candidate)
    return candidate


def _written(constants: Mapping[str, NDArray[Any]], data: Path | None) -> Iterator[Any]:
    """TensorProtos, whose values lie in the file `data` if one is given."""
    import onnx

    if data is None:
        for name, value in constants.items():
            yield onnx.numpy_helper.from_array(np.asarray(value, order="C"), name)
        return
    with data.open("wb") as stream:
        for name, value in constants.items():
            offset = -(-stream.tell() // 4096) * 4096  # whole pages, so that a runtime can map the file
            stream.seek(offset)
            stream.write(np.asarray(value, order="C").tobytes())
            tensor = onnx.TensorProto(name=name, dims=value.shape)
            tensor.data_type = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
            tensor.data_location = onnx.TensorProto.EXTERNAL
            for key, entry in (("location", data.name), ("offset", str(offset)), ("length", str(value.nbytes))):
                tensor.external_data.add(key=key, value=entry)
            yield tensor
