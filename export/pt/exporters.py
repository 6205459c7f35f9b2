"""From a module of tensors to ONNX: by torch.export (dynamo), and by tracing up to opset 17, which that does not write,
and where it refuses. torch is imported in functions only."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_agents.contract import Dim, TensorSpec
from export import graph
from export.draft import MODEL_FILE
from export.pt.refusals import operator_unknown, refusal
from export.request import FREE_BATCH
from export.user_code import is_own
from profiles.errors import ExportError

OPSETS = range(13, 21)
"""13 is the first with per-channel QuantizeLinear, 20 the last that TensorRT 10 reads."""

DYNAMO_FROM = 18  # asked for less, dynamo gives 18 without a word


@dataclass(frozen=True)
class Task:
    """`module` takes tensors as `inputs` say and returns a tuple of tensors: `outputs`, name and shape. `at` gives free
    dimensions the size that the network runs at while it is exported. `tracing` says why only the tracer serves, and
    `where` whose network it is."""

    module: Any
    inputs: tuple[TensorSpec, ...]
    outputs: Mapping[str, tuple[Dim, ...]]
    at: Mapping[str, int]
    opset: int
    where: str
    tracing: str | None = None


@dataclass(frozen=True)
class Written:
    """How it was written, for `produced_by` and the operator's eyes."""

    exporter: str
    notes: tuple[str, ...] = ()


def write(task: Task, folder: Path) -> Written:
    """Write the graph into `folder`. Errors: ExportError that names the operator and the line where there is one."""
    if task.opset < DYNAMO_FROM:
        return _trace(task, folder)
    if task.tracing is not None:
        return _trace(task, folder, f"traced by torch's older exporter: {task.tracing}")
    try:
        return _by_dynamo(task, folder)
    except Exception as error:
        said = refusal(error, task.where)
        # Only an operator that it does not know is worth another try. Where it found that the network decides by its
        # data, tracing would write down one of the ways, and say nothing.
        if not operator_unknown(error):
            raise said from error
    try:
        return _trace(task, folder, f"traced by torch's older exporter, as the newer refuses ({said.message})")
    except ExportError as error:
        raise said from error


def examples(task: Task) -> tuple[Any, ...]:
    """Zeros of the shape and type of every input."""
    import torch

    return tuple(
        torch.zeros([task.at[dim] if isinstance(dim, str) else dim for dim in spec.shape], dtype=torch_type(spec.dtype))
        for spec in task.inputs
    )


def torch_type(dtype: str) -> Any:
    """torch's type of numpy's name. Errors: ExportError for one that torch does not have."""
    import torch

    found = getattr(torch, dtype, None)
    if not isinstance(found, torch.dtype):
        raise ExportError(f"torch has no type {dtype!r}")
    return found


def _by_dynamo(task: Task, folder: Path) -> Written:
    program = program_of(task)
    size = sum(tensor.numel() * tensor.element_size() for tensor in task.module.state_dict().values())
    _name_dims(program.model.graph, task)
    program.save(folder / MODEL_FILE, external_data=size > graph.IN_ONE_FILE)
    return Written("torch.onnx.export(dynamo=True)")


def program_of(task: Task) -> Any:
    """torch's ONNXProgram: the captured network, and the graph that it became. Its optimizer does more than tidy up (a
    Conv3d without bias gets a bias of two dimensions before it), but it cannot take every graph."""
    program = _captured(task)
    try:
        program.optimize()
    except Exception:  # noqa: BLE001  onnxscript's have no common base; what is left half done is thrown away
        program = _captured(task)
    return program


