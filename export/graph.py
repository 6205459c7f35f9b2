"""ONNX graphs as data: made reproducible, named, counted. No graph is run here."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from device_agents.contract import Dim, TensorSpec
from export.artifact import FREE_BATCH, GraphFacts
from profiles.errors import ExportError

_IR_VERSIONS = ((18, 8), (20, 9))  # the highest opset that each serves: onnx.helper.VERSION_TABLE
MAX_IR_VERSION = 10
"""torch stamps 10 and onnx 1.23 14; onnxruntime 1.19, the last for Python 3.8, reads up to 10, and 1.16, the wheel of
JetPack 5, up to 9 (tried). So a graph gets the oldest that its opset has: what younger ones add is stripped."""

MAX_BYTES = (2 << 30) - 1  # protobuf's limit

_SMALL = 4096  # elements: a constant up to this size may be a shape or an axis that shape inference must read


def sanitise(model: Any) -> None:
    """In place: drop what says where and by which lines of code a graph was made (torch writes absolute paths), and
    recorded shapes, which anyone can infer. The same request then gives the same bytes on every machine."""
    own = opset(model)
    oldest = next((version for highest, version in _IR_VERSIONS if own <= highest), MAX_IR_VERSION)
    model.ir_version = min(model.ir_version, oldest)
    _strip(model)
    for function in model.functions:
        _strip(function)
        for node in function.node:
            _strip_node(node)
    _strip_graph(model.graph)


def rename(model: Any, names: dict[str, str]) -> None:
    """In place: give graph inputs, outputs and everything that reads them new names."""
    for node in model.graph.node:
        for field in (node.input, node.output):
            for index, name in enumerate(field):
                field[index] = names.get(name, name)
    for value in (*model.graph.input, *model.graph.output):
        value.name = names.get(value.name, value.name)


def put_in_order(model: Any) -> None:
    """In place: nodes in the order in which the outputs need them, constants called after the first node that reads
    them. tf2onnx walks sets of objects: its order, which of two equal constants it keeps, and its running number are
    others each time. What no output needs is dropped."""
    import onnx

    graph = model.graph
    nodes = list(_needed_first(graph))
    constants = {tensor.name: tensor for tensor in graph.initializer}
    names: dict[str, str] = {}
    for node in nodes:
        for index, name in enumerate(node.input):
            if name in constants:
                node.input[index] = names.setdefault(name, f"{node.name}/input_{index}")
    tidy = onnx.GraphProto(name=graph.name, node=nodes, input=graph.input, output=graph.output)
    for old, new in names.items():
        constants[old].name = new
        tidy.initializer.append(constants[old])
    graph.CopyFrom(tidy)


def _needed_first(graph: Any) -> Iterator[Any]:
    """Every node that the outputs need, after all that it reads itself: depth first, inputs in their order."""
    makers = {name: node for node in graph.node for name in node.output}
    done: set[str] = set()
    for output in graph.output:
        waiting = [(output.name, False)]
        while waiting:
            name, ready = waiting.pop()
            node = makers.get(name)
            if node is None or node.output[0] in done:
                continue
            if ready:
                done.add(node.output[0])
                yield node
            else:
                waiting.append((name, True))
                waiting.extend((source, False) for source in reversed(node.input))


def set_batch(model: Any, batch: Dim) -> None:
    """In place: the first dimension of every input and output: a number, or `batch` for a free one."""
    for value in (*model.graph.input, *model.graph.output):
        first = value.type.tensor_type.shape.dim[0]
        if isinstance(batch, int):
            first.dim_value = batch
        else:
            first.dim_param = FREE_BATCH


def check(model: Any) -> bytes:
    """The serialised graph, after onnx's own full check. Errors: ExportError when it is invalid or over 2 GiB."""
    import onnx

    if model.ByteSize() > MAX_BYTES:
        raise ExportError(f"the graph has {model.ByteSize() / 2**30:.1f} GiB; ONNX in one file holds 2 GiB")
    try:
        onnx.checker.check_model(skeleton(model))
        return bytes(model.SerializeToString(deterministic=True))
    except onnx.checker.ValidationError as error:
        reason = next(iter(str(error).strip().splitlines()), "no reason given")
        raise ExportError(f"not a valid ONNX graph ({reason})") from None


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


def facts(model: Any) -> GraphFacts:
    """What the graph costs for one sample. Errors: ExportError when a shape that is needed cannot be inferred."""
    graph = model.graph
    batch = graph.input[0].type.tensor_type.shape.dim[0].dim_value or 1  # 0: it is free
    return GraphFacts(
        macs=sum(count_macs(model)) // batch,
        parameters=sum(math.prod(tensor.dims) for tensor in graph.initializer if _is_weight(tensor)),
        nodes=len(graph.node),
        transposes=sum(node.op_type == "Transpose" for node in graph.node),
        opset=opset(model),
    )


