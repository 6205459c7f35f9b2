"""Where a graph that failed parity begins to differ: the node whose inputs still agree with the reference's while what
it makes does not.

Both graphs are run with all their intermediate tensors exposed, a few at a time, on a few samples. Tensors that both
have under one name, made by one operator, are compared; where names say little, the graphs are aligned by the sequence
of their operators. From an output that departs the search goes back to where the departure begins: an intermediate
tensor that is off, and leads to nothing that is, is no cause.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device_agents.contract import Precision
from export import graph
from export.data import golden
from export.data.golden import Arrays, in_batches
from export.judging.parity import LIMITS, numpy_type, relative_error
from profiles.errors import ExportError
from profiles.progress import Progress

Array = NDArray[Any]

SAMPLES = 2
"""The least that have a spread."""

_AT_ONCE_BYTES = 512 << 20
_UNKNOWN_BYTES = 8 << 20  # what a tensor whose shape is not inferred is taken for
_CASTS = ("Cast", "CastLike", "Identity", "QuantizeLinear", "DequantizeLinear")
"""What conversions add: two graphs are aligned without them."""


@dataclass(frozen=True)
class Departure:
    """`error` is that of `tensor`, made by `node` of the failed graph; `inputs` are the errors of what the node reads,
    by tensor, as far as they could be compared. Of `tensors` of the graph `compared` could be."""

    node: str
    op: str
    tensor: str
    error: float
    inputs: Mapping[str, float]
    compared: int
    tensors: int

    def __str__(self) -> str:
        before = f"off by {max(self.inputs.values()):.1e} at most" if self.inputs else "none of them comparable"
        return (
            f"{self.op} node {self.node!r} is the first to depart: {self.tensor!r} is off by {self.error:.1e}, its "
            f"inputs are {before} ({self.compared} of {self.tensors} tensors compared)"
        )


def compute(job: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """In the child (op "explain"): where the graph at `other` departs from the one at `reference`, or from the values
    that the framework has on the way; a sentence under `departure`. Errors: ExportError."""
    progress("look for where it departs")
    inputs, _ = golden.load(Path(job["golden"]))
    other, limit = Path(job["other"]), LIMITS[Precision(job["precision"])]
    if "reference" in job:
        found = first_departure(Path(job["reference"]), other, inputs, limit)
    else:
        found = against_framework(other, inputs, Path(job["values"]), limit)
    nowhere = "no tensor on the way departs: what was exported is not what ran (a branch for exporting, random numbers)"
    return {"departure": nowhere if found is None else str(found)}


def first_departure(reference: Path, other: Path, inputs: Arrays, limit: float) -> Departure | None:
    """The first node of the graph at `other` whose tensor is off by more than `limit` (by parity's measure) of what the
    graph at `reference` has there; None when all outputs agree. `inputs` are golden ones, both graphs' by name.

    Errors: ExportError when a graph does not run, or no tensor can be paired.
    """
    theirs, ours = graph.load(reference), graph.load(other)
    names = _pairs(theirs, ours)
    if not names:
        raise ExportError("no tensor of the graph has a counterpart in its reference", where=str(other))
    few = {name: array[:SAMPLES] for name, array in inputs.items()}
    errors: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        exposed, others = _Exposed(ours, Path(one)), _Exposed(theirs, Path(two))
        for chunk in _chunks(ours, list(names), few):
            found = exposed.values(chunk, few)
            expected = others.values([names[name] for name in chunk], few)
            errors |= _errors(ours, {name: expected[names[name]] for name in chunk if names[name] in expected}, found)
    return _search(ours, errors, limit)


def against_framework(path: Path, inputs: Arrays, values: Path, limit: float) -> Departure | None:
    """The same against a framework's own intermediate values: `values` is an .npz of arrays by the names that tensors
    have in the graph at `path`, for the first SAMPLES of `inputs`. Images may be channels last in it.

    Errors: ExportError when the graph does not run, or has no tensor of any of the names.
    """
    ours = graph.load(path)
    few = {name: array[:SAMPLES] for name, array in inputs.items()}
    errors: dict[str, float] = {}
    with np.load(values, allow_pickle=False) as expected, tempfile.TemporaryDirectory() as scratch:
        made = {name for node in ours.graph.node for name in node.output}
        names = [name for name in expected.files if name in made]
        if not names:
            raise ExportError("the framework's values have no name that the graph has", where=str(path))
        exposed = _Exposed(ours, Path(scratch))
        for chunk in _chunks(ours, names, few):
            found = exposed.values(chunk, few)
            errors |= _errors(ours, {name: _laid_out(expected[name], found[name]) for name in found}, found)
    return _search(ours, errors, limit)


def _pairs(theirs: Any, ours: Any) -> dict[str, str]:
    """The reference's name of each comparable tensor, by ours, in the order of our nodes."""
    by_name = _by_name(theirs, ours)
    by_place = _by_place(theirs, ours)
    shared = {value.name for value in theirs.graph.output} & {value.name for value in ours.graph.output}
    return (by_place if len(by_place) > len(by_name) else by_name) | {name: name for name in shared}


def _by_name(theirs: Any, ours: Any) -> dict[str, str]:
    makers = {name: node.op_type for node in theirs.graph.node for name in node.output if name}
    made = ((node, name) for node in ours.graph.node for name in node.output if name)
    return {name: name for node, name in made if makers.get(name) == node.op_type}


def _by_place(theirs: Any, ours: Any) -> dict[str, str]:
    """torch numbers its tensors anew in each export: one node more, and all names after it are others'."""
    left, right = ([node for node in model.graph.node if node.op_type not in _CASTS] for model in (theirs, ours))
    kinds, other_kinds = ([node.op_type for node in nodes] for nodes in (left, right))
    blocks = SequenceMatcher(None, kinds, other_kinds, autojunk=False).get_matching_blocks()
    return {
        name: old
        for block in blocks
        for one, two in zip(left[block.a :][: block.size], right[block.b :][: block.size], strict=True)
        for old, name in zip(one.output, two.output, strict=False)
        if name and old
    }


def _chunks(model: Any, names: list[str], inputs: Arrays) -> Iterator[list[str]]:
    """Tensors whose values are at most half a gigabyte together, as far as their shapes can be told."""
    sizes = _sizes(model, inputs)
    total = 0
    numbered = []
    for name in names:
        total += sizes.get(name, _UNKNOWN_BYTES)
        numbered.append((total // _AT_ONCE_BYTES, name))
    for _, group in groupby(numbered, key=lambda pair: pair[0]):
        yield [name for _, name in group]


def _sizes(model: Any, inputs: Arrays) -> dict[str, int]:
    import onnx

    small = graph.skeleton(model)
    for value in small.graph.input:
        for dim, size in zip(value.type.tensor_type.shape.dim, inputs.get(value.name, np.empty(0)).shape, strict=False):
            dim.dim_value = size
    try:
        inferred = onnx.shape_inference.infer_shapes(small).graph.value_info
    except onnx.shape_inference.InferenceError:
        return {}
    shapes = {value.name: [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim] for value in inferred}
    return {name: 4 * int(np.prod(shape, dtype=np.int64)) for name, shape in shapes.items()}


class _Exposed:
    """A graph whose inner tensors can be asked for. In a file, where its weights may be of any size."""

    def __init__(self, model: Any, folder: Path) -> None:
        self.model = model
        self._outputs = [value.name for value in model.graph.output]
        self._path = graph.save(model, folder)

    def values(self, names: list[str], inputs: Arrays) -> dict[str, Array]:
        """What the tensors of these names hold, floats alone, samples in the order given. Errors: ExportError."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 3
        self._expose(names)
        try:
            session = onnxruntime.InferenceSession(self._path, options, providers=["CPUExecutionProvider"])
            types = {value.name: numpy_type(value.type) for value in session.get_inputs()}

            def call(feed: Arrays) -> dict[str, Array]:
                cast = {name: value.astype(types[name]) for name, value in feed.items()}
                values = zip(names, session.run(names, cast), strict=True)
                return {name: np.atleast_1d(value) for name, value in values if _is_float(value)}

            first = session.get_inputs()[0].shape[0]
            return in_batches(call, inputs, first if isinstance(first, int) else None)
        except Exception as error:  # onnxruntime's exceptions have no common base but this
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise ExportError(f"onnxruntime does not run the graph ({reason[:300]})", stage="explain") from error

    def _expose(self, names: list[str]) -> None:
        import onnx

        count = len(self._outputs)
        new = [onnx.ValueInfoProto(name=name) for name in names if name not in self._outputs]
        self.model.graph.output.extend(new)
        self._path.write_bytes(self.model.SerializeToString())
        del self.model.graph.output[count:]


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _errors(model: Any, expected: Mapping[str, Array], found: Mapping[str, Array]) -> dict[str, float]:
    """By tensor. One of another shape is no counterpart, unless it is an output."""
    outputs = {value.name for value in model.graph.output}
    return {
        name: _error(expected[name], array)
        for name, array in found.items()
        if name in expected and (name in outputs or expected[name].shape == array.shape)
    }


def _error(expected: Array, found: Array) -> float:
    """parity's measure; of a tensor that is the same for all samples relative to its own size. What is not finite in
    both, such as a mask, is left out; in one alone it is an infinite error."""
    if expected.shape != found.shape:
        return float("inf")
    finite = np.isfinite(expected)
    if not np.array_equal(finite, np.isfinite(found)):
        return float("inf")
    y, z = (np.where(finite, one, 0).astype(np.float64) for one in (expected, found))
    try:
        return relative_error(y, z)
    except ValueError:
        size = float(np.linalg.norm(y))
        return float(np.linalg.norm(y - z)) / (size or 1.0)


def _laid_out(expected: Array, found: Array) -> Array:
    """The framework's array in the layout of the graph's."""
    if expected.shape != found.shape and expected.ndim == found.ndim > 2:
        return np.moveaxis(expected, -1, 1)
    return expected


def _search(model: Any, errors: Mapping[str, float], limit: float) -> Departure | None:
    """Back from the outputs that depart, through what departs or is not known, to the first node that does so of
    itself."""
    makers = {name: node for node in model.graph.node for name in node.output if name}
    departed = {name for name, error in errors.items() if error > limit}
    waiting = [value.name for value in model.graph.output if value.name in departed]
    seen: set[str] = set()
    causes: list[tuple[str, dict[str, float]]] = []
    while waiting:
        name = waiting.pop()
        if name in seen or name not in makers:
            continue
        seen.add(name)
        before = _known_before(makers[name], makers, errors)
        worse = [source for source in before if source in departed]
        if name in departed and not worse:
            causes.append((name, before))
        waiting += worse
    if not causes:
        return None
    order = {name: place for place, name in enumerate(makers)}
    tensor, before = min(causes, key=lambda cause: order[cause[0]])
    node = makers[tensor]
    return Departure(node.name or tensor, node.op_type, tensor, errors[tensor], before, len(errors), len(makers))


def _known_before(node: Any, makers: Mapping[str, Any], errors: Mapping[str, float]) -> dict[str, float]:
    """The errors of the nearest compared tensors before a node, seen through casts and whatever else was not."""
    found: dict[str, float] = {}
    waiting, seen = list(node.input), set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in errors:
            found[name] = errors[name]
        elif name in makers:
            waiting += makers[name].input
    return found
