"""An artifact whose batch, height and width are free, made by hand: what exporters write for a range of sizes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from device_agents.backends.base import Backend, Runner
from device_agents.contract import DimRange, JobSpec, LoadPattern, Precision, TensorSpec
from export.artifact import Artifact, Format, GraphFacts, Parity, Store, content_id, hash_files
from export.data import golden
from profiles.schema import ImageInput
from tests.jobs import job_spec

LOW, HIGH = -2.0, 2.0
BATCHES = DimRange(1, 2, 8)
SIDES = {"height": DimRange(32, 48, 96), "width": DimRange(32, 64, 96)}
ENDS = ((32, 32), (48, 64), (96, 96))
"""The sizes that golden data exists for: least, tuned for, greatest."""

INPUTS = (TensorSpec("images", "float32", ("batch", 3, "height", "width"), LOW, HIGH),)
OUTPUTS = (
    TensorSpec("logits", "float32", ("batch", 10)),
    TensorSpec("features", "float32", ("batch", 4, "out_h", "((width - 1)//2) + 1")),
)


def write_model(path: Path) -> Path:
    """images[batch,3,height,width] -> Conv of stride 2 -> Relu -> features -> GlobalAveragePool -> logits[batch,10]."""
    import onnx
    from onnx import helper, numpy_helper

    random = np.random.default_rng(5)
    kind = onnx.TensorProto.FLOAT
    constants = [
        numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), name)
        for name, shape in (("kernel", (4, 3, 3, 3)), ("matrix", (4, 10)))
    ]
    nodes = [
        helper.make_node("Conv", ["images", "kernel"], ["c"], name="conv", strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["features"], name="relu"),
        helper.make_node("GlobalAveragePool", ["features"], ["pooled"], name="pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], name="flatten"),
        helper.make_node("MatMul", ["flat", "matrix"], ["logits"], name="head"),
    ]
    inputs, outputs = (
        [helper.make_tensor_value_info(one.name, kind, list(one.shape)) for one in specs] for specs in (INPUTS, OUTPUTS)
    )
    graph = helper.make_graph(nodes, "free", inputs, outputs, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def drawing(pattern: LoadPattern, **changes: Any) -> JobSpec:
    """A job of that model which draws the sizes of its images, two at a time, and is checked at 64 x 64."""
    fields: dict[str, Any] = {
        "inputs": tuple(one.at_batch(2, {"height": 64, "width": 64}) for one in INPUTS),
        "outputs": tuple(one.at_batch(2) for one in OUTPUTS),
        "batch": 2,
        "free_dims": {"batch": 2},
        "graph_inputs": INPUTS,
        "pattern": pattern,
    }
    return job_spec(**{**fields, **changes})


def images(side: int) -> dict[str, Any]:
    return {"images": np.random.default_rng(side).standard_normal((2, 3, side, side)).astype(np.float32)}


def computes(backend: Backend | Runner, model: Path, sizes: Sequence[int]) -> None:
    """In slots of different sizes, in any order; outputs that depend on the size included. It is closed then."""
    for slot, side in enumerate(sizes):
        backend.bind(images(side), slot)
    for slot in (*range(len(sizes)), *reversed(range(len(sizes)))):
        backend.enqueue(slot)
        backend.wait(slot)
        for name, wanted in computed(model, images(sizes[slot])["images"]).items():
            found = np.asarray(backend.outputs(slot)[name], np.float32)
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    backend.close()
    backend.close()


def adopted(store: Store, *, batches: DimRange | None = BATCHES, **changes: Any) -> Artifact:
    """That model in the store as resnet18 of pytorch with random weights, FP32, and golden data for ENDS."""
    with store.workspace() as workspace:
        folder = workspace / "artifact"
        folder.mkdir()
        model = write_model(folder / "model.onnx")
        for size in ENDS:
            name = golden_name(size)
            images = golden.on_float16_grid(np.random.default_rng(sum(size)).uniform(LOW, HIGH, (8, 3, *size)))
            golden.save(folder / name, {"images": images}, computed(model, images))
        files = hash_files(folder)
        fields: dict[str, Any] = {
            "id": content_id(files), "path": folder, "model": "resnet18", "framework": "pytorch",
            "format": Format.ONNX, "precision": Precision.FP32, "weights": "random", "batch": "dynamic",
            "inputs": INPUTS, "outputs": OUTPUTS, "model_file": "model.onnx", "files": files,
            "parity": Parity(1e-7, 1e-3, "logits", 8, 1.0), "graph": GraphFacts(1, 1, 5, 0, 17),
            "golden": "golden.npz", "profiles": ({**({"batch": batches} if batches else {}), **SIDES},),
            "images": (ImageInput("images", (3, 48, 64), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),),
        }  # fmt: skip
        return store.adopt(folder, Artifact(**{**fields, **changes}))


def golden_name(size: tuple[int, int]) -> str:
    return "golden.npz" if size == (48, 64) else f"golden-{size[0]}x{size[1]}.npz"


def computed(model: Path, images: Any) -> dict[str, Any]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return dict(zip(("logits", "features"), session.run(["logits", "features"], {"images": images}), strict=True))
