"""A TensorFlow function to an ONNX file, channels-first inside: freeze, tf2onnx, then our own rewrites and layouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_agents.contract import Dim, TensorSpec
from export.rewrite import fuse, layout, resize
from export.rewrite.net import Net, Node
from export.rewrite.padding import fuse_padding
from export.rewrite.write import write as write_file
from export.tf import tf2onnx_fixes, transposed
from export.tf.freeze import Frozen, freeze
from export.user_code import is_own
from profiles.errors import ExportError

OPSETS = range(13, 19)
"""13 is the first with per-channel QuantizeLinear, 18 tf2onnx's last."""


@dataclass(frozen=True)
class Task:
    """`function` is a ConcreteFunction with one tensor for each of `inputs`, in that order, and for each of `outputs`.
    `inputs` are as the graph shall have them; those in `channels_first` are channels-last in the function. `outputs`
    have the names and dimensions that the graph shall have."""

    function: Any
    inputs: Sequence[TensorSpec]
    outputs: Mapping[str, tuple[Dim, ...]]
    channels_first: frozenset[str]
    opset: int
    where: str


def write(task: Task, path: Path) -> None:
    """The file at `path`, its weights in `path`.data when they are over 1.9 GB. Errors: ExportError naming an operation
    that ONNX has no equivalent of, and where in the user's code it comes from."""
    frozen = freeze(task.function)
    net = Net(_convert(task, frozen), {f"{name}:0": value for name, value in frozen.weights.items()})
    _name_ends(net, task, frozen)
    fuse.simplify(net)
    layout.choose_layouts(net)
    fuse_padding(net)
    resize.use_scales(net)
    _refuse_unknown(net, task)
    write_file(net, path)


def _convert(task: Task, frozen: Frozen) -> Any:
    import tf2onnx

    turned = [
        tensor for tensor, spec in zip(frozen.inputs, task.inputs, strict=True) if spec.name in task.channels_first
    ]
    sides = transposed.sides(frozen.graph, task.where)
    with tf2onnx_fixes.transposed(sides), tf2onnx_fixes.Complaints() as complaints:
        proto, _ = tf2onnx.convert.from_graph_def(
            frozen.graph,
            input_names=[*frozen.inputs, *(f"{name}:0" for name in frozen.weights)],
            output_names=[*dict.fromkeys(frozen.outputs)],
            opset=task.opset,
            inputs_as_nchw=turned,
        )
    for node, reason in complaints.failed.items():
        message = f"tf2onnx cannot convert TensorFlow's operation {node!r} ({reason})"
        raise ExportError(message, where=_place(task, node))
    return proto


def _name_ends(net: Net, task: Task, frozen: Frozen) -> None:
    """Inputs and outputs as the task calls them, with its dimensions."""
    import onnx

    given = {value.name: value for value in net.inputs}
    if len(given) != len(task.inputs):
        raise ExportError(f"the graph has {len(given)} inputs, the model {len(task.inputs)}", where=task.where)
    net.inputs = []
    for tensor, spec in zip(frozen.inputs, task.inputs, strict=True):
        kind = given[tensor].type.tensor_type.elem_type
        net.inputs.append(onnx.helper.make_tensor_value_info(spec.name, kind, spec.shape))
        net.replace(tensor, spec.name)
    kinds = {value.name: value.type.tensor_type.elem_type for value in net.outputs}
    net.outputs = []
    renamed: dict[str, str] = {}
    for tensor, (name, shape) in zip(frozen.outputs, task.outputs.items(), strict=True):
        net.outputs.append(onnx.helper.make_tensor_value_info(name, kinds[tensor], shape))
        maker = net.maker(tensor)
        if maker is None:  # an input, a constant or an earlier output as it is
            net.add(Node("Identity", [renamed.get(tensor, tensor)], [name], {}, name))
            continue
        net.replace(tensor, name)
        net.set_outputs(maker, [name if output == tensor else output for output in maker.outputs])
        renamed[tensor] = name


def _refuse_unknown(net: Net, task: Task) -> None:
    import onnx

    for node in net.ordered():
        if not onnx.defs.has(node.op, net.opset, ""):
            message = f"ONNX has nothing for TensorFlow's operation {node.op}"
            fix = "build the model without it, or split it off the network"
            raise ExportError(message, where=_place(task, node.name), fix=fix)


def _place(task: Task, node: str) -> str:
    """The layer's path in the graph, and the line of the user's code that made it, where TensorFlow knows it."""
    line = _line(task.function.graph, node)
    return f"{task.where}, {node}{f' ({line})' if line else ''}"


def _line(graph: Any, node: str) -> str | None:
    """The innermost line of the user's."""
    try:
        traceback = graph.get_operation_by_name(node).traceback
    except (KeyError, ValueError):  # it lay in a function that was inlined
        return None
    own = [frame for frame in traceback if is_own(frame.filename)]
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else None
