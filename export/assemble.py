"""The last steps of every export, whatever the framework: clean, check, compare, count, write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_agents.contract import TensorSpec, dumps
from export import golden, graph, parity
from export.artifact import (
    GOLDEN,
    SHAPES,
    Artifact,
    ExportRequest,
    Format,
    NotChecked,
    Parity,
    content_id,
    hash_files,
)
from export.golden import Arrays
from profiles.errors import ExportError
from profiles.progress import Progress

MODEL_FILE = "model.onnx"

OUTPUT = "logits"
"""What the output of a classifier is called in every framework."""


@dataclass(frozen=True)
class Made:
    """What a framework made of a request: an ONNX ModelProto, and the framework's own FP32 answers to golden inputs.

    `half` gives its own answers at FP16 (see export.parity). `unchecked` says why there is nothing to compare with.
    """

    proto: Any
    inputs: Arrays
    reference: Arrays
    produced_by: Mapping[str, str]
    low: float
    high: float
    half: Callable[[], Arrays] | None = None
    unchecked: str | None = None


def assemble(name: str, request: ExportRequest, made: Made, out: Path, progress: Progress) -> Artifact:
    """Write model.onnx and golden.npz into `out`, shapes.json where bounds were declared, and describe them.

    Errors: ParityError when the graph does not compute what the framework does; ExportError when it is invalid, or
    has other inputs or another opset than were asked for. Nothing counts as made then.
    """
    graph.sanitise(made.proto)
    inputs = graph.specs(made.proto.graph.input, made.low, made.high)
    outputs = graph.specs(made.proto.graph.output)
    _expect_inputs(inputs, made.inputs)
    serialised = graph.check(made.proto)
    progress(f"compare {name} with {request.framework}")
    judged: Parity | NotChecked
    if made.unchecked is None:
        judged = parity.check(serialised, request.precision, made.inputs, made.reference, made.half)
    else:
        judged = NotChecked(made.unchecked)
    facts = graph.facts(made.proto)
    (out / MODEL_FILE).write_bytes(serialised)
    golden.save(out / GOLDEN, made.inputs, made.reference)
    if request.profiles:
        shapes = dumps({"profiles": request.profiles}, indent=1)
        (out / SHAPES).write_text(shapes + "\n", encoding="utf-8")
    files = hash_files(out)
    return Artifact(
        id=content_id(files),
        path=out,
        model=name,
        framework=request.framework,
        format=Format.ONNX,
        precision=request.precision,
        weights=request.weights,
        batch=request.batch,
        inputs=inputs,
        outputs=outputs,
        model_file=MODEL_FILE,
        files=files,
        parity=judged,
        graph=facts,
        produced_by=made.produced_by,
        golden=GOLDEN,
        profiles=request.profiles,
    )


def expect_opset(proto: Any, wanted: int) -> None:
    """Exporters may give another opset than was asked for, without a word. Errors: ExportError."""
    given = graph.opset(proto)
    if given != wanted:
        raise ExportError(f"the exporter made opset {given}, not {wanted}", fix=f"ask for opset {given}")


def _expect_inputs(inputs: tuple[TensorSpec, ...], golden_inputs: Arrays) -> None:
    """tf2onnx has given graphs false inputs: by some routes EfficientNet gains two."""
    names = [spec.name for spec in inputs]
    if sorted(names) != sorted(golden_inputs):
        raise ExportError(f"the graph's inputs are {names}, the model's {sorted(golden_inputs)}")