def _captured(task: Task) -> Any:
    import torch

    # Named by strings, bounds are left to torch: it takes no range that a stride does not divide. An adapter's forward
    # takes any number of inputs, which is one argument to torch.export.
    free = tuple(_free(spec.shape) for spec in task.inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # several inputs share the name of a free dimension on purpose
        return torch.onnx.export(
            task.module,
            examples(task),
            dynamo=True,
            opset_version=task.opset,
            input_names=[spec.name for spec in task.inputs],
            output_names=list(task.outputs),
            dynamic_shapes=(free,) if any(free) else None,
            verbose=False,
            optimize=False,
        )


def _name_dims(program: Any, task: Task) -> None:
    """Inputs must be as free as they were asked for. What torch calls 8*(height//8) in an output is height: free sides
    are multiples of what a network's strides divide, which the golden data of both ends have shown."""
    import onnx_ir as ir

    for value, named in zip(program.outputs, task.outputs.values(), strict=True):
        pairs = zip(value.shape, named, strict=True)
        value.shape = ir.Shape([new if {type(old), str} == {ir.SymbolicDim, type(new)} else old for old, new in pairs])
    for value, spec in zip(program.inputs, task.inputs, strict=True):
        for axis, dim in enumerate(spec.shape):
            if isinstance(dim, str) and isinstance(value.shape[axis], int):
                raise ExportError(
                    f"the network fixes {dim} of {spec.name!r} to {value.shape[axis]}",
                    where=task.where,
                    fix="give a fixed batch" if dim == FREE_BATCH else "give a fixed --size",
                )


def _trace(task: Task, folder: Path, note: str | None = None) -> Written:
    import torch

    path = folder / MODEL_FILE
    shapes = {**{spec.name: spec.shape for spec in task.inputs}, **task.outputs}
    traced = {name: _no_number(name, shapes) for name in shapes}
    free = {traced[name]: axes for name, shape in shapes.items() if (axes := _free(shape))}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            torch.onnx.export(
                task.module,
                examples(task),
                path,
                dynamo=False,
                opset_version=task.opset,
                input_names=[traced[spec.name] for spec in task.inputs],
                output_names=[traced[name] for name in task.outputs],
                dynamic_axes=free or None,
                verbose=False,
            )
        except Exception as error:
            raise refusal(error, task.where) from error
    _gather(folder)
    _name_as(folder, {new: name for name, new in traced.items() if new != name})
    return Written("torch.onnx.export(dynamo=False)", (*([note] if note else []), *_fixed_by_tracing(told)))


def _gather(folder: Path) -> None:
    """Over 2 GiB the older exporter writes every weight into a file of its own."""
    path = folder / MODEL_FILE
    extra = [file for file in folder.iterdir() if file != path and file.suffix != ".npz"]
    if not extra:
        return
    model = graph.load(path)
    for file in extra:
        file.unlink()
    graph.save(model, folder)


def _no_number(name: str, taken: Collection[str]) -> str:
    """The tracer takes no number for a name."""
    if not name.isdigit():
        return name
    other = f"tensor_{name}"
    while other in taken:
        other += "_"
    return other


def _name_as(folder: Path, names: Mapping[str, str]) -> None:
    """Inputs and outputs get the names that the tracer does not take; a tensor inside that has one gets theirs."""
    if not names:
        return
    model = graph.load(folder / MODEL_FILE)
    graph.rename(model, {**names, **{name: traced for traced, name in names.items()}})
    graph.save(model, folder)


def _free(shape: Sequence[Dim]) -> dict[int, str]:
    return {axis: dim for axis, dim in enumerate(shape) if isinstance(dim, str)}


def _fixed_by_tracing(told: Sequence[warnings.WarningMessage]) -> tuple[str, ...]:
    """A decision that the user's own code takes by its data is written down as it was taken once: that must be told.
    Those of libraries are about sizes."""
    import torch

    places = [
        f"{Path(one.filename).name}:{one.lineno}"
        for one in told
        if issubclass(one.category, torch.jit.TracerWarning) and is_own(one.filename)
    ]
    unique = list(dict.fromkeys(places))
    if not unique:
        return ()
    return (f"tracing may have fixed a decision that the data should take, at {', '.join(unique[:5])}",)
