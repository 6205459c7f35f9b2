"""FP16 in the graph: what TensorRT 11, which takes precision from the graph alone, reads as a strongly typed network.

Each node computes in one type. It stays in FP32 when it is told to, when ONNX or this pass wants it (see _Plan), and
is FP16 else; a Cast stands where a tensor goes from the one kind to the other, one for all its readers. So types fit
by construction, and there is no pair of Casts that undo each other. onnxconverter_common was tried first (1.16): its
graphs are invalid where a node makes FP32 by itself (swin_t, RAFT), where a node that stays in FP32 shares a weight
with another, and for detectors (Faster R-CNN raises, SSDlite is unsorted); ViT-B/16 takes it 6 s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from export.graph.names import bodies, captured, free_name, key_of, tensor_names
from export.precision.nodes import attribute, element_types, lift_constants, rename_captured, schema_of
from export.precision.overflow import FLOAT16_MAX

_FLOAT, _HALF = 1, 10  # TensorProto.FLOAT and .FLOAT16
_INTEGERS = (6, 7)  # TensorProto.INT32 and .INT64
_SMALLEST = 6e-8  # above 0 in FP16: an epsilon must not become 0

_READS_ANY = ("Cast", "Shape", "Size", "IsInf", "IsNaN")
_SHAPES = ("Shape", "Size")
_RANDOM = ("RandomNormal", "RandomUniform")
_FP32_ALONE = ("MeanVarianceNormalization", "HannWindow", "HammingWindow", "BlackmanWindow", "MelWeightMatrix")
"""ONNX has them in FP16; the functions that it defines them by add FP32 constants, or TensorRT takes no other."""

_RECURRENT = ("LSTM", "GRU", "RNN")
_LENGTHS = 4  # which input of those holds the lengths of sequences
_SCATTERS = ("ScatterND", "ScatterElements")
_MOVERS = ("Expand", "Gather", "Pad", "Reshape", "Slice", "Squeeze", "Tile", "Unsqueeze")


def convert(model: Any, keep: Collection[str] = (), io: str = "model") -> list[str]:
    """In place: from FP32 to FP16. `keep` holds the outputs of nodes that stay in FP32, and graph inputs that do.

    Float inputs and outputs of the graph become FP16 with io "model", but for those in `keep`, and outputs of nodes
    that stay in FP32; with "fp32" all stay FP32. What is no FP32 (pixels, indices) stays what it is. Constants beyond
    FP16 become its ends. Returns a sentence for the operator where nodes stay in FP32 that `keep` does not name.
    Errors: ExportError for a graph whose types cannot be inferred.
    """
    lift_constants(model.graph)
    plan = _Plan(model, frozenset(keep))
    work = _Conversion(model.graph, plan, io)
    work.inputs()
    work.nodes()
    work.outputs()
    work.constants()
    del model.graph.value_info[:]
    told = Counter(node.op_type for node in model.graph.node if key_of(node) in plan.by_rule)
    if not told:
        return []
    names = ", ".join(f"{count} {op}" if count > 1 else op for op, count in sorted(told.items()))
    return [f"computed in FP32, as these have no other form, or work on shapes or indices: {names}"]


class _Plan:
    """Which nodes compute in FP32, by their first output; `by_rule` are those that `keep` does not name.

    By rule: nodes with bodies and what handles sequences (TensorRT runs them apart anyhow), operators outside of ONNX's
    standard, whatever ONNX defines without FP16 (Range, NonMaxSuppression), what is invalid in FP16 or not read by
    TensorRT, and numbers made of shapes and of indices, which are beyond 2048 no longer whole in FP16.
    """

    def __init__(self, model: Any, keep: frozenset[str]) -> None:
        self.keep = keep
        self.types = element_types(model)
        self._model = model
        self._of_shapes: set[str] = set()
        self._of_indices: set[str] = set()
        self._sorted = _sorted(model.graph)
        self._constants = {tensor.name for tensor in model.graph.initializer}
        self.wide: set[str] = set()
        self.by_rule: set[str] = set()
        for node in model.graph.node:
            if not keep.isdisjoint(node.output):
                self.wide.add(key_of(node))
            elif self._must(node):
                self.wide.add(key_of(node))
                if self._is_float(node):
                    self.by_rule.add(key_of(node))

    def wants(self, node: Any, index: int) -> int | None:
        """The type in which the node takes a float as its input of that index; None for any."""
        if node.op_type in _READS_ANY:
            return None
        if key_of(node) in self.wide or not _half_fits(self.schema(node).inputs, index, self.schema(node)):
            return _FLOAT
        return _HALF

    def schema(self, node: Any) -> Any:
        return schema_of(node, self._model)

    def _must(self, node: Any) -> bool:
        if next(bodies(node), None) is not None or node.domain not in ("", "ai.onnx"):
            return True
        if any(self.types.get(name) == 0 for name in (*node.input, *node.output) if name):
            return True
        if self._is_of_shapes(node):
            self._of_shapes.update(node.output)
            return True
        if self._is_of_indices(node):
            self._of_indices.update(node.output)
            return True
        if _is_fp32_alone(node):
            return True
        schema = self.schema(node)
        floats = (index for index, name in enumerate(node.output) if self.types.get(name) == _FLOAT)
        return not all(_half_fits(schema.outputs, index, schema) for index in floats)

    def _is_of_shapes(self, node: Any) -> bool:
        if node.op_type in _SHAPES:
            return True
        if node.op_type == "ConstantOfShape":
            return False
        values = node.input[:1] if node.op_type in _MOVERS else node.input  # the others say where to, or how often
        names = [name for name in values if name and name not in self._constants]
        return bool(names) and self._of_shapes.issuperset(names)

    def _is_of_indices(self, node: Any) -> bool:
        """Whole numbers that are sorted as floats, as where no integers can be: what makes and what moves them."""
        source = node.input[0] if node.input else ""
        if node.op_type == "Cast":
            return self.types.get(source) in _INTEGERS and node.output[0] in self._sorted
        return node.op_type in (*_MOVERS, "TopK") and source in self._of_indices

    def _is_float(self, node: Any) -> bool:
        names = () if node.op_type in _READS_ANY else (*node.input, *node.output)
        return any(self.types.get(name) == _FLOAT for name in names)


@dataclass
class _Conversion:
    """The graph on its way. `made` is the type of each float tensor that is no constant, as it is now."""

    graph: Any
    plan: _Plan
    io: str
    made: dict[str, int] = field(default_factory=dict)
    wanted: dict[str, set[int]] = field(default_factory=dict)  # of constants
    same: dict[str, str] = field(default_factory=dict)  # what a Cast made that is none any more
    added: dict[str, str] = field(default_factory=dict)  # what a tensor is called here, by what it would best be called
    done: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._taken = tensor_names(self.graph)
        self.wanted = {tensor.name: set() for tensor in self.graph.initializer if tensor.data_type == _FLOAT}
        for node in self.graph.node:
            for index, name in enumerate(node.input):
                if name in self.wanted:
                    self.wanted[name].add(self.plan.wants(node, index) or _FLOAT)
            for name in self.wanted.keys() & set(captured(node)):
                self.wanted[name].add(_FLOAT)
        for value in self.graph.output:
            self.wanted.get(value.name, set()).add(_FLOAT)

    def inputs(self) -> None:
        for value in self.graph.input:
            if value.type.tensor_type.elem_type == _FLOAT and value.name not in self.wanted:
                half = self.io == "model" and value.name not in self.plan.keep
                self.made[value.name] = value.type.tensor_type.elem_type = _HALF if half else _FLOAT

    def nodes(self) -> None:
        outputs = {value.name for value in self.graph.output}
        for node in self.graph.node:
            self._connect(node)
            wide = key_of(node) in self.plan.wide
            if not wide:
                _narrow(node)
            for name in node.output:
                if self.plan.types.get(name) == _FLOAT:
                    self.made[name] = _FLOAT if wide else _HALF
            if node.op_type == "Cast" and outputs.isdisjoint(node.output) and self._is_idle(node):
                self.same[node.output[0]] = node.input[0]
            else:
                self.done.append(node)
        nodes = list(self.done)
        del self.graph.node[:]
        self.graph.node.extend(nodes)

    def outputs(self) -> None:
        """The graph's outputs under their own names, in FP32 where they must be."""
        for value in self.graph.output:
            made = self.made.get(value.name)
            if made == _HALF and self.io == "fp32":
                inner = self._called(value.name, "fp16")
                for node in self.graph.node:
                    _rename(node, value.name, inner)
                self.graph.node.append(_cast(inner, value.name, _FLOAT))
            elif made == _HALF:
                value.type.tensor_type.elem_type = _HALF

    def constants(self) -> None:
        for tensor in [tensor for tensor in self.graph.initializer if tensor.name in self.wanted]:
            if self.wanted[tensor.name] == {_FLOAT, _HALF}:
                self.graph.initializer.append(_half(tensor, self._called(tensor.name, "fp16")))
            elif _HALF in self.wanted[tensor.name]:
                tensor.CopyFrom(_half(tensor, tensor.name))

    def _is_idle(self, cast: Any) -> bool:
        """Whether it casts to what its input is: FP16 where a part of the graph was FP16 from the start."""
        source, to = cast.input[0], attribute(cast, "to")
        kind = self.made.get(source, self.plan.types.get(source))
        if to is None or kind != to.i or kind not in (_FLOAT, _HALF):
            return False
        self.made[source] = kind
        return True

    def _connect(self, node: Any) -> None:
        """Give the node its inputs in the types that it wants."""
        for index, name in enumerate(node.input):
            source = self.same.get(name, name)
            node.input[index] = self._as(source, self._wants(node, index, name)) if self._floats(source) else source
        for name in sorted(set(captured(node))):
            source = self.same.get(name, name)
            if self._floats(source):
                source = self._as(source, _HALF if self.plan.types.get(name) == _HALF else _FLOAT)
            if source != name:
                rename_captured(node, name, source)

    def _wants(self, node: Any, index: int, name: str) -> int | None:
        """What was FP16 from the start is read as that, whatever the node computes in."""
        return _HALF if self.plan.types.get(name) == _HALF else self.plan.wants(node, index)

    def _floats(self, name: str) -> bool:
        return name in self.made or name in self.wanted

    def _as(self, name: str, wanted: int | None) -> str:
        if name in self.wanted:  # one that is wanted in both types is there twice
            return self._called(name, "fp16") if wanted == _HALF and _FLOAT in self.wanted[name] else name
        if wanted in (None, self.made[name]):
            return name
        cast = self._called(name, "fp16" if wanted == _HALF else "fp32")
        if cast not in self.made:
            self.made[cast] = int(wanted or 0)
            self.done.append(_cast(name, cast, int(wanted or 0)))
        return cast

    def _called(self, name: str, kind: str) -> str:
        """What the tensor is called in the other type: a graph that was converted before has such names already."""
        wish = f"{name}/{kind}"
        if wish not in self.added:
            self.added[wish] = free_name(wish, self._taken)
            self._taken.add(self.added[wish])
        return self.added[wish]