def opset(model: Any) -> int:
    """The version of ONNX's own operators that the graph imports, 0 where it imports none: exporters may give another
    than was asked for."""
    return next((int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)


def count_macs(model: Any) -> Iterator[int]:
    """Multiply-accumulates for one run, free dimensions at 1, of each Conv, ConvTranspose, Gemm, MatMul and Einsum."""
    import onnx

    small = skeleton(model)
    for value in (*small.graph.input, *small.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if not dim.HasField("dim_value"):
                dim.dim_value = 1
    del small.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(small, data_prop=True).graph
    values = (*inferred.value_info, *inferred.input, *inferred.output)
    shapes = {value.name: shape for value in values if (shape := _known_shape(value)) is not None}
    shapes |= {tensor.name: list(tensor.dims) for tensor in inferred.initializer}
    count = {"Conv": _conv, "ConvTranspose": _conv_transpose, "Gemm": _gemm, "MatMul": _matmul, "Einsum": _einsum}
    counted = [node for node in inferred.node if node.op_type in count]
    tensors = {name for node in counted for name in (*node.input[:2], node.output[0])}
    shapes |= _measured_shapes(model, sorted(name for name in tensors if name not in shapes))
    for node in counted:
        a, b, y = (shapes[name] for name in (*node.input[:2], node.output[0]))
        yield count[node.op_type](node, a, b, y)


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
        if math.prod(tensor.dims) <= _SMALL:
            graph.initializer.append(tensor)
        elif tensor.name not in given:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    copy.graph.CopyFrom(graph)
    return copy


def _measured_shapes(model: Any, names: list[str]) -> dict[str, list[int]]:
    """Shapes that inference does not find (Swin's windows are computed in the graph), from a run on zeros."""
    import numpy as np
    import onnx
    import onnxruntime

    if not names:
        return {}
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    exposed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(exposed.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feed = {
        spec.name: np.zeros([dim if isinstance(dim, int) else 1 for dim in spec.shape], spec.dtype)
        for spec in specs(model.graph.input)
    }
    return {name: list(value.shape) for name, value in zip(names, session.run(names, feed), strict=True)}


def _conv(_node: Any, _x: list[int], weight: list[int], y: list[int]) -> int:
    """Each output element sums over the kernel and one group's input channels: weight is (M, C / group, k...)."""
    return math.prod(y) * math.prod(weight[1:])


def _conv_transpose(_node: Any, x: list[int], weight: list[int], _y: list[int]) -> int:
    """Each input element is spread over the kernel and one group's output channels: weight is (C, M / group, k...)."""
    return math.prod(x) * math.prod(weight[1:])


def _gemm(node: Any, a: list[int], _b: list[int], y: list[int]) -> int:
    transposed = next((attribute.i for attribute in node.attribute if attribute.name == "transA"), 0)
    return math.prod(y) * (a[0] if transposed else a[1])


def _matmul(_node: Any, a: list[int], _b: list[int], y: list[int]) -> int:
    return math.prod(y) * a[-1]


def _einsum(node: Any, a: list[int], b: list[int], _y: list[int]) -> int:
    """The product of the sizes of all letters. Errors: ExportError for more than two operands or an ellipsis."""
    equation = next(attribute.s.decode() for attribute in node.attribute if attribute.name == "equation")
    operands = equation.replace(" ", "").partition("->")[0].split(",")
    if len(operands) != 2 or "." in equation:
        raise ExportError(f"Einsum {equation!r} is not counted")
    sizes = dict(zip("".join(operands), [*a, *b], strict=True))
    return math.prod(sizes.values())


def _is_weight(tensor: Any) -> bool:
    """Floating-point constants of more than one element: not the shapes and axes that exporters add."""
    import onnx

    kinds = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16)
    return tensor.data_type in kinds and math.prod(tensor.dims) > 1


def _known_shape(value: Any) -> list[int] | None:
    kind = value.type.tensor_type
    if not kind.HasField("shape") or not all(dim.HasField("dim_value") for dim in kind.shape.dim):
        return None
    return [dim.dim_value for dim in kind.shape.dim]


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
    for attribute in node.attribute:
        _strip(attribute)
        for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            _strip_graph(graph)


def _strip_graph(graph: Any) -> None:
    _strip(graph)
    del graph.value_info[:]
    for value in (*graph.input, *graph.output, *graph.initializer):
        _strip(value)
    for node in graph.node:
        _strip_node(node)
