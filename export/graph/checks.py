"""What is wrong with a graph, in one sentence that names the node or the weight."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from export.graph.files import tensors
from export.graph.form import opset, skeleton
from export.graph.names import subgraphs
from profiles.errors import ExportError

_EVAL = "make the model ready for inference before it is exported: model.eval() in PyTorch"
_STANDARD = ("", "ai.onnx")
_LINEAR = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization", "LayerNormalization"})
"""What infinity in a weight would make useless; elsewhere it may be meant: masks of attention hold it."""

_AT_ONCE = 1 << 24


def check(model: Any) -> None:
    """Errors: ExportError with the words of onnx's own checker. Weights are not looked at."""
    reason = why_invalid(model)
    if reason is not None:
        raise ExportError(f"not a valid ONNX graph ({reason})")


def why_invalid(model: Any) -> str | None:
    """What onnx's checker has against the graph, or None."""
    import onnx

    try:
        onnx.checker.check_model(skeleton(model))
    except onnx.checker.ValidationError as error:
        return next(iter(str(error).strip().splitlines()), "no reason given")
    return None


def refuse_bad(model: Any) -> None:
    """Errors: ExportError for a graph that cannot become an artifact: no inputs, no outputs, operators that ONNX does
    not have, weights that are not finite."""
    constants = {tensor.name for tensor in model.graph.initializer}
    if all(value.name in constants for value in model.graph.input):
        raise ExportError("the graph takes no input", fix="an artifact is timed on inputs, so it needs one")
    if not model.graph.output:
        raise ExportError("the graph gives no output", fix="mark at least one tensor as an output")
    _refuse_unknown(model)
    finite = {name for node in nodes(model) if node.op_type in _LINEAR for name in node.input[1:]}
    for tensor in tensors(model):
        _refuse_not_finite(tensor, infinite_too=tensor.name in finite)


def refuse_training(model: Any) -> None:
    """Errors: ExportError naming the first node in training mode: it would use the statistics of the batch, or drop
    values at random."""
    import onnx

    old = opset(model) < 14
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    constants |= {node.output[0]: node.attribute[0].t for node in nodes(model) if _is_tensor_constant(node)}
    for node in nodes(model):
        if node.op_type == "BatchNormalization":
            training = any(node.output[1:]) if old else _integer(node, "training_mode")
        elif node.op_type == "Dropout" and len(node.input) > 2 and node.input[2] in constants:
            training = bool(onnx.numpy_helper.to_array(constants[node.input[2]]).any())
        else:
            continue
        if training:
            raise ExportError(f"node {_name(node)!r} ({node.op_type}) is in training mode", fix=_EVAL)


def nodes(model: Any) -> Iterator[Any]:
    """Every node, those of inner graphs included."""
    for graph in subgraphs(model.graph):
        yield from graph.node


def infer_output_shapes(model: Any) -> None:
    """In place: give outputs without a shape, or with nameless dimensions, what shape inference finds. A first
    dimension that stays unknown is taken for the batch where the inputs have a free one. Errors: ExportError naming an
    output whose rank cannot be inferred."""
    import onnx

    try:
        inferred = onnx.shape_inference.infer_shapes(skeleton(model), data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise ExportError(f"its shapes contradict each other ({str(error).splitlines()[0][:300]})") from None
    found = {value.name: value for value in inferred.graph.output}
    for value in model.graph.output:
        if _is_complete(value):
            continue
        other = found[value.name]
        if not other.type.HasField("tensor_type") or not other.type.tensor_type.HasField("shape"):
            fix = "declare its shape in the model, or leave the output out"
            raise ExportError(f"the shape of output {value.name!r} cannot be inferred", fix=fix)
        value.type.CopyFrom(other.type)
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if not dim.HasField("dim_value") and not dim.dim_param:
                dim.dim_param = _free_batch(model) if axis == 0 and _free_batch(model) else f"{value.name}_{axis}"


def _is_complete(value: Any) -> bool:
    kind = value.type.tensor_type
    known = kind.HasField("shape") and kind.elem_type
    return bool(known) and all(dim.HasField("dim_value") or dim.dim_param for dim in kind.shape.dim)


def _free_batch(model: Any) -> str:
    dims = model.graph.input[0].type.tensor_type.shape.dim
    return str(dims[0].dim_param) if dims else ""


def _refuse_unknown(model: Any) -> None:
    """Operators of another domain are of one runtime, and no fleet has only that one."""
    import onnx

    own = {(function.domain, function.name) for function in model.functions}
    versions = {entry.domain: entry.version for entry in model.opset_import}
    for node in nodes(model):
        if (node.domain, node.op_type) in own:
            continue
        named = f"node {_name(node)!r} is a {node.op_type}"
        if node.domain not in _STANDARD and not onnx.defs.has(node.op_type, node.domain):
            fix = "export it with standard operators, or with a symbolic function for this one"
            raise ExportError(f"{named} of {node.domain}, which is no operator of ONNX", fix=fix)
        domain = "" if node.domain in _STANDARD else node.domain
        version = opset(model) if not domain else versions.get(node.domain, 1)
        if not onnx.defs.has(node.op_type, version, domain):
            fix = "export it with a higher opset, or with standard operators"
            raise ExportError(f"{named}, which ONNX does not have in opset {version}", fix=fix)


def _refuse_not_finite(tensor: Any, *, infinite_too: bool) -> None:
    import onnx

    types = onnx.TensorProto
    if tensor.data_type not in (types.FLOAT, types.FLOAT16, types.DOUBLE, types.BFLOAT16):
        return
    values = onnx.numpy_helper.to_array(tensor).reshape(-1)
    bad = 0
    for start in range(0, len(values), _AT_ONCE):
        part = values[start : start + _AT_ONCE]
        bad += int((~np.isfinite(part) if infinite_too else np.isnan(part)).sum())
    if bad:
        message = f"weight {tensor.name!r} holds {bad} values of {len(values)} that are not finite"
        raise ExportError(message, fix="the checkpoint is damaged, or its training diverged")


def _is_tensor_constant(node: Any) -> bool:
    return bool(node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"))


def _integer(node: Any, name: str) -> int:
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == name), 0)


def _name(node: Any) -> str:
    return str(node.name or next((name for name in node.output if name), node.op_type))
