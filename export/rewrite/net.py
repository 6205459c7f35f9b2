"""An ONNX graph that can be rewritten: nodes that know their neighbours, and constants as arrays beside them, so that
weights are in no protobuf message until the file is written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiles.errors import ExportError

Shape = tuple[int | None, ...]
"""None for a dimension that is not known."""

_SMALL = 4096  # elements: a constant up to this size may be a shape that shape inference must read


@dataclass(eq=False)
class Node:
    """One operation. Attributes are Python values; an empty input is one that is left out."""

    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    name: str = ""

    @property
    def output(self) -> str:
        return self.outputs[0]


class Net:
    """Nodes, constants by tensor name, and the shapes that are known. `inputs` and `outputs` are ValueInfoProtos."""

    def __init__(self, proto: Any, weights: Mapping[str, NDArray[Any]]) -> None:
        """`proto` is tf2onnx's ModelProto, in which the tensors of `weights` are inputs without values."""
        import onnx

        graph = proto.graph
        self.opset = max(entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx"))
        self.inputs = [value for value in graph.input if value.name not in weights]
        self.outputs = list(graph.output)
        self.constants: dict[str, NDArray[Any]] = dict(weights)
        self.constants |= {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self.shapes: dict[str, Shape] = {}
        self._readers: dict[str, dict[Node, None]] = {}
        self._makers: dict[str, Node] = {}
        self._nodes: dict[Node, None] = {}
        self._fresh = 0
        for node in graph.node:
            attributes = {entry.name: _attribute_value(entry) for entry in node.attribute}
            self.add(Node(node.op_type, list(node.input), list(node.output), attributes, node.name))

    def __iter__(self) -> Iterator[Node]:
        """The nodes as they are now: the net may be changed meanwhile."""
        return iter([*self._nodes])

    def __contains__(self, node: Node) -> bool:
        return node in self._nodes

    def add(self, node: Node) -> Node:
        self._nodes[node] = None
        for name in (*node.inputs, *captured(node)):
            self._readers.setdefault(name, {})[node] = None
        for name in node.outputs:
            self._makers[name] = node
        return node

    def insert(self, op: str, inputs: list[str], like: Node, **attributes: Any) -> str:
        """A new node with one new output, whose name is returned; it is named after `like`."""
        self._fresh += 1
        output = f"{like.name}/{op}__{self._fresh}:0"
        return self.add(Node(op, inputs, [output], attributes, output.removesuffix(":0"))).output

    def remove(self, node: Node) -> None:
        del self._nodes[node]
        for name in (*node.inputs, *captured(node)):
            self._readers.get(name, {}).pop(node, None)
        for name in node.outputs:
            if self._makers.get(name) is node:
                del self._makers[name]

    def set_inputs(self, node: Node, inputs: list[str]) -> None:
        for name in node.inputs:
            self._readers.get(name, {}).pop(node, None)
        node.inputs = inputs
        for name in (*inputs, *captured(node)):
            self._readers.setdefault(name, {})[node] = None

    def set_outputs(self, node: Node, outputs: list[str]) -> None:
        for name in node.outputs:
            if self._makers.get(name) is node:
                del self._makers[name]
        node.outputs = outputs
        self._makers |= dict.fromkeys(outputs, node)

    def replace(self, old: str, new: str) -> None:
        """Everything that reads the tensor `old` reads `new`. Not for what a graph output is called."""
        for node in self.readers(old):
            if old in captured(node):
                renamed = {
                    key: _renamed(value, {old: new}) for key, value in node.attributes.items() if _is_graph(value)
                }
                self._readers[old].pop(node)
                node.attributes |= renamed
            self.set_inputs(node, [new if name == old else name for name in node.inputs])

    def put(self, value: NDArray[Any], like: str) -> str:
        """A new constant, named after `like`."""
        self._fresh += 1
        name = f"{like.partition(':')[0]}__{self._fresh}"
        self.constants[name] = value
        return name

    def maker(self, name: str) -> Node | None:
        return self._makers.get(name)

    def made_by(self, name: str, *ops: str) -> Node | None:
        """The node that makes this tensor, if it is one of these operations."""
        node = self._makers.get(name)
        return node if node is not None and node.op in ops else None

    def readers(self, name: str) -> list[Node]:
        return [*self._readers.get(name, {})]

    def is_output(self, name: str) -> bool:
        return any(value.name == name for value in self.outputs)

    def only_reader(self, name: str) -> Node | None:
        """The one node that reads this tensor, when nothing else needs it."""
        readers = self.readers(name)
        return readers[0] if len(readers) == 1 and not self.is_output(name) else None

    def scalar(self, name: str) -> float | None:
        """The value of a constant with one element."""
        value = self.constants.get(name)
        return float(value.reshape(())) if value is not None and value.size == 1 else None

    def ints(self, name: str) -> list[int] | None:
        """The elements of a constant of integers."""
        value = self.constants.get(name)
        return [int(item) for item in value.reshape(-1)] if value is not None and value.dtype.kind == "i" else None

    def rank(self, name: str) -> int | None:
        shape = self.shape(name)
        return None if shape is None else len(shape)

    def shape(self, name: str) -> Shape | None:
        constant = self.constants.get(name)
        return constant.shape if constant is not None else self.shapes.get(name)

    def tidy(self) -> None:
        """Drop what no output needs."""
        needed = {value.name for value in self.outputs}
        waiting = [node for name in needed if (node := self._makers.get(name)) is not None]
        kept: dict[Node, None] = {}
        while waiting:
            node = waiting.pop()
            if node in kept:
                continue
            kept[node] = None
            for name in (*node.inputs, *captured(node)):
                needed.add(name)
                maker = self._makers.get(name)
                if maker is not None:
                    waiting.append(maker)
        for node in self:
            if node not in kept:
                self.remove(node)
        self.constants = {name: value for name, value in self.constants.items() if name in needed}

    def infer_shapes(self) -> None:
        """Learn what onnx can tell of every tensor."""
        import onnx

        inferred = onnx.shape_inference.infer_shapes(self._skeleton(), data_prop=True).graph
        self.shapes = {}
        for value in (*inferred.value_info, *inferred.input, *inferred.output):
            kind = value.type.tensor_type
            if kind.HasField("shape"):
                self.shapes[value.name] = tuple(
                    dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim
                )

    def ordered(self) -> list[Node]:
        """Every node after all that it reads: depth first from the outputs, inputs in their order. tf2onnx walks sets
        of objects: its own order is another each time. Errors: ExportError where a node reads what it makes."""
        done: dict[Node, None] = {}
        begun: set[Node] = set()
        for output in self.outputs:
            waiting = [(output.name, False)]
            while waiting:
                name, ready = waiting.pop()
                node = self._makers.get(name)
                if node is None or node in done:
                    continue
                if ready:
                    done[node] = None
                elif node in begun:
                    raise ExportError(f"the graph is a circle: node {node.name!r} reads what is made of its output")
                else:
                    begun.add(node)
                    waiting.append((name, True))
                    waiting.extend((source, False) for source in reversed([*node.inputs, *captured(node)]))
        return [*done]

    def _skeleton(self) -> Any:
        """A ModelProto whose large constants are inputs without values."""
        import onnx

        graph = onnx.GraphProto(name="net")
        graph.node.extend(node_proto(node) for node in self.ordered())
        graph.input.extend(self.inputs)
        graph.output.extend(onnx.ValueInfoProto(name=value.name) for value in self.outputs)
        for name, value in self.constants.items():
            if value.size <= _SMALL:
                graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value, order="C"), name))
            else:
                kind = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
                graph.input.append(onnx.helper.make_tensor_value_info(name, kind, value.shape))
        return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", self.opset)])