def _sorted(graph: Any) -> set[str]:
    """What TopK reads, and what that was moved from."""
    makers = {name: node for node in graph.node for name in node.output}
    found = set()
    for node in graph.node:
        maker: Any = node if node.op_type == "TopK" else None
        while maker is not None and maker.input and maker.input[0] not in found:
            found.add(maker.input[0])
            maker = makers.get(maker.input[0])
            maker = maker if maker is not None and maker.op_type in (*_MOVERS, "TopK") else None
    return found


def _is_fp32_alone(node: Any) -> bool:
    """Whether its form in FP16 is invalid, or none that TensorRT reads, though its schema has one."""
    if node.op_type in _RECURRENT:  # TensorRT wants sequences of unlike length in FP32
        return bool([*node.input, *[""] * _LENGTHS][_LENGTHS])
    if node.op_type in _SCATTERS:
        reduction = attribute(node, "reduction")
        return reduction is not None and reduction.s not in (b"", b"none")
    return node.op_type in _FP32_ALONE


def _half_fits(formals: Any, index: int, schema: Any) -> bool:
    """Whether ONNX lets the input or output of that index be FP16."""
    kind = formals[min(index, len(formals) - 1)].type_str
    allowed = next((one.allowed_type_strs for one in schema.type_constraints if one.type_param_str == kind), [kind])
    return "tensor(float16)" in allowed


