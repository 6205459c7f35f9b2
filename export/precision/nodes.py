"""What the precision passes ask of a graph and its nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from export import graph as graphs
from export.graph.names import bodies, key_of
from profiles.errors import ExportError

_NUMBERS = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}


def name_of(node: Any) -> str:
    """Exporters leave some nodes without a name; the tensor that a node makes is unique."""
    return str(node.name or key_of(node))


def expect_opset(model: Any, least: int, what: str) -> None:
    """Errors: ExportError for a graph of an older opset than what is to be done with it takes."""
    given = graphs.opset(model)
    if given < least:
        message = f"the graph has opset {given}; {what} wants {least}"
        raise ExportError(message, fix="make the file anew with a higher opset", stage="precision")


def rename_captured(node: Any, old: str, new: str) -> None:
    """In place: the node's bodies read `new`. (A name is one tensor in all nested graphs, says ONNX's IR.)"""
    for body in bodies(node):
        for inner in body.node:
            for index, name in enumerate(inner.input):
                if name == old:
                    inner.input[index] = new
            rename_captured(inner, old, new)
        for value in body.output:
            if value.name == old:
                value.name = new


def attribute(node: Any, name: str) -> Any | None:
    return next((one for one in node.attribute if one.name == name), None)


def lift_constants(graph: Any) -> None:
    """In place: a Constant that holds numbers becomes an initializer, so that a weight is one thing and not two."""
    import onnx

    for node in [node for node in graph.node if node.op_type == "Constant"]:
        held = node.attribute[0]
        if held.HasField("t"):
            tensor = onnx.TensorProto()
            tensor.CopyFrom(held.t)
            tensor.name = node.output[0]
        elif held.name in _NUMBERS:
            array = np.array(onnx.helper.get_attribute_value(held), _NUMBERS[held.name])
            tensor = onnx.numpy_helper.from_array(array, node.output[0])
        else:
            continue
        graph.initializer.append(tensor)
        graph.node.remove(node)


def element_types(model: Any) -> dict[str, int]:
    """The TensorProto type of every tensor of the outermost graph; 0 for what is no tensor but a sequence of them.

    Errors: ExportError for a tensor whose type is not to be found out.
    """
    import onnx

    light = graphs.skeleton(model)
    del light.graph.value_info[:]  # exporters leave some that are wrong
    inferred = onnx.shape_inference.infer_shapes(light).graph
    values = (*inferred.value_info, *inferred.input, *inferred.output)
    types = {value.name: int(value.type.tensor_type.elem_type) for value in values}
    types |= {tensor.name: int(tensor.data_type) for tensor in model.graph.initializer}
    for node in model.graph.node:
        for index, name in enumerate(node.output):
            if name and name not in types:
                types[name] = _type_like_an_input(node, index, types, model)
    return types


def schema_of(node: Any, model: Any) -> Any:
    """What ONNX says of the operator in the graph's opset."""
    import onnx

    domain = "" if node.domain == "ai.onnx" else node.domain
    version = next(entry.version for entry in model.opset_import if entry.domain.removeprefix("ai.onnx") == domain)
    return onnx.defs.get_schema(node.op_type, version, domain)


def _type_like_an_input(node: Any, index: int, types: dict[str, int], model: Any) -> int:
    """onnx infers nothing of operators that it defines by others, where a shape is unknown: GroupNormalization."""
    if node.domain in ("", "ai.onnx"):
        schema = schema_of(node, model)
        formals = [formal.type_str for formal in schema.inputs]
        made = schema.outputs[min(index, len(schema.outputs) - 1)].type_str
        cast = attribute(node, "to")
        if cast is not None:
            return int(cast.i)
        like = (types.get(name) for name, formal in zip(node.input, formals, strict=False) if formal == made)
        found = next((kind for kind in like if kind is not None), None)
        if found is not None:
            return found
    message = f"the type of {node.output[index]!r} is not to be inferred"
    raise ExportError(message, where=f"node {name_of(node)!r} ({node.op_type})", stage="precision")
