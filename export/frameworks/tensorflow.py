"""Keras's and TensorFlow's models to ONNX: keras.applications by name, the twins of torchvision's networks, and users'
own. TensorFlow is imported in functions only; it never shares a process with torch."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device_agents.contract import Dim
from export.cache import versions
from export.child import THREADS
from export.data import golden
from export.declared import samples
from export.draft import MODEL_FILE, Draft
from export.models import ModelRef
from export.native import Written
from export.request import FREE_BATCH, FREE_HEIGHT, FREE_WIDTH, ExportRequest
from export.tf import apps, convert, native, tf2onnx_fixes, twins, user
from export.tf import model as tf_model
from export.tf.model import Model
from export.tf.network import of_network
from export.user_code import failed
from profiles.errors import ConfigError, ExportError
from profiles.progress import Progress

OPSETS = convert.OPSETS

_LOGITS = "logits"


@dataclass(frozen=True)
class Exporter:
    """Makes the graph of a model. `name` is what the artifact calls it."""

    name: str
    progress: Progress

    def export(self, ref: ModelRef, request: ExportRequest, out: Path) -> Draft:
        """Write model.onnx and golden.npz into `out`. Errors: ExportError, ConfigError; whatever else TensorFlow
        raises, export.worker translates."""
        prepare()
        self.progress(f"load {self.name} with Keras")
        model = load(ref, request)
        _check_batch(model, request, self.name)
        tf_model.refuse_bad_weights(model, self.name)
        self.progress(f"run {self.name} with Keras")
        shapes = self._reference(model, request, out)
        self.progress(f"export {self.name} with tf2onnx")
        function, inner = tf_model.trace(model)
        dims = {name: _dims(shape, shapes[name], request) for name, shape in inner.items()}
        task = convert.Task(function, model.inputs, dims, model.channels_first, request.opset, self.name)
        convert.write(task, out / MODEL_FILE)
        return Draft(
            task=model.task,
            batch=model.batch,
            produced_by={**versions("tensorflow", twin=_is_twin(ref)), "exporter": "tf2onnx, edgebench's layouts"},
            images=model.images,
            ranges={spec.name: (spec.low, spec.high) for spec in model.inputs},
            notes=(*model.notes, *_notes(model, request, inner)),
            sources=model.sources,
        )

    def _reference(self, model: Model, request: ExportRequest, out: Path) -> dict[str, tuple[int, ...]]:
        """Golden data for every size; the shapes of the outputs at the size that engines are tuned for."""
        shapes: dict[str, tuple[int, ...]] = {}
        for file, inputs in samples(model.inputs, model.images, request).items():
            found = _answered(model, inputs, self.name)
            tf_model.refuse_bad_answers(found, self.name)
            golden.save(out / file, inputs, found)
            shapes = shapes or {name: array.shape for name, array in found.items()}
        return shapes


def answers(
    ref: ModelRef, request: ExportRequest, inputs: Mapping[str, NDArray[Any]], progress: Progress
) -> dict[str, NDArray[Any]]:
    """The framework's own outputs for `inputs`, samples first, at the request's precision."""
    prepare()
    progress(f"run {ref.name} with Keras in {request.precision}")
    return tf_model.answers(load(ref, request), inputs)


def write_native(
    ref: ModelRef, request: ExportRequest, inputs: Mapping[str, NDArray[Any]], out: Path, progress: Progress
) -> tuple[Written, dict[str, NDArray[Any]]]:
    """The model as a SavedModel in the flat folder `out`, and what it answers to `inputs` when it is loaded again."""
    prepare()
    progress(f"save {ref.name} with TensorFlow")
    model = load(ref, request)
    written = native.write(model, request, out, versions("tensorflow", twin=_is_twin(ref)))
    progress(f"run {ref.name} as it was saved")
    return written, native.answers(model, request, inputs, out)


def prepare() -> None:
    """The same arithmetic every time: a fixed number of threads, deterministic kernels."""
    import tensorflow as tf

    warnings.simplefilter("ignore")  # of the frameworks: they would fill the log
    tf2onnx_fixes.apply()
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()


def load(ref: ModelRef, request: ExportRequest) -> Model:
    """Errors: ConfigError for an unknown name, ExportError for weights or code of the user's that do not serve."""
    if request.head != "full":
        raise ConfigError("only torchvision's detectors have a raw head", where=ref.name, fix="leave --head out")
    if ref.profile is None:
        return user.load(ref, request)
    library, _, name = ref.profile.frameworks["tensorflow"].source.partition(":")
    image = ref.profile.input
    network = apps.load(name, image, request) if library == "keras" else _twin(ref, request)
    return of_network(network, request, image=image, task=ref.profile.task, lone=_LOGITS)


