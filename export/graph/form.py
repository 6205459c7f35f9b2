"""The form of a graph: names, order, batch, and nothing in it that tells of the machine it was made on."""

from __future__ import annotations

import math
import string
from collections.abc import Iterable, Iterator
from typing import Any

from device_agents.contract import Dim, TensorSpec
from export.graph import pads
from export.graph.names import bodies, captured, key_of, subgraphs, tensor_names
from export.request import FREE_BATCH
from profiles.errors import ExportError

_IR_VERSIONS = ((18, 8), (20, 9))  # the highest opset that each serves: onnx.helper.VERSION_TABLE
MAX_IR_VERSION = 10
"""torch stamps 10 and onnx 1.23 14; onnxruntime 1.19, the last for Python 3.8, reads up to 10, and 1.16, the wheel of
JetPack 5, up to 9 (tried). So a graph gets the oldest that its opset has: what younger ones add is stripped."""

SMALL = 4096
"""Elements: a constant up to this size may be a shape or an axis that shape inference must read."""


def sanitise(model: Any) -> None:
    """In place: drop what says where and by which lines of code a graph was made (torch writes absolute paths), and
    recorded shapes, which anyone can infer. The same request then gives the same bytes on every machine, and
    onnxruntime takes the graph for what it is."""
    own = opset(model)
    oldest = next((version for highest, version in _IR_VERSIONS if own <= highest), MAX_IR_VERSION)
    model.ir_version = min(model.ir_version, oldest)
    _strip(model)
    for function in model.functions:
        _strip(function)
        for node in function.node:
            _strip_node(node)
        pads.keep_apart(function)
    _strip_graph(model.graph)


def rename(model: Any, names: dict[str, str]) -> None:
    """In place: give graph inputs, outputs and everything that reads them new names. Errors: ExportError when a new
    name is another tensor's already."""
    taken = tensor_names(model.graph) - names.keys()
    for old, new in names.items():
        if new != old and new in taken:
            raise ExportError(f"{old!r} cannot be called {new!r}: the graph has another tensor of that name")
    for graph in subgraphs(model.graph):
        for node in graph.node:
            for field in (node.input, node.output):
                for index, name in enumerate(field):
                    field[index] = names.get(name, name)
        for value in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
            value.name = names.get(value.name, value.name)


def put_in_order(model: Any) -> None:
    """In place: nodes in the order in which the outputs need them, constants called after the first node that reads
    them. tf2onnx walks sets of objects: its order, which of two equal constants it keeps, and its running number are
    others each time. What no output needs is dropped."""
    import onnx

    graph = model.graph
    nodes = list(_needed_first(graph))
    constants = {tensor.name: tensor for tensor in graph.initializer}
    inside = {name for node in nodes for name in captured(node)}
    names: dict[str, str] = {}
    for node in nodes:
        for index, name in enumerate(node.input):
            if name in constants and name not in inside:
                node.input[index] = names.setdefault(name, f"{node.name}/input_{index}")
    kept = [name for name in constants if name in inside or name in {value.name for value in graph.output}]
    names |= {name: name for name in kept}
    tidy = onnx.GraphProto(name=graph.name, node=nodes, input=graph.input, output=graph.output)
    for old, new in names.items():
        constants[old].name = new
        tidy.initializer.append(constants[old])
    graph.CopyFrom(tidy)


def set_batch(model: Any, batch: Dim) -> None:
    """In place: the first dimension of every input and output: a number, or `batch` for a free one. Errors: ExportError
    naming what has none."""
    for value in (*model.graph.input, *model.graph.output):
        dims = value.type.tensor_type.shape.dim
        if not dims:
            fix = "leave it out of the model's outputs, or give it the samples first"
            raise ExportError(f"{value.name!r} has no dimension, so its first is not the batch", fix=fix)
        first = dims[0]
        if isinstance(batch, int):
            first.dim_value = batch
        else:
            first.dim_param = FREE_BATCH


def specs(values: Any, low: float = 0.0, high: float = 1.0) -> tuple[TensorSpec, ...]:
    """The TensorSpecs of graph inputs or outputs. Errors: ExportError for what is no tensor or has no shape."""
    import onnx

    found = []
    for value in values:
        kind = value.type.tensor_type
        if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
            raise ExportError(f"{value.name!r} is no tensor with a shape")
        shape = tuple(_dim(dim, value.name) for dim in kind.shape.dim)
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name
        found.append(TensorSpec(value.name, dtype, shape, low, high))
    return tuple(found)


def opset(model: Any) -> int:
    """The version of ONNX's own operators that the graph imports, 0 where it imports none: exporters may give another
    than was asked for."""
    return next((int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)


def skeleton(model: Any) -> Any:
    """A copy whose large weights are inputs without values: all that checking and shape inference need to see."""
    import onnx

    copy = onnx.ModelProto()
    graph = onnx.GraphProto()
    # Copied field by field: a deep copy would duplicate the weights first.
    for field in ("ir_version", "producer_name"):
        setattr(copy, field, getattr(model, field))
    copy.opset_import.extend(model.opset_import)
    copy.functions.extend(model.functions)
    graph.name = model.graph.name
    for field in ("node", "input", "output", "value_info"):
        getattr(graph, field).extend(getattr(model.graph, field))
    given = {value.name for value in model.graph.input}
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) <= SMALL:
            graph.initializer.append(tensor)
        elif tensor.name not in given:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    copy.graph.CopyFrom(graph)
    return copy


def _needed_first(graph: Any) -> Iterator[Any]:
    """Every node that the outputs need, after all that it reads itself: depth first, inputs in their order."""
    makers = {name: node for node in graph.node for name in node.output}
    done: set[str] = set()
    for output in graph.output:
        waiting = [(output.name, False)]
        while waiting:
            name, ready = waiting.pop()
            node = makers.get(name)
            if not name or node is None or key_of(node) in done:
                continue
            if ready:
                done.add(key_of(node))
                yield node
            else:
                waiting.append((name, True))
                waiting.extend((source, False) for source in reversed([*node.input, *captured(node)]))


def _dim(dim: Any, name: str) -> Dim:
    if dim.HasField("dim_value"):
        return int(dim.dim_value)
    if dim.dim_param:
        return str(dim.dim_param)
    raise ExportError(f"{name!r} has a dimension with neither size nor name")


def _strip(message: Any) -> None:
    for field in ("doc_string", "metadata_props"):
        if field in message.DESCRIPTOR.fields_by_name:
            message.ClearField(field)


def _strip_node(node: Any) -> None:
    _strip(node)
    if node.op_type == "Einsum":
        _in_small_letters(node)
    for attribute in node.attribute:
        _strip(attribute)
    for graph in bodies(node):
        _strip_graph(graph)


def _in_small_letters(einsum: Any) -> None:
    """As ONNX has equations, and TensorRT reads them; torch writes what its user did. Small letters are kept, and where
    there are more than 26 of both the equation stays as it is."""
    equation = next((one for one in einsum.attribute if one.name == "equation"), None)
    if equation is None:
        return
    text = equation.s.decode()
    great = dict.fromkeys(letter for letter in text if letter.isupper())
    free = [letter for letter in string.ascii_lowercase if letter not in text]
    if len(great) <= len(free):
        equation.s = text.translate(str.maketrans(dict(zip(great, free, strict=False)))).encode()


def _strip_graph(graph: Any) -> None:
    _strip(graph)
    del graph.value_info[:]
    values: Iterable[Any] = (*graph.input, *graph.output, *graph.initializer)
    for value in values:
        _strip(value)
    for node in graph.node:
        _strip_node(node)
    pads.keep_apart(graph)
