"""A TensorFlow model that is ready to be run and exported, whatever it came from, and the running of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device_agents.contract import Dim, TensorSpec
from export.data import golden
from export.nest import LONE, flatten
from export.request import ExportRequest
from export.tf.inputs import Told, as_graph_input, framework_shape, images_of, unlike
from export.tf.keras_fixes import traceable
from profiles.errors import ExportError
from profiles.schema import ImageInput

Arrays = dict[str, NDArray[Any]]

_VALUES = 8 * 3 * 224 * 224
"""How many values of inputs go through a network at a time, where its batch is free: memory is bounded so."""


@dataclass(frozen=True)
class Model:
    """`call` takes a tensor for each input, as the framework wants it, and returns any nest of tensors. `inputs` are as
    the graph shall have them; those in `channels_first` are channels-last in the framework. `lone` is what a single
    output is called; `weights` are (name, values)."""

    call: Callable[[list[Any]], Any]
    inputs: tuple[TensorSpec, ...]
    channels_first: frozenset[str]
    weights: Callable[[], Iterable[tuple[str, Any]]] = tuple
    task: str = "other"
    images: tuple[ImageInput, ...] = ()
    lone: str = LONE
    notes: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def batch(self) -> Dim:
        first = self.inputs[0].shape[0]
        return "dynamic" if isinstance(first, str) else first


def as_model(
    told: Sequence[Told], request: ExportRequest, call: Callable[[list[Any]], Any], known: ImageInput | None = None
) -> Model:
    """`known` is the image that the lone input is, as it is called in the graph."""
    if known is not None and len(told) == 1:
        told = [(known.name, *told[0][1:])]
    made = [as_graph_input(one, request) for one in told]
    specs = tuple(spec for spec, _ in made)
    moved = frozenset(spec.name for spec, channels_first in made if channels_first)
    return Model(call, specs, moved, images=images_of(specs, moved, known, request))


def answers(model: Model, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
    """The framework's own outputs by name, samples first, for inputs as the graph takes them. Errors: ExportError for
    outputs that are not usable."""
    step = model.batch if isinstance(model.batch, int) else _step(inputs)
    return golden.in_batches(lambda part: _run(model, part), inputs, step)


def _step(inputs: Mapping[str, NDArray[Any]]) -> int:
    values = sum(math.prod(array.shape[1:]) for array in inputs.values())
    return max(1, min(golden.COUNT, _VALUES // max(1, values)))


def _run(model: Model, part: Mapping[str, NDArray[Any]]) -> Arrays:
    import tensorflow as tf

    tensors = []
    for spec in model.inputs:
        array = np.asarray(part[spec.name], spec.dtype)
        tensors.append(tf.constant(np.moveaxis(array, 1, -1) if spec.name in model.channels_first else array))
    found = {}
    for name, tensor in outputs(model, tensors).items():
        if tensor.shape.rank == 0 or tensor.shape[0] != len(array):
            message = f"output {name!r} has the shape {tuple(tensor.shape)} for a batch of {len(array)}"
            raise ExportError(message, fix="return tensors whose first dimension is the batch")
        values = tensor.numpy()
        found[name] = values.astype(np.float32) if values.dtype.kind == "f" else values
    return found


def outputs(model: Model, tensors: list[Any]) -> dict[str, Any]:
    """What the model returns, by name. Errors: ExportError for one that is called like an input."""
    import tensorflow as tf

    taken = [spec.name for spec in model.inputs]
    found = flatten(model.call(tensors), tf.is_tensor, lone=unlike(model.lone, taken))
    for name in found:
        if name in taken:
            raise ExportError(f"an output is called {name!r}, as an input is", fix="give one of them another name")
    return found


def trace(model: Model) -> tuple[Any, dict[str, tuple[int | None, ...]]]:
    """(a ConcreteFunction of the model's inputs in order, the shapes of its outputs by name, None where free)."""
    import tensorflow as tf

    names: list[str] = []

    def call(*tensors: Any) -> list[Any]:
        found = outputs(model, list(tensors))
        names[:] = found
        return [tf.identity(tensor) for tensor in found.values()]

    signature = [
        tf.TensorSpec(framework_shape(spec, model.channels_first), tf.as_dtype(spec.dtype), name=f"input_{index}")
        for index, spec in enumerate(model.inputs)
    ]
    with traceable():
        function = tf.function(call, autograph=False).get_concrete_function(*signature)
    shapes = {}
    for name, tensor in zip(names, function.outputs, strict=True):
        if tensor.shape.rank is None:
            raise ExportError(f"TensorFlow does not know how many dimensions output {name!r} has")
        shapes[name] = tuple(tensor.shape)
    return function, shapes


def refuse_bad_weights(model: Model, where: str) -> None:
    """Errors: ExportError that names a weight with values that are not finite."""
    for name, value in model.weights():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise ExportError(f"weight {name!r} has values that are not finite", where=where)


def refuse_bad_answers(found: Arrays, where: str) -> None:
    """Errors: ExportError that names an output which is not finite in the framework itself."""
    for name, array in found.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ExportError(f"the network itself gives values that are not finite for {name!r}", where=where)
