"""Labelled images on a device: through the engine in its own process, checked like everything that was shipped."""

from __future__ import annotations

import hashlib
import io

import numpy as np
from agent_lab import CLASSES, Lab

from device_agents.contract import Accuracy, FileEntry, JobSpec, Labelled

MEAN, STD = (0.2, 0.4, 0.6), (0.5, 0.25, 0.125)
COUNT = 7


def shipped(lab: Lab) -> JobSpec:
    """Seven random images in two files, of which the model itself gives the labels of the first four; those of the
    others are the class that it likes least. Batches of three leave one image for the last."""
    random = np.random.default_rng(3)
    images = random.integers(0, 256, (COUNT, 4, 4, 3), dtype=np.uint8)
    weights = _weights(lab)
    planes = ((images.astype(np.float32) / np.float32(255) - np.float32(MEAN)) / np.float32(STD)).transpose(0, 3, 1, 2)
    scores = planes.reshape(COUNT, -1) @ weights
    labels = np.where(np.arange(COUNT) < 4, scores.argmax(axis=1), scores.argmin(axis=1))
    files = {}
    for number, part in enumerate((slice(0, 5), slice(5, None))):
        stream = io.BytesIO()
        np.savez(stream, pixels=images[part], labels=labels[part])
        files[f"images-{number:05}.npz"] = stream.getvalue()
    lab.ship("labelled-0001", files)
    entries = tuple(FileEntry(n, len(d), hashlib.sha256(d).hexdigest()) for n, d in files.items())
    return lab.spec(batch=3, labelled=Labelled("labelled-0001", entries, COUNT, "image", "scores", MEAN, STD))


def _weights(lab: Lab) -> np.ndarray:
    from onnx import load_from_string, numpy_helper

    return numpy_helper.to_array(load_from_string(lab.model["model.onnx"]).graph.initializer[0])


def test_are_counted_in_the_process_that_was_timed(lab: Lab) -> None:
    spec = shipped(lab)
    found = lab.run(spec).status
    assert found.state == "done", (found, (lab.folder() / "log").read_text())
    (process,) = lab.result().processes
    assert process.accuracy == Accuracy(COUNT, 4, COUNT, CLASSES)
    assert process.seconds["accuracy"] > 0


def test_that_changed_after_shipping_are_not_looked_at(lab: Lab) -> None:
    spec = shipped(lab)
    file = lab.workdir / "artifacts" / "labelled-0001" / "images-00001.npz"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    error = lab.fails(spec)
    assert (error.code, error.where) == ("artifact_damaged", str(file))
