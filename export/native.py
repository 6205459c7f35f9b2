"""Artifacts that a framework runs itself: PyTorch's weights as safetensors, TensorFlow's SavedModel.

    model.safetensors, network.json, golden.npz                              torchvision builds the network there
    saved_model.pb, variables.*, fingerprint.pb, network.json, golden.npz    the graph is in it

They are judged by the golden data of the FP32 graph of the same request, and ship it: what a framework computes by
itself and what a graph of the same weights computes is compared by one measure. What would run code of somebody else's
on a device is not made.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from device_agents.contract import Precision, TensorSpec
from export.artifact import GOLDEN, Artifact, Format, Parity, content_id, hash_files
from export.models import ModelRef
from export.request import ExportRequest
from profiles.errors import ConfigError

FORMATS: Mapping[str, Format] = {"pytorch": Format.SAFETENSORS, "tensorflow": Format.SAVEDMODEL}
"""By framework; the backend that runs them is called as the framework is."""

_PRECISIONS = (Precision.FP32, Precision.FP16)


@dataclass(frozen=True)
class Written:
    """What a framework's child wrote: the file that a backend loads, and how."""

    model_file: str
    produced_by: Mapping[str, str] = field(default_factory=dict)


def refuse(ref: ModelRef, framework: str, precision: Precision, form: Format) -> None:
    """Errors: ConfigError for what is not made in this form."""
    where, fix = ref.name, "take --backend onnxruntime or tensorrt"
    if FORMATS.get(framework) is not form:
        raise ConfigError(f"{framework} does not run {form}", where=where, fix=fix)
    if ref.profile is None:
        message = f"a model of your own is code, which no device runs: {framework} runs its library's networks by name"
        raise ConfigError(message, where=where, fix=fix)
    if precision not in _PRECISIONS:
        message = f"{framework} itself runs {' and '.join(map(str, _PRECISIONS))}, not {precision}"
        raise ConfigError(message, where=where, fix=fix)


def artifact(
    parent: Artifact, request: ExportRequest, folder: Path, written: Written, answers: Path, reference: Path
) -> Artifact:
    """The finished folder as an artifact: `answers` are the framework's to the inputs of `reference`, all the golden
    data of the FP32 graph `parent`. Errors: ParityError."""
    from export.data import golden
    from export.judging import parity

    compared = parity.compare(golden.load(reference)[1], golden.load(answers)[1], parent.task)
    half = request.precision is Precision.FP16
    judged: Parity = parity.judge(compared, request.precision, framework=compared if half else None)
    shutil.copyfile(parent.path / GOLDEN, folder / GOLDEN)
    files = hash_files(folder)
    weights = sum(entry.size for entry in files if entry.name != GOLDEN)
    return replace(
        parent,
        id=content_id(files),
        path=folder,
        format=request.format,
        precision=request.precision,
        inputs=tuple(_at(spec, request.precision) for spec in parent.inputs),
        outputs=tuple(_at(spec, request.precision) for spec in parent.outputs),
        model_file=written.model_file,
        files=files,
        parity=judged,
        graph=replace(parent.graph, weight_bytes=weights),
        produced_by=written.produced_by,
        golden=GOLDEN,
        parent=parent.id,
        parity_images=None,
        notes=(),
    )


def _at(spec: TensorSpec, precision: Precision) -> TensorSpec:
    half = precision is Precision.FP16 and spec.dtype == "float32"
    return replace(spec, dtype="float16") if half else spec