def node_proto(node: Node, names: Mapping[str, str] | None = None) -> Any:
    import onnx

    given = names or {}
    proto = onnx.NodeProto(op_type=node.op, name=node.name)
    proto.input.extend(given.get(name, name) for name in node.inputs)
    proto.output.extend(given.get(name, name) for name in node.outputs)
    for key, value in sorted(node.attributes.items()):
        if isinstance(value, onnx.AttributeProto):
            proto.attribute.append(_renamed(value, given))
        else:
            proto.attribute.append(onnx.helper.make_attribute(key, value))
    return proto


def _renamed(attribute: Any, names: Mapping[str, str]) -> Any:
    """A copy of a graph attribute that reads the outer tensors by their new names."""
    import onnx

    copy = onnx.AttributeProto()
    copy.CopyFrom(attribute)
    for node in copy.g.node:
        for index, name in enumerate(node.input):
            node.input[index] = names.get(name, name)
        for index, inner in enumerate(node.attribute):
            if inner.type == onnx.AttributeProto.GRAPH:
                node.attribute[index].CopyFrom(_renamed(inner, names))
    return copy


def _is_graph(value: Any) -> bool:
    import onnx

    return isinstance(value, onnx.AttributeProto)


def _attribute_value(attribute: Any) -> Any:
    """As a Python value; graphs stay messages."""
    import onnx

    if attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
        return attribute
    value = onnx.helper.get_attribute_value(attribute)
    return list(value) if attribute.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS) else value


def captured(node: Node) -> list[str]:
    """The tensors that a loop's or a branch's body may take from around it: every name that it reads."""
    import onnx

    graphs = [value.g for value in node.attributes.values() if isinstance(value, onnx.AttributeProto)]
    return [name for graph in graphs for name in _read_in(graph)]


def _read_in(graph: Any) -> Iterator[str]:
    import onnx

    yield from (value.name for value in graph.output)
    for node in graph.node:
        yield from node.input
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _read_in(attribute.g)


def elements(shape: Shape) -> int:
    """How many, a dimension that is not known taken for one."""
    return math.prod(1 if dim is None else dim for dim in shape)
