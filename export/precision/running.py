"""Running a graph on the CPU for what happens inside it: extra nodes measure tensors, their outputs are scalars."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export import graph as graphs
from export.graph.files import weight_bytes
from profiles.errors import ExportError

Arrays = Mapping[str, NDArray[Any]]

_ZERO, _FLAT = "edgebench/zero", "edgebench/flat"


@contextlib.contextmanager
def running(model: Any, outputs: Sequence[str]) -> Iterator[Callable[[Arrays], list[NDArray[Any]]]]:
    """A function from one feed to the named tensors, which need not be outputs of the graph. `model` is used up: it
    gets those outputs, and the weights of a large one move to a file that is gone afterwards.

    Errors: ExportError when onnxruntime does not run the graph.
    """
    import onnx
    import onnxruntime

    from export.child import THREADS

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.log_severity_level = 3
    # Fused nodes would hide the tensors that are asked for.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    given = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs if name not in given)
    with tempfile.TemporaryDirectory() as folder:
        large = weight_bytes(model) > graphs.IN_ONE_FILE
        source = str(graphs.save(model, Path(folder))) if large else model.SerializeToString()
        with _translated():
            session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        del source

        def run(feed: Arrays) -> list[NDArray[Any]]:
            with _translated():
                return list(session.run(list(outputs), dict(feed)))

        yield run


def batches(model: Any, samples: Arrays) -> Iterator[dict[str, NDArray[Any]]]:
    """Feeds of as many samples as the graph takes, one where it takes any number, in the types that it takes. The last
    is filled up with samples from the start."""
    import onnx

    types = {value.name: value.type.tensor_type for value in model.graph.input}
    dtypes = {name: onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type) for name, kind in types.items()}
    first = next(iter(types))
    step = int(types[first].shape.dim[0].dim_value) or 1
    for start in range(0, len(samples[first]), step):
        rows = range(start, start + step)
        yield {name: np.take(samples[name], rows, axis=0, mode="wrap").astype(dtypes[name]) for name in types}


def add_peaks(model: Any, tensors: Iterable[str]) -> list[str]:
    """In place: for every one of the float tensors a scalar more, its greatest finite absolute value, 0 where it is
    empty. Returns their names, in order.

    `tensors` come in the graph's order. onnxruntime goes back from the last node that nobody reads, so the earliest
    tensor is measured by the last nodes: then each can be let go before the next one is computed. (ResNet-50 at 800
    pixels: 0.9 GB, and 3.2 GB the other way round.)
    """
    import onnx

    zero, flat = np.zeros(1, np.float32), np.array([-1], np.int64)
    constants = [onnx.numpy_helper.from_array(array, name) for array, name in ((zero, _ZERO), (flat, _FLAT))]
    model.graph.initializer.extend(constants)
    wanted = list(tensors)
    for tensor in reversed(wanted):
        model.graph.node.extend(_peak(tensor))
    return [peak_name(tensor) for tensor in wanted]


def peak_name(tensor: str) -> str:
    return f"{tensor}/peak"


def _peak(tensor: str) -> Iterator[Any]:
    import onnx

    # Infinities come of constants, such as an attention mask's, and FP16 has them as well. What is no number is passed
    # over by onnxruntime's ReduceMax unless it is the first, and 0 is.
    steps: tuple[tuple[str, tuple[str, ...], str, dict[str, int]], ...] = (
        ("Abs", (tensor,), "abs", {}),
        ("IsInf", (tensor,), "infinite", {}),
        ("Where", (f"{tensor}/infinite", _ZERO, f"{tensor}/abs"), "finite", {}),
        ("Reshape", (f"{tensor}/finite", _FLAT), "row", {}),
        ("Concat", (_ZERO, f"{tensor}/row"), "some", {"axis": 0}),
        ("ReduceMax", (f"{tensor}/some",), "peak", {"keepdims": 0}),
    )
    for op, inputs, name, attributes in steps:
        yield onnx.helper.make_node(op, inputs, [f"{tensor}/{name}"], **attributes)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ExportError:
        raise
    except Exception as error:  # onnxruntime's exceptions have no common base but this
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ExportError(f"onnxruntime does not run the graph ({reason[:300]})", stage="precision") from error
