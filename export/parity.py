"""Whether an exported graph computes what its framework does: the gate that every export passes or is not made.

    error = ||y - ŷ|| / ||y - mean of y over the batch||        y the framework's FP32 output, ŷ the graph's

Subtracting the mean gives the measure its power: on random weights most of an output is the same for every image, and
a plain relative error hardly notices a channel swap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device_agents.contract import Precision
from export.artifact import Parity
from export.golden import Arrays, in_batches
from profiles.errors import ExportError, ParityError

LIMITS = {Precision.FP32: 1e-3, Precision.FP16: 2e-2}

FrameworkHalf = Callable[[], Arrays]
"""The framework's own outputs at FP16, for the golden inputs; asked for only where the plain limit is exceeded."""


def relative_error(reference: NDArray[Any], output: NDArray[Any]) -> float:
    """The measure above, for (samples, ...). Errors: ValueError for unlike shapes, anything that is not finite, or a
    reference that is the same for every sample (its norm is 0: nothing can be judged)."""
    if reference.shape != output.shape:
        raise ValueError(f"its shape is {output.shape}, the framework's {reference.shape}")
    y, z = reference.astype(np.float64), output.astype(np.float64)
    if not (np.isfinite(y).all() and np.isfinite(z).all()):
        raise ValueError("it holds values that are not finite")
    spread = float(np.linalg.norm(y - y.mean(axis=0)))
    if spread == 0.0:
        raise ValueError("the framework's output is the same for every input, so nothing can be compared")
    return float(np.linalg.norm(y - z)) / spread


def check(
    graph: bytes, precision: Precision, inputs: Arrays, reference: Arrays, half: FrameworkHalf | None = None
) -> Parity:
    """Run a serialised ONNX graph on the golden inputs and judge its worst output tensor.

    `half` gives the framework's own FP16 outputs; the limit for FP16 is then twice their error where that is more.
    Errors: ParityError when the graph does not pass; ExportError when onnxruntime does not run it.
    """
    return judge(reference, run(graph, inputs, precision), precision, half)


def judge(reference: Arrays, outputs: Arrays, precision: Precision, half: FrameworkHalf | None = None) -> Parity:
    """Compare outputs by name. Errors: ParityError naming the worst tensor, its error and the limit."""
    worst, error = _worst(reference, outputs)
    limit, own = LIMITS[precision], None
    if error > limit and precision is Precision.FP16 and half is not None:
        own = _worst(reference, half())[1]
        limit = max(limit, 2 * own)
    if error > limit:
        message = f"output {worst!r} is off by {error:.2e} of its spread, over the limit of {limit:.2g}"
        raise ParityError(message, fix="the graph is not what the framework computes, so no artifact was made")
    y, z = (np.asarray(arrays[worst], np.float64).reshape(len(reference[worst]), -1) for arrays in (reference, outputs))
    return Parity(
        error=error,
        limit=limit,
        tensor=worst,
        inputs=len(y),
        cosine=float((y * z).sum() / (np.linalg.norm(y) * np.linalg.norm(z))),
        top1_agreement=float((y.argmax(axis=1) == z.argmax(axis=1)).mean()),
        framework_error=own,
        label="storage only" if precision is Precision.FP16 else "",
    )


def run(
    graph: bytes, inputs: Arrays, precision: Precision, at_once: int | None = None
) -> dict[str, NDArray[np.float32]]:
    """The graph's outputs (float32) from onnxruntime on the CPU, in batches of the size that it takes; `at_once`
    samples where it takes any number, or all of them.

    FP16 graphs run with basic optimisation: at full optimisation the CPU provider crashed on an FP16 ViT (1.24, 1.27),
    and it computes much of FP16 in FP32 anyway, hence `storage only`.
    """
    import onnxruntime

    from export.child import THREADS

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.log_severity_level = 3
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_BASIC if precision is Precision.FP16 else levels.ORT_ENABLE_ALL
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        types = {spec.name: numpy_type(spec.type) for spec in session.get_inputs()}
        names = [spec.name for spec in session.get_outputs()]

        def call(feed: Arrays) -> dict[str, NDArray[np.float32]]:
            cast = {name: value.astype(types[name]) for name, value in feed.items()}
            values = zip(names, session.run(names, cast), strict=True)
            return {name: np.asarray(value, np.float32) for name, value in values}

        first = session.get_inputs()[0].shape[0]
        return in_batches(call, inputs, first if isinstance(first, int) else at_once)
    except Exception as error:  # onnxruntime's exceptions have no common base but this
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ExportError(f"onnxruntime does not run the graph ({reason[:300]})", stage="parity") from error


def numpy_type(onnx_type: str) -> str:
    """numpy's name for onnxruntime's `tensor(float16)` and the like."""
    name = onnx_type.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(name, name)


def _worst(reference: Arrays, outputs: Arrays) -> tuple[str, float]:
    if set(reference) != set(outputs):
        raise ParityError(f"the graph's outputs are {sorted(outputs)}, the framework's {sorted(reference)}")
    errors = {name: _named_error(name, reference[name], outputs[name]) for name in reference}
    return max(errors.items(), key=lambda item: item[1])


def _named_error(name: str, expected: NDArray[Any], output: NDArray[Any]) -> float:
    try:
        return relative_error(expected, output)
    except ValueError as error:
        raise ParityError(f"output {name!r}: {error}") from None
