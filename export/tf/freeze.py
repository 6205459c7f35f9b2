"""A TensorFlow function as a graph without variables: every function call inlined, small values as constants, and the
large ones beside the graph, so that no message ever holds a network's weights (protobuf ends at 2 GiB, and each of the
steps that follow would copy them)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

SMALL = 16_384
"""Elements. What is smaller stays in the graph, where TensorFlow computes what depends on it alone: the scale and shift
of a batch norm of up to that many channels, shapes, axes."""

# XLA compiles these functions as a whole, and Grappler leaves them alone for that reason. Keras marks grouped
# convolutions, which TensorFlow's CPU kernel does not compute; as a graph they are plain convolutions.
_COMPILED = ("_XlaMustCompile", "_XlaCompile", "_XlaScope", "_XlaSeparateCompiledGradients")
_LOOPS = ("If", "StatelessIf", "While", "StatelessWhile")


@dataclass(frozen=True)
class Frozen:
    """`graph` is a GraphDef; `weights` are the placeholders in it that stand for large constants, by node name;
    `inputs` and `outputs` are tensor names (`node:0`)."""

    graph: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: Mapping[str, NDArray[Any]] = field(default_factory=dict)


def freeze(function: Any) -> Frozen:
    """The graph of a ConcreteFunction. Variables that loops read are constants in the graph, whatever their size."""
    captured = {inner.op.name: outer for outer, inner in function.graph.captures}
    own = [tensor.name for tensor in function.inputs if tensor.op.name not in captured]
    outputs = tuple(tensor.name for tensor in function.outputs)
    graph = _inlined(function)
    if not _only_read(graph, captured):
        return _frozen_by_tensorflow(function)
    weights = dict(_bind(graph, captured))
    return Frozen(graph, tuple(own), outputs, weights)


def _inlined(function: Any) -> Any:
    """The GraphDef with every function call replaced by the function's body, loops left as they are."""
    from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, rewriter_config_pb2
    from tensorflow.python.framework.meta_graph import create_meta_graph_def
    from tensorflow.python.grappler import tf_optimizer

    graph = function.graph.as_graph_def()
    for nodes in (graph.node, *(one.node_def for one in graph.library.function)):
        for node in nodes:
            _plain_call(node)
    for one in graph.library.function:
        for name in (*_COMPILED, "api_implements"):  # the latter is a variant for another device: cuDNN's LSTM
            one.attr.pop(name, None)
    meta = create_meta_graph_def(graph_def=graph)
    fetched = meta_graph_pb2.CollectionDef()
    fetched.node_list.value.extend(tensor.name for tensor in (*function.inputs, *function.outputs))
    meta.collection_def["train_op"].CopyFrom(fetched)
    config = config_pb2.ConfigProto()
    options = config.graph_options.rewrite_options
    options.min_graph_nodes = -1  # small graphs too
    options.optimizers.append("function")
    options.function_optimization = rewriter_config_pb2.RewriterConfig.AGGRESSIVE
    return tf_optimizer.OptimizeGraph(config, meta)


def _plain_call(node: Any) -> None:
    for name in _COMPILED:
        node.attr.pop(name, None)
    if node.op in _LOOPS:
        node.attr["_lower_using_switch_merge"].b = False


def _only_read(graph: Any, captured: Mapping[str, Any]) -> bool:
    """Whether every captured variable is only read, at the top of the graph."""
    handles = _handles(graph, captured)
    readers = ("ReadVariableOp", "Identity")
    return all(node.op in readers or handles.keys().isdisjoint(map(_source, node.input)) for node in graph.node)


def _handles(graph: Any, captured: Mapping[str, Any]) -> dict[str, str]:
    """The nodes that pass on the handle of a captured variable, and which variable's."""
    found = {name: name for name, value in captured.items() if value.dtype.name == "resource"}
    passing = {node.name: _source(node.input[0]) for node in graph.node if node.op == "Identity"}
    for name in passing:
        origin = name
        while origin in passing:
            origin = passing[origin]
        if origin in found:
            found[name] = origin
    return found


def _bind(graph: Any, captured: Mapping[str, Any]) -> Iterator[tuple[str, NDArray[Any]]]:
    """In place: captured values become constants, or placeholders where they are large: those are yielded. A variable
    that is read in several places is one."""
    import tensorflow as tf

    handles = _handles(graph, captured)
    first: dict[str, str] = {}
    for node in graph.node:
        if node.op == "ReadVariableOp":
            origin = handles[_source(node.input[0])]
            dtype = tf.as_dtype(node.attr["dtype"].type)
            if origin in first:
                _become(node, "Identity", inputs=(first[origin],), T=dtype)
                continue
            first[origin] = node.name
            yield from _hold(node, tf.raw_ops.ReadVariableOp(resource=captured[origin], dtype=dtype).numpy())
        elif node.name in captured and node.name not in handles:
            yield from _hold(node, captured[node.name].numpy())
    for node in [node for node in graph.node if node.name in handles]:
        graph.node.remove(node)


def _hold(node: Any, value: NDArray[Any]) -> Iterator[tuple[str, NDArray[Any]]]:
    import tensorflow as tf

    dtype = tf.as_dtype(value.dtype)
    if value.size > SMALL:
        _become(node, "Placeholder", dtype=dtype, shape=value.shape)
        yield node.name, value
    else:
        _become(node, "Const", dtype=dtype, value=value)


def _become(node: Any, op: str, *, inputs: tuple[str, ...] = (), **attributes: Any) -> None:
    """In place: another operation of the same name."""
    import tensorflow as tf

    node.op = op
    del node.input[:]
    node.input.extend(inputs)
    node.attr.clear()
    for name, value in attributes.items():
        attribute = node.attr[name]
        if isinstance(value, tf.DType):
            attribute.type = value.as_datatype_enum
        elif isinstance(value, tuple):
            attribute.shape.CopyFrom(tf.TensorShape(value).as_proto())
        else:
            attribute.tensor.CopyFrom(tf.make_tensor_proto(value))


def _frozen_by_tensorflow(function: Any) -> Frozen:
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    frozen = convert_variables_to_constants_v2(function, lower_control_flow=False, aggressive_inlining=True)
    inputs = tuple(tensor.name for tensor in frozen.inputs)
    return Frozen(frozen.graph.as_graph_def(), inputs, tuple(tensor.name for tensor in frozen.outputs))


def _source(name: str) -> str:
    """The node that an input comes from: `^node` and `node:1` name one too."""
    return name.removeprefix("^").partition(":")[0]
