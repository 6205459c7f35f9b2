"""Graph care: a graph as a runtime wants it, whatever exporter wrote it. Nothing is computed otherwise than before.

The work is onnxscript's, with which torch.onnx itself ends. It keeps names, writes standard operators only, and the
same bytes each time; it is 10 MB of plain Python beside onnx. Tried on the exports of both frameworks: onnxslim makes
the same of them and wants sympy (85 MB); onnxsim wants Python 3.11; onnxoptimizer leaves Keras's batch norm; the graph
that onnxruntime writes has HardSwish taken apart and other operator domains.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from export.graph.affine import fold_affine
from export.graph.checks import refuse_training, why_invalid
from export.graph.form import sanitise, skeleton

_FOLDED_INPUT, _FOLDED_OUTPUT = 1 << 24, 1 << 20
"""Elements of a constant that is computed ahead, and of what may become of it where that is more than went in."""

_ROUNDS = 2  # what is folded makes rewrites possible, and these more to fold: onnxscript's own number

_MODERN = 13
"""The opset from which the rewrites hold: they write axes as inputs."""

_RULES = (
    *("no_op_cast_rule", "no_op_expand_rule", "no_op_transpose_rule", "transpose_transpose_rule"),
    *("reshape_reshape_rule", "squeeze_reshape_1d_rule", "unsqueeze_unsqueeze_rule", "slice_split_rule"),
    *("collapse_slice_rule", "collapse_slice2_rule", "no_op_static_scatter_nd_rule", "no_op_dynamic_scatter_nd_rule"),
    *("add_0_rule", "sub_0_rule", "mul_by_1_rule", "div_by_1_rule"),
    *("normalize_pad_format_conv_rule", "fuse_pad_into_conv_rule"),
)
"""Of onnxscript.rewriter.rules.common. Its own choice has more, and makes invalid graphs of torchvision's detectors:
two shapes get one name (flatten_to_reshape_rule, tried with 0.7.2)."""


@dataclass(frozen=True)
class Care:
    """A graph that was cared for. `dropped` are the inputs that nothing read; `note` is a sentence for the operator."""

    model: Any
    dropped: tuple[str, ...] = ()
    note: str = ""


def tidy(model: Any) -> Care:
    """The ModelProto with batch norm folded into the convolution or Gemm before it, constants folded, functions
    inlined, no Identity, no Dropout, nothing that no output needs, and no trace of its making.

    A graph that the optimizer cannot take is left with less, and the note says so. Errors: ExportError for one that
    was exported in training mode.
    """
    refuse_training(_inlined(model))
    note = ""
    for work in (_all, _simplest):
        try:
            tidied, dropped = _with(work, model)
            reason = why_invalid(tidied)
        except Exception as error:  # noqa: BLE001  onnxscript's have no common base, and no export must fail of it
            lines = str(error).strip().splitlines() or [""]
            reason = f"{type(error).__name__} {lines[0][:200]}".strip()
        if reason is None:
            sanitise(tidied)
            return Care(tidied, dropped, note)
        note = note or f"the graph is less tidy than others: its optimizer failed ({reason})"
    sanitise(model)
    return Care(model, (), note)


def _inlined(model: Any) -> Any:
    """The model itself, or, where it has functions, a copy without large weights that has them written out."""
    import onnx_ir as ir
    from onnx_ir.passes import common

    if not model.functions:
        return model
    copy = ir.serde.deserialize_model(skeleton(model))
    try:
        common.InlinePass()(copy)
    except Exception:  # noqa: BLE001  as below, where the note tells of it
        return model
    return ir.serde.serialize_model(copy)


def _with(work: Callable[[Any], None], model: Any) -> tuple[Any, tuple[str, ...]]:
    """(a new ModelProto, the inputs that it lost)."""
    import onnx_ir as ir

    tidied = ir.serde.deserialize_model(model)
    names = {node.name for node in ir.traversal.RecursiveGraphIterator(tidied.graph) if node.name}
    _constants_are_no_inputs(tidied.graph)
    work(tidied)
    dropped = _drop_unread_inputs(tidied.graph)
    for node in ir.traversal.RecursiveGraphIterator(tidied.graph):
        if node.name not in names:  # made by a rewrite, and numbered by its place, which says nothing
            node.name = next((value.name for value in node.outputs if value.name), node.name)
    return ir.serde.serialize_model(tidied), dropped


def _all(model: Any) -> None:
    from onnx_ir.passes import common
    from onnxscript import optimizer, rewriter
    from onnxscript.rewriter.rules import common as rules

    _simplest(model)
    chosen = [getattr(rules, name) for name in _RULES] if model.graph.opset_imports.get("", 0) >= _MODERN else []
    for _ in range(_ROUNDS):
        optimizer.fold_constants_ir(
            model, onnx_shape_inference=True, input_size_limit=_FOLDED_INPUT, output_size_limit=_FOLDED_OUTPUT
        )
        rewriter.rewrite(model, chosen)
    common.CommonSubexpressionEliminationPass()(model)
    common.DeduplicateInitializersPass()(model)
    _simplest(model)
    common.RemoveUnusedOpsetsPass()(model)


def _simplest(model: Any) -> None:
    from onnx_ir.passes import common

    common.InlinePass()(model)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    _bypass(model)
    fold_affine(model)
    common.RemoveUnusedNodesPass()(model)


def _bypass(model: Any) -> None:
    """In place: whoever reads what a node hands on unchanged reads what it was given. (onnx_ir's own pass for Identity
    loses an output where two outputs are the same tensor: tried with 1.1.)"""
    import onnx_ir as ir

    for node in list(ir.traversal.RecursiveGraphIterator(model.graph)):
        if not _hands_on(node):
            continue
        given: Any = node.inputs[0]
        graph: Any = node.graph
        made = node.outputs[0]
        is_output = made.is_graph_output()
        maker = given.producer()
        if is_output and (maker is None or maker.graph is not graph or given.is_graph_output()):
            continue  # an output has a maker of its own in its own graph
        ir.convenience.replace_all_uses_with(made, given, replace_graph_outputs=True)
        graph.remove(node, safe=True)
        if is_output:
            given.name, given.type, given.shape = made.name, made.type, made.shape


def _hands_on(node: Any) -> bool:
    """Whether the first output is the first input: of Dropout at inference (see refuse_training), unless its mask is
    read; onnxscript knows that from opset 12 on. And of a Reshape to the shape that is there already."""
    if node.domain not in ("", "ai.onnx") or not node.inputs or node.inputs[0] is None:
        return False
    if node.op_type == "Dropout":
        return not any(mask.uses() or mask.is_graph_output() for mask in node.outputs[1:])
    return bool(node.op_type == "Identity" or (node.op_type == "Reshape" and _keeps_shape(node)))


def _keeps_shape(node: Any) -> bool:
    before, target = node.inputs[0].shape, node.inputs[1]
    if before is None or target.is_graph_input() or not target.is_initializer():
        return False
    wanted = target.const_value.numpy().tolist()
    copies = (-1, 0) if "allowzero" not in node.attributes else (-1,)
    return len(wanted) == len(before) and all(new in (*copies, old) for new, old in zip(wanted, before, strict=True))


def _constants_are_no_inputs(graph: Any) -> None:
    """In place: until IR 3 every initializer was listed as an input as well."""
    for value in list(graph.inputs):
        if value.name in graph.initializers:
            graph.inputs.remove(value)


def _drop_unread_inputs(graph: Any) -> tuple[str, ...]:
    unread = [value for value in graph.inputs if not value.uses() and not value.is_graph_output()]
    for value in unread:
        graph.inputs.remove(value)
    return tuple(str(value.name) for value in unread)
