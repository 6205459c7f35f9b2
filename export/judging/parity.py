"""Whether an exported graph computes what its framework does: the gate that every export passes or is not made.

How far off an output is, device_agents.formats.differences says, the framework's FP32 output being the reference.
Boxes of a detector are judged as they match instead (export.judging.boxes): their order, or which proposals there are,
is a matter of scores that may be almost equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device_agents.contract import Precision
from device_agents.formats import differences
from device_agents.formats.differences import LIMITS, WHOLE_LIMITS, relative_error
from export.artifact import Parity
from export.data.golden import Arrays, in_batches
from export.judging import boxes
from export.judging.agreement import agreement
from profiles.errors import ExportError, ParityError

__all__ = ["LIMITS", "WHOLE_LIMITS", "Comparison", "compare", "judge", "numpy_type", "relative_error", "run"]

STORAGE_ONLY = "storage only"
"""What parity of FP16 on a CPU says: it computes much of FP16 in FP32."""

_AT_ONCE_BYTES = 5 << 20  # of inputs: eight images of 224 x 224 in float32


@dataclass(frozen=True)
class Comparison:
    """What was found between two sets of outputs. `errors` are by output, and of proposals by the share that match
    none; with `by_boxes` those of final boxes. `whole` are the outputs of whole numbers that have no measure of their
    own."""

    errors: Mapping[str, float]
    cosines: Mapping[str, float]
    samples: int
    agreement: Mapping[str, float]
    by_boxes: bool = False
    note: str = ""
    whole: frozenset[str] = frozenset()

    def limit(self, output: str, precision: Precision) -> float:
        own = boxes.LIMITS[precision] if self.by_boxes else boxes.OF_PROPOSALS[precision]
        return own.get(output, (WHOLE_LIMITS if output in self.whole else LIMITS)[precision])

    def over_limit(self, precision: Precision) -> bool:
        return any(error > self.limit(name, precision) for name, error in self.errors.items())

    def measure(self, output: str) -> str:
        """What the error of the output is of, for sentences."""
        own = boxes.MEASURES if self.by_boxes else {boxes.PROPOSALS: boxes.MEASURES[boxes.PROPOSALS]}
        return own.get(output, "of its whole numbers, which differ" if output in self.whole else "of its spread")


def compare(reference: Arrays, outputs: Arrays, task: str = "other") -> Comparison:
    """The error of every output by name, samples first, and the agreement of the task. Errors: ParityError for
    outputs that are missing, unlike or not finite, for one whose error has no scale, and where all are the same for
    every sample: nothing could be found then."""
    if set(reference) != set(outputs):
        raise ParityError(f"the graph's outputs are {sorted(outputs)}, the framework's {sorted(reference)}")
    if task == "detection" and boxes.are_matched(reference):
        return _by_boxes(reference, outputs)
    errors = {name: _named_error(name, reference[name], outputs[name]) for name in reference}
    if not any(differences.varies(array) for array in reference.values()):
        what = f"output {', '.join(map(repr, reference))}: the framework's is the same for every input"
        fix = "compare two samples or more that it answers otherwise to"
        raise ParityError(f"{what}, so nothing can be compared", fix=fix)
    return Comparison(
        errors=errors,
        cosines={name: _cosine(reference[name], outputs[name]) for name in reference},
        samples=_samples(reference),
        agreement=agreement(task, reference, outputs),
        whole=_whole(reference),
    )


def judge(
    comparison: Comparison,
    precision: Precision,
    *,
    limit: float | None = None,
    framework: Comparison | None = None,
) -> Parity:
    """The verdict on a comparison: what it says of the worst output, is of numbers where there are any, as the limits
    of whole numbers are others. `limit` replaces the one of the precision; `framework` are the framework's own
    outputs at this precision, held against the same reference: a graph may be twice as far off as they are.

    Errors: ParityError naming the worst output, its error and its limit.
    """
    limits = {name: limit or comparison.limit(name, precision) for name in comparison.errors}
    own = None
    if framework is not None:
        limits = {name: max(bound, 2 * framework.errors[name]) for name, bound in limits.items()}
    over = {name: comparison.errors[name] / bound for name, bound in limits.items()}
    worst = max(over, key=lambda name: over[name])
    if over[worst] > 1.0:
        error, what = comparison.errors[worst], comparison.measure(worst)
        message = f"output {worst!r} is off by {error:.2e} {what}, over the limit of {limits[worst]:.2g}"
        raise ParityError(message, fix="the graph is not what the framework computes, so no artifact was made")
    numbers = [name for name in over if name not in comparison.whole]
    worst = max(numbers or over, key=lambda name: over[name])
    error, bound = comparison.errors[worst], limits[worst]
    if framework is not None:
        own = framework.errors[worst]
    return Parity(
        error=error,
        limit=bound,
        tensor=worst,
        inputs=comparison.samples,
        cosine=comparison.cosines[worst],
        errors=comparison.errors,
        agreement=comparison.agreement,
        framework_error=own,
        label=STORAGE_ONLY if precision is Precision.FP16 else "",
        note=comparison.note,
    )


def run(
    graph: Path | bytes, inputs: Arrays, precision: Precision, at_once: int | None = None
) -> dict[str, NDArray[Any]]:
    """The graph's outputs from onnxruntime on the CPU, floats as float32, in batches of the size that it takes; where
    it takes any, `at_once` samples, or as many as are a few megabytes. A graph with weights in another file is a path.

    FP16 runs with basic optimisation: at full optimisation the CPU provider crashed on an FP16 ViT (1.24, 1.27). So
    does INT8: full optimisation makes integer kernels of it, whose sums saturate on older CPUs.
    Errors: ExportError for inputs that do not fit, when onnxruntime does not run the graph, and for an output whose
    first dimension is not the batch.
    """
    try:
        session = _session(graph, precision)
        types = {value.name: value for value in session.get_inputs()}
        names = [value.name for value in session.get_outputs()]
        _expect(types, inputs)

        def call(feed: Arrays) -> dict[str, NDArray[Any]]:
            cast = {name: value.astype(numpy_type(types[name].type)) for name, value in feed.items()}
            found = {name: _plain(value) for name, value in zip(names, session.run(names, cast), strict=True)}
            _expect_batch(found, _samples(feed))
            return found

        first = next(iter(types.values())).shape[0]
        return in_batches(call, inputs, first if isinstance(first, int) else at_once or _at_once(inputs))
    except ExportError:
        raise
    except Exception as error:  # onnxruntime's exceptions have no common base but this
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ExportError(f"onnxruntime does not run the graph ({reason[:300]})", stage="parity") from error


def numpy_type(onnx_type: str) -> str:
    """numpy's name for onnxruntime's `tensor(float16)` and the like."""
    name = onnx_type.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(name, name)


def _session(graph: Path | bytes, precision: Precision) -> Any:
    import onnxruntime

    from export.child import THREADS

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.log_severity_level = 3
    levels = onnxruntime.GraphOptimizationLevel
    plain = precision is Precision.FP32 and not _holds_fp16(graph)
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if plain else levels.ORT_ENABLE_BASIC
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _holds_fp16(graph: Path | bytes) -> bool:
    """Whether any constant, input, output or cast is FP16: such a graph computes in it somewhere."""
    import onnx

    if isinstance(graph, bytes):
        model = onnx.load_model_from_string(graph)
    else:
        model = onnx.load_model(graph, load_external_data=False)
    half = onnx.TensorProto.FLOAT16
    values = (*model.graph.input, *model.graph.output)
    return (
        any(value.type.tensor_type.elem_type == half for value in values)
        or any(tensor.data_type == half for tensor in model.graph.initializer)
        or any(node.op_type == "Cast" and node.attribute[0].i == half for node in model.graph.node)
    )


def _expect(wanted: Mapping[str, Any], inputs: Arrays) -> None:
    if sorted(wanted) != sorted(inputs):
        raise ExportError(f"expected the inputs {sorted(wanted)}, found {sorted(inputs)}", stage="parity")
    for name, value in wanted.items():
        found = inputs[name].shape
        fits = len(found) == len(value.shape) and all(
            not isinstance(dim, int) or dim == size for dim, size in zip(value.shape[1:], found[1:], strict=True)
        )
        if not fits:
            shape = ", ".join(map(str, value.shape))
            message = f"input {name!r}: expected {numpy_type(value.type)} ({shape}), found {inputs[name].dtype} {found}"
            raise ExportError(message, stage="parity")


def _expect_batch(found: Arrays, rows: int) -> None:
    for name, array in found.items():
        if array.ndim == 0 or len(array) != rows:
            message = f"output {name!r} has the shape {array.shape} for {rows} samples"
            fix = "leave it out of the model's outputs, or give it the samples first"
            raise ExportError(f"{message}: its first dimension is not the batch", fix=fix, stage="parity")


def _at_once(inputs: Arrays) -> int:
    """At least two where there are two, so that a graph which mixes its samples is found."""
    one = sum(value[:1].nbytes for value in inputs.values())
    return min(_samples(inputs), max(2, _AT_ONCE_BYTES // max(one, 1)))


def _plain(value: Any) -> NDArray[Any]:
    array = np.asarray(value)
    return array if array.dtype.kind in "iub" else array.astype(np.float32)


def _by_boxes(reference: Arrays, outputs: Arrays) -> Comparison:
    try:
        found = boxes.compare(reference, outputs)
    except ValueError as error:
        raise ParityError(str(error)) from None
    told = "scores" if "scores" in reference else "class_logits"
    cosines = {name: _cosine(reference[told], outputs[told]) for name in found.errors}
    further = {name: array for name, array in reference.items() if name not in boxes.MEASURES}
    return Comparison(
        found.errors,
        cosines,
        _samples(reference),
        found.agreement,
        by_boxes=boxes.are_final(reference),
        note=found.note,
        whole=_whole(further),
    )


def _whole(reference: Arrays) -> frozenset[str]:
    return frozenset(name for name, array in reference.items() if differences.is_whole(array))


def _named_error(name: str, expected: NDArray[Any], output: NDArray[Any]) -> float:
    try:
        return differences.error(expected, output)
    except ValueError as error:
        raise ParityError(f"output {name!r}: {error}") from None


def _cosine(reference: NDArray[Any], output: NDArray[Any]) -> float:
    y, z = (np.asarray(one, np.float64).reshape(-1) for one in (reference, output))
    norms = float(np.linalg.norm(y) * np.linalg.norm(z))
    return float(y @ z) / norms if norms else 0.0


def _samples(reference: Arrays) -> int:
    return len(next(iter(reference.values())))
