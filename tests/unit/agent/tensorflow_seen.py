"""Runs the tensorflow backend on a small SavedModel and prints what was seen, as JSON. A process of its own: TensorFlow
and torch are never in one."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from device_agents.backends.tensorflow import Backend
from device_agents.contract import NETWORK_FILE, FileEntry, JobSpec, LoadPattern, Network, TensorSpec, dumps
from device_agents.errors import DeviceError
from device_agents.formats import savedmodel
from tests.jobs import job_spec

NAMES = (savedmodel.GRAPH, "variables.index", "variables.data-00000-of-00001")
SPEC = job_spec(
    backend="tensorflow",
    files=tuple(FileEntry(name, 1, "0" * 64) for name in NAMES),
    model_file=savedmodel.GRAPH,
    inputs=(TensorSpec("images", "float32", (2, 3, 8, 8)),),
    outputs=(TensorSpec("logits", "float32", (2, 4)),),
    batch=2,
)


DRAWN = replace(
    SPEC,
    outputs=(TensorSpec("logits", "float32", (2, 3)),),
    graph_inputs=(TensorSpec("images", "float32", ("batch", 3, "height", "width")),),
    pattern=LoadPattern("sizes", sizes=(4, 8, 12)),
)


def save(out: Path) -> np.ndarray:
    """Channels-last images to four sums by a random matrix, which is returned."""
    holder = tf.Module()
    holder.matrix = tf.Variable(np.random.default_rng(1).random((8 * 8 * 3, 4), np.float32))

    @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 3), tf.float32, name="input_0")])
    def run(input_0: Any) -> dict[str, Any]:
        return {"output_0": tf.reshape(input_0, (-1, 8 * 8 * 3)) @ holder.matrix}

    with tempfile.TemporaryDirectory(dir=out) as folder:
        tf.saved_model.save(holder, folder, signatures={"serving_default": run})
        savedmodel.flatten(Path(folder), out)
    (out / NETWORK_FILE).write_text(dumps(Network(("logits",), channels_last=("images",))))
    return holder.matrix.numpy()


def save_free(out: Path) -> None:
    """Channels-last images of any size to the mean of each channel."""

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32, name="input_0")])
    def run(input_0: Any) -> dict[str, Any]:
        return {"output_0": tf.reduce_mean(input_0, axis=(1, 2)) * holder.one}

    holder = tf.Module()
    holder.one = tf.Variable(1.0)
    with tempfile.TemporaryDirectory(dir=out) as folder:
        tf.saved_model.save(holder, folder, signatures={"serving_default": run})
        savedmodel.flatten(Path(folder), out)
    (out / NETWORK_FILE).write_text(dumps(Network(("logits",), channels_last=("images",))))


def drawn(path: Path, **options: Any) -> dict[str, Any]:
    """Slots of three sizes, in any order."""
    backend = loaded(path, DRAWN, **options)
    batches = [np.random.default_rng(side).random((2, 3, side, side), np.float32) for side in DRAWN.pattern.sizes]
    for slot, images in enumerate(batches):
        backend.bind({"images": images}, slot)
    errors = []
    for slot in (2, 0, 1, 0, 2):
        backend.enqueue(slot)
        backend.wait(slot)
        errors.append(float(np.abs(backend.outputs(slot)["logits"] - batches[slot].mean(axis=(2, 3))).max()))
    return {"off": max(errors), "counted": {name: one.value for name, one in backend.readings().items()}}


def loaded(path: Path, spec: JobSpec = SPEC, **options: Any) -> Backend:
    backend = Backend()
    backend.start()
    backend.load(path, replace(spec, options=options))
    if backend.compiles:
        backend.compile(path.parent, path.parent)
    return backend


def refusal(path: Path, spec: JobSpec = SPEC, **options: Any) -> str:
    try:
        loaded(path, spec, **options)
    except DeviceError as error:
        return error.info.message
    return ""


def off(backend: Backend, images: np.ndarray, matrix: np.ndarray) -> float:
    """The largest error of the outputs against numpy's own."""
    backend.bind({"images": images}, 0)
    backend.enqueue(0)
    backend.wait(0)
    wanted = np.moveaxis(images, 1, -1).reshape(len(images), -1) @ matrix
    return float(np.abs(backend.outputs(0)["logits"] - wanted).max())


def main(folder: Path) -> dict[str, Any]:
    matrix, path = save(folder), folder / savedmodel.GRAPH
    images = np.random.default_rng(2).random((2, 3, 8, 8), np.float32)
    seen: dict[str, Any] = {"files": sorted(one.name for one in folder.iterdir())}
    ways = {"graph": {}, "xla": {"mode": "xla"}, "unwaited": {"wait": False}}
    for name, options in ways.items():
        backend = loaded(path, **options)
        seen[name] = {"off": off(backend, images, matrix), "switches": backend.switches()}
    resident = loaded(path, replace(SPEC, transfers=False))
    seen["resident"] = {"off": off(resident, images, matrix)}
    before = backend.readings()["retraces"].value
    off(backend, np.concatenate([images, images]), matrix)
    seen["retraces"] = [before, backend.readings()["retraces"].value]
    seen["refused"] = {
        "mode": refusal(path, mode="eager"),
        "provider": refusal(path, provider="cuda"),
        "size": refusal(path, replace(SPEC, inputs=(replace(SPEC.inputs[0], shape=(2, 3, 9, 9)),))),
    }
    free = folder / "free"
    free.mkdir()
    save_free(free)
    seen["drawn"] = {mode: drawn(free / savedmodel.GRAPH, mode=mode) for mode in ("graph", "xla")}
    path.write_bytes(b"no graph")
    seen["refused"]["damaged"] = refusal(path)
    return seen


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
