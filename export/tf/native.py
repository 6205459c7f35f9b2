"""A model as a SavedModel that TensorFlow on a device runs: the framework's own layout, no code of the user's."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device_agents.contract import NETWORK_FILE, Network, Precision, dumps, from_json, loads
from device_agents.formats import savedmodel
from export.data import golden
from export.native import Written
from export.request import ExportRequest
from export.tf import model as tf_model
from export.tf.inputs import framework_shape
from export.tf.model import Model
from profiles.errors import ExportError

SIGNATURE = "serving_default"


def write(model: Model, request: ExportRequest, out: Path, made_by: Mapping[str, str]) -> Written:
    """Write the files of the SavedModel and its description into `out`: inputs `input_0`..., outputs `output_0`..., in
    the precision of the request. Errors: ExportError."""
    import tensorflow as tf

    names: list[str] = []
    half = request.precision is Precision.FP16

    def call(**tensors: Any) -> dict[str, Any]:
        given = [tf.cast(tensors[f"input_{index}"], spec.dtype) for index, spec in enumerate(model.inputs)]
        found = tf_model.outputs(model, given)
        names[:] = found
        narrow = {
            name: tf.cast(one, tf.float16) if half and one.dtype.is_floating else one for name, one in found.items()
        }
        return {f"output_{index}": tf.identity(narrow[name]) for index, name in enumerate(found)}

    signature = {
        f"input_{index}": tf.TensorSpec(
            framework_shape(spec, model.channels_first), _dtype(spec.dtype, half=half), name=f"input_{index}"
        )
        for index, spec in enumerate(model.inputs)
    }
    function = tf.function(call, autograph=False).get_concrete_function(**signature)
    holder = tf.Module()
    holder.kept = sorted(function.variables, key=lambda one: one.name)  # TensorFlow gives them in any order
    with tempfile.TemporaryDirectory(dir=out.parent) as saved:
        tf.saved_model.save(holder, saved, signatures={SIGNATURE: function})
        try:
            savedmodel.flatten(Path(saved), out)
        except ValueError as error:
            raise ExportError(f"the SavedModel cannot be shipped: {error}") from None
    moved = tuple(spec.name for spec in model.inputs if spec.name in model.channels_first)
    told = Network(outputs=tuple(names), channels_last=moved)
    (out / NETWORK_FILE).write_text(dumps(told, indent=1) + "\n", encoding="utf-8")
    return Written(savedmodel.GRAPH, {**made_by, "exporter": "tf.saved_model"})


def answers(
    model: Model, request: ExportRequest, inputs: Mapping[str, NDArray[Any]], flat: Path
) -> dict[str, NDArray[Any]]:
    """What the SavedModel in the flat folder answers, by the model's names of its outputs, floats as float32."""
    import tensorflow as tf

    half = request.precision is Precision.FP16
    with tempfile.TemporaryDirectory(dir=flat.parent) as saved:
        savedmodel.assemble([path.name for path in flat.iterdir()], flat.resolve(), Path(saved))
        loaded = tf.saved_model.load(saved)
    names = from_json(Network, loads((flat / NETWORK_FILE).read_bytes())).outputs

    def run(part: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        given = {}
        for index, spec in enumerate(model.inputs):
            array = part[spec.name].astype(_dtype(spec.dtype, half=half))
            given[f"input_{index}"] = tf.constant(
                np.moveaxis(array, 1, -1) if spec.name in model.channels_first else array
            )
        found = loaded.signatures[SIGNATURE](**given)
        return {name: _plain(found[f"output_{index}"].numpy()) for index, name in enumerate(names)}

    return golden.in_batches(run, inputs, model.batch if isinstance(model.batch, int) else None)


def _dtype(name: str, *, half: bool) -> str:
    return "float16" if half and name == "float32" else name


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(np.float32) if array.dtype.kind == "f" else array