def _check_batch(model: Model, request: ExportRequest, where: str) -> None:
    """Errors: ConfigError where the model was built for another batch than is asked for."""
    firsts = {spec.shape[0] for spec in model.inputs}
    if len(firsts) > 1:
        raise ExportError(f"its inputs do not share a first dimension, the batch ({firsts})", where=where)
    if request.batch not in ("dynamic", model.batch):
        fix = f"use --batch {model.batch}"
        raise ConfigError(f"the model was built for a batch of {model.batch}", where=where, fix=fix)


def _is_twin(ref: ModelRef) -> bool:
    return bool(ref.profile and ref.profile.frameworks["tensorflow"].source.startswith("twin:"))


def _twin(ref: ModelRef, request: ExportRequest) -> Any:
    if request.weights_path is None or ref.profile is None:
        raise ExportError("the Keras twin was given no weights file", where=ref.name)
    name = ref.profile.frameworks["tensorflow"].source.partition(":")[2]
    with np.load(request.weights_path, allow_pickle=False) as state:
        return twins.build(name, dict(state), ref.profile.input)


def _answered(model: Model, inputs: Mapping[str, NDArray[Any]], where: str) -> dict[str, NDArray[Any]]:
    """Errors: ExportError when the network does not take inputs of this shape."""
    import tensorflow as tf

    try:
        return tf_model.answers(model, inputs)
    except (ValueError, TypeError, KeyError, AttributeError, tf.errors.OpError) as error:
        shapes = ", ".join(f"{name} {array.shape[1:]}" for name, array in inputs.items())
        raise failed(error, f"the network does not take {shapes}", where) from error


def _dims(inner: tuple[int | None, ...], seen: tuple[int, ...], request: ExportRequest) -> tuple[Dim, ...]:
    """An output's dimensions: those that TensorFlow leaves free are the batch, or a side of the image."""
    sides = {}
    if request.size is not None:
        sides = {request.size[0].opt: FREE_HEIGHT, request.size[1].opt: FREE_WIDTH}
    free: tuple[Dim, ...] = (FREE_BATCH, *(sides.get(size, f"free_{axis}") for axis, size in enumerate(seen[1:], 1)))
    if request.size is not None and len(seen) == 4 and seen[1:3] == tuple(side.opt for side in request.size):
        free = (FREE_BATCH, FREE_HEIGHT, FREE_WIDTH, free[3])
    return tuple(name if dim is None else dim for dim, name in zip(inner, free, strict=True))


def _notes(model: Model, request: ExportRequest, outputs: Mapping[str, tuple[int | None, ...]]) -> list[str]:
    """Images are channels-first in every graph; outputs are as the framework gives them."""
    maps = ", ".join(repr(name) for name, shape in outputs.items() if len(shape) == 4)
    notes = [f"output {maps} is as Keras gives it; Keras's maps are channels-last"] if maps else []
    if request.batch == "dynamic" and model.batch != "dynamic":
        notes.append(f"the model was built for a batch of {model.batch}, and its graph takes no other")
    return notes
