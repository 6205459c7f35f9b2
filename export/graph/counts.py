"""What a graph costs: operations, parameters, bytes. A count that fails is None with its reason, and fails nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from device_agents.contract import TensorSpec
from export.artifact import GraphFacts
from export.data.golden import Arrays
from export.graph import macs
from export.graph.checks import nodes
from export.graph.files import load, weight_bytes
from export.graph.form import opset, skeleton, specs
from export.graph.names import subgraphs
from export.graph.profile import Executed, profile

Shapes = Mapping[str, list[int]]


def facts(path: Path, golden: Arrays | None = None, sizes: Mapping[str, int] | None = None) -> GraphFacts:
    """What the graph at `path` costs for one sample. `sizes` are of free dimensions, 1 where it names none.

    Shapes come from inference, or, where that does not find them, and in loops, from a run on the first samples of
    `golden`: what a detector's head computes depends on what it is given.
    """
    model = load(path)
    costs = _Costs(model, path, golden, dict(sizes or {}))
    unknown: dict[str, str] = {}
    return GraphFacts(
        macs=_or_unknown(costs.macs, "macs", unknown),
        parameters=sum(math.prod(tensor.dims) for tensor in _weights(model)),
        nodes=sum(1 for _ in nodes(model)),
        transposes=sum(node.op_type == "Transpose" for node in nodes(model)),
        opset=opset(model),
        weight_bytes=weight_bytes(model),
        input_bytes=_or_unknown(costs.input_bytes, "input_bytes", unknown),
        output_bytes=_or_unknown(costs.output_bytes, "output_bytes", unknown),
        activation_bytes=_or_unknown(costs.activation_bytes, "activation_bytes", unknown),
        unknown=unknown,
    )


def _or_unknown(count: Any, name: str, unknown: dict[str, str]) -> int | None:
    try:
        return int(count())
    except Exception as error:  # noqa: BLE001  onnx's and onnxruntime's have no common base, and no export fails of it
        lines = str(error).strip().splitlines() or [type(error).__name__]
        unknown[name] = lines[0][:300]
        return None


@dataclass
class _Costs:
    model: Any
    path: Path
    golden: Arrays | None
    sizes: dict[str, int]
    _run: Executed | None = None

    def macs(self) -> int:
        counted = [node for node in nodes(self.model) if node.op_type in macs.COUNTED]
        inner = {id(node) for graph in list(subgraphs(self.model.graph))[1:] for node in graph.node}
        shapes = self._inferred()
        needed = {name for node in counted for name in (*filter(None, node.input), node.output[0])}
        if needed - shapes.keys() or any(id(node) in inner for node in counted):
            total = sum(macs.of_node(*one) for one in self._executed().calls)
        else:
            total = sum(
                macs.of_node(node, [shapes.get(name, []) for name in node.input], shapes[node.output[0]])
                for node in counted
            )
        return total // self._batch()

    def input_bytes(self) -> int:
        total: int = sum(_bytes(spec, self._fixed(spec)) for spec in specs(self.model.graph.input))
        return total // self._batch()

    def output_bytes(self) -> int:
        shapes = self._inferred()
        wanted = [value.name for value in self.model.graph.output]
        if not all(name in shapes for name in wanted):
            return sum(int(array.nbytes) for array in self._executed().outputs.values()) // self._batch()
        found = {spec.name: spec for spec in specs(self.model.graph.output)}
        return sum(_bytes(found[name], shapes[name]) for name in wanted) // self._batch()

    def activation_bytes(self) -> int:
        """Of every tensor that a node of the outer graph makes."""
        values, _ = self._values()
        made = {name for node in self.model.graph.node for name in node.output if name}
        sizes = {value.name: _value_bytes(value) for value in values if _known_shape(value) is not None}
        if not made <= sizes.keys():
            raise ValueError("the shapes of its tensors depend on its inputs")
        return sum(sizes[name] for name in made) // self._batch()

    def _batch(self) -> int:
        first = specs(self.model.graph.input)[0]
        return self._fixed(first)[0] if first.shape else 1

    def _fixed(self, spec: TensorSpec) -> list[int]:
        return [dim if isinstance(dim, int) else self.sizes.get(dim, 1) for dim in spec.shape]

    def _inferred(self) -> dict[str, list[int]]:
        """Shapes at the sizes that were asked for, of all tensors of the outer graph for which they can be told."""
        values, weights = self._values()
        shapes = {value.name: shape for value in values if (shape := _known_shape(value)) is not None}
        return shapes | {tensor.name: list(tensor.dims) for tensor in weights}

    def _values(self) -> tuple[list[Any], Any]:
        """All tensors of the outer graph with what inference tells of them, and its weights."""
        import onnx

        small = skeleton(self.model)
        for value in small.graph.input:
            for dim in value.type.tensor_type.shape.dim:
                if not dim.HasField("dim_value"):
                    dim.dim_value = self.sizes.get(dim.dim_param, 1)
        for value in small.graph.output:  # what is declared for all sizes must not speak for this one
            value.type.tensor_type.ClearField("shape")
        del small.graph.value_info[:]
        inferred = onnx.shape_inference.infer_shapes(small, data_prop=True).graph
        return [*inferred.value_info, *inferred.input, *inferred.output], inferred.initializer

    def _executed(self) -> Executed:
        if self._run is None:
            self._run = profile(self.model, self._feed())
        return self._run

    def _feed(self) -> dict[str, Any]:
        """As many samples of the golden inputs as one run takes."""
        if self.golden is None:
            raise ValueError("its shapes depend on its inputs, and there is none to try")
        feed = {}
        for spec in specs(self.model.graph.input):
            shape = self._fixed(spec)
            given = np.asarray(self.golden[spec.name])
            if list(given.shape[1:]) != shape[1:]:
                raise ValueError(f"its shapes depend on its inputs, and the golden ones are {list(given.shape[1:])}")
            feed[spec.name] = np.take(given, range(shape[0]), axis=0, mode="wrap").astype(spec.dtype)
        return feed


def _bytes(spec: TensorSpec, shape: list[int]) -> int:
    return int(math.prod(shape) * np.dtype(spec.dtype).itemsize)


def _value_bytes(value: Any) -> int:
    from onnx import helper

    kind = value.type.tensor_type
    itemsize = np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type)).itemsize
    return int(math.prod(_known_shape(value) or ()) * itemsize)


def _weights(model: Any) -> Iterator[Any]:
    """Floats of more than one element, and the integers that a quantised operator takes for them: not the shapes and
    axes that exporters add, nor the scales of quantisation."""
    import onnx

    types = onnx.TensorProto
    floats = (types.FLOAT, types.FLOAT16, types.DOUBLE, types.BFLOAT16)
    whole, scales = set(), set()
    for node in nodes(model):
        position = macs.WEIGHT_INPUTS.get(node.op_type)
        if position is not None and position < len(node.input):
            whole.add(node.input[position])
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            scales.add(node.input[1])
    for graph in subgraphs(model.graph):
        for tensor in graph.initializer:
            is_float = tensor.data_type in floats and math.prod(tensor.dims) > 1 and tensor.name not in scales
            if is_float or (tensor.name in whole and tensor.data_type not in floats):
                yield tensor


def _known_shape(value: Any) -> list[int] | None:
    kind = value.type.tensor_type
    if not kind.HasField("shape") or not all(dim.HasField("dim_value") for dim in kind.shape.dim):
        return None
    return [dim.dim_value for dim in kind.shape.dim]