def _narrow(node: Any) -> None:
    """In place: what the node's attributes say of FP32 becomes FP16, what they leave unsaid included."""
    import onnx

    if node.op_type == "ConstantOfShape" and attribute(node, "value") is None:
        zero = onnx.numpy_helper.from_array(np.zeros(1, np.float32))
        node.attribute.append(onnx.helper.make_attribute("value", zero))
    if node.op_type in _RANDOM and attribute(node, "dtype") is None:
        node.attribute.append(onnx.helper.make_attribute("dtype", _FLOAT))
    for one in node.attribute:
        if one.name in ("to", "dtype", "output_dtype") and one.i == _FLOAT:
            one.i = _HALF
        elif one.HasField("t") and one.t.data_type == _FLOAT:
            one.t.CopyFrom(_half(one.t, one.t.name))


def _rename(node: Any, old: str, new: str) -> None:
    for field_ in (node.input, node.output):
        for index, name in enumerate(field_):
            if name == old:
                field_[index] = new
    rename_captured(node, old, new)


def _cast(source: str, name: str, to: int) -> Any:
    import onnx

    return onnx.helper.make_node("Cast", [source], [name], name=f"{name}/cast", to=to)


def _half(tensor: Any, name: str) -> Any:
    import onnx

    array = onnx.numpy_helper.to_array(tensor)
    ends = np.where(np.isinf(array), array, np.clip(array, -FLOAT16_MAX, FLOAT16_MAX))
    tiny = (np.abs(ends) < _SMALLEST) & (ends != 0)
    half = np.where(tiny, np.copysign(np.float32(_SMALLEST), ends), ends).astype(np.float16)
    return onnx.numpy_helper.from_array(half, name)
