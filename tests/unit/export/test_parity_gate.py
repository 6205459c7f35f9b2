"""The gate on graphs of a few nodes: the operator's images, what the graph takes of them, and what artifacts answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_agents.contract import Precision, to_json
from export import graph
from export.api import export_model, parse_model
from export.artifact import (
    GOLDEN,
    JUDGED,
    Artifact,
    Format,
    GraphFacts,
    NotChecked,
    Parity,
    Store,
    content_id,
    hash_files,
)
from export.data import golden, images, shipped
from export.draft import Case, Draft
from export.judging import gate, parity, reference
from export.request import ExportRequest, to_job
from profiles.errors import ExportError, ParityError
from profiles.progress import silent
from profiles.schema import ImageInput
from tests.unit.export import small_graphs as small

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

node = small.node
IMAGE = ImageInput("x", (3, 6, 6), (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
OTHER = ImageInput("other", (3, 6, 6))
PHOTOS = np.random.default_rng(0).integers(0, 256, (3, 6, 6, 3), dtype=np.uint8)


def network(*more: Any, **outputs: Any) -> Any:
    nodes = [node("Conv", ["x", "w"], ["a"], kernel_shape=[3, 3]), node("Relu", ["a"], ["y"]), *more]
    constants = {"w": small.random(4, 3, 3, 3), "huge": np.float32(1e9)}
    return small.graph(nodes, {"x": ["batch", 3, 6, 6]}, {"y": ["batch", 4, 4, 4], **outputs}, constants)


def photos(count: int = 3, *shown: ImageInput) -> dict[str, Any]:
    """The operator's images, normalised."""
    return {image.name: images.normalise(PHOTOS[:count], image) for image in shown or (IMAGE,)}


def judged(
    folder: Path,
    model: Any,
    given: dict[str, Any],
    *,
    shown: tuple[ImageInput, ...] = (IMAGE,),
    pixels: str = "float",
    off: float = 0.0,
) -> dict[str, Any]:
    """The artifact that the gate makes, as JSON. The framework's answers to the images are those of the graph, but for
    `off`."""
    draft, out, joined = folder / "draft", folder / "out", folder / "images.npz"
    for one in (draft, out):
        one.mkdir()
    path = graph.save(model, draft)
    seeded = {image.name: golden.images(image, pixels=pixels == "uint8") for image in shown}
    golden.save(draft / "golden.npz", seeded, parity.run(path, seeded, Precision.FP32))
    answers = parity.run(path, given, Precision.FP32)
    golden.save(joined, given, {name: array + array * off if off else array for name, array in answers.items()})
    case = Case("net", str(draft), str(draft), str(out), Draft("other", "batch", {}, images=shown), images=str(joined))
    request = ExportRequest(
        model="sha256:0",
        framework="onnx",
        precision=Precision.FP32,
        batch="dynamic",
        weights="",
        opset=0,
        pixels=pixels,
    )
    made: dict[str, Any] = gate.compute({"case": to_json(case), "request": to_job(request)}, silent)["artifact"]
    return made


@pytest.mark.parametrize(("pixels", "dtype"), [("float", "float32"), ("uint8", "uint8")])
def test_the_operators_images_are_given_as_the_graph_takes_them(tmp_path: Path, pixels: str, dtype: str) -> None:
    made = judged(tmp_path, network(), photos(), pixels=pixels)
    assert made["inputs"][0]["dtype"] == dtype
    assert made["parity_images"]["inputs"] == 3
    assert made["parity_images"]["error"] < 1e-5
    assert not made["notes"]


def test_an_image_that_the_graph_does_not_read_is_not_given_to_it(tmp_path: Path) -> None:
    model = network()
    model.graph.input.append(small.value("other", ["batch", 3, 6, 6]))
    made = judged(tmp_path, model, photos(3, IMAGE, OTHER), shown=(IMAGE, OTHER))
    assert [spec["name"] for spec in made["inputs"]] == ["x"]
    assert made["parity_images"]["error"] < 1e-5


def test_one_image_gives_an_error_no_scale_and_refuses_nothing(tmp_path: Path) -> None:
    made = judged(tmp_path, network(), photos(1))
    assert made.get("parity_images") is None
    assert made["notes"] == ["not compared on your images, as it is the same for all of them: output 'y'"]
    assert made["parity"]["inputs"] == 8


def test_an_output_that_no_image_changes_is_told_and_the_others_are_compared(tmp_path: Path) -> None:
    flag = node("Greater", ["y", "huge"], ["found"])
    model = network(flag)
    model.graph.output.append(small.value("found", ["batch", 4, 4, 4], small.onnx.TensorProto.BOOL))
    made = judged(tmp_path, model, photos())
    assert set(made["parity_images"]["errors"]) == {"y"}
    assert set(made["parity"]["errors"]) == {"y", "found"}
    assert made["notes"] == ["not compared on your images, as it is the same for all of them: output 'found'"]


def test_a_graph_that_is_wrong_on_the_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParityError, match="output 'y' is off by"):
        judged(tmp_path, network(), photos(), off=0.1)


def test_an_operator_of_one_runtime_is_found_in_a_function_too(tmp_path: Path) -> None:
    """Once the functions are written out there is nothing else that it could be."""
    helper = small.onnx.helper
    model = small.graph(
        [node("Ours", ["x"], ["y"], domain="ours")], {"x": ["batch", 3, 6, 6]}, {"y": ["batch", 3, 6, 6]}
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    inner = [node("Gelu", ["a"], ["b"], name="own", domain="com.microsoft")]
    model.functions.append(helper.make_function("ours", "Ours", ["a"], ["b"], inner, opsets))
    model.opset_import.extend([helper.make_opsetid("ours", 1), opsets[1]])
    with pytest.raises(ExportError, match=r"is a Gelu of com\.microsoft, which is no operator of ONNX"):
        judged(tmp_path, model, photos())


class TestWhatHasAScale:
    BOXES = np.float32([[[0, 0, 9, 9], [0, 0, 0, 0]]])
    FOUND = {"boxes": BOXES, "scores": np.float32([[0.9, 0]]), "labels": np.int64([[1, 0]])}

    def test_are_boxes_of_one_image_too(self) -> None:
        beside = {"features": np.ones((1, 9), np.float32), "levels": np.ones((1, 2), int)}
        assert set(gate._with_scale({**self.FOUND, **beside}, "detection")) == {*self.FOUND, "levels"}
        assert gate._with_scale(self.FOUND, "other") == {}

    def test_is_nothing_where_nothing_was_found(self) -> None:
        nothing = {name: array * 0 for name, array in self.FOUND.items()}
        assert gate._with_scale(nothing, "detection") == {}


def test_an_artifact_whose_weights_lie_beside_it_answers(tmp_path: Path) -> None:
    weights = small.random(100, 100)
    model = small.graph(
        [node("MatMul", ["x", "w"], ["y"])], {"x": ["batch", 100]}, {"y": ["batch", 100]}, {"w": weights}
    )
    path = graph.save(model, tmp_path, limit=1000)
    x = small.random(3, 100, seed=1)
    golden.save(tmp_path / "inputs.npz", {"x": x}, {})
    job = {
        "model": str(path),
        "inputs": str(tmp_path / "inputs.npz"),
        "precision": "fp32",
        "out": str(tmp_path / "out"),
    }
    reference.compute(job, silent)
    assert np.allclose(golden.load(tmp_path / "out")[1]["y"], x @ weights, atol=1e-4)


def test_of_large_maps_little_is_shipped_and_what_is_made_of_the_graph_is_judged_by_all(tmp_path: Path) -> None:
    side, store = 200, Store(tmp_path / "store")
    nodes = [node("Conv", ["x", "w"], ["y"], kernel_shape=[1, 1])]
    shapes = {"x": ["batch", 3, side, side]}, {"y": ["batch", 21, side, side]}
    path = tmp_path / "maps.onnx"
    path.write_bytes(small.graph(nodes, *shapes, {"w": small.random(21, 3, 1, 1)}).SerializeToString())
    ref = parse_model(str(path))
    asked = {"framework": "onnx", "batch": "dynamic", "weights": "pretrained", "store": store}
    made = {
        precision: export_model(ref, precision=precision, **asked) for precision in (Precision.FP32, Precision.FP16)
    }
    for precision, artifact in made.items():
        assert sum(file.size for file in artifact.files) < shipped.ROOM * 1.05
        assert (artifact.path / JUDGED).exists() == (precision is Precision.FP32)
    parity_of_half = made[Precision.FP16].parity
    assert isinstance(parity_of_half, Parity)
    assert parity_of_half.inputs == golden.COUNT
    inputs, outputs = golden.load(made[Precision.FP32].path / JUDGED / GOLDEN)
    assert outputs["y"].shape == (golden.COUNT, 21, side, side)
    found = parity.run(made[Precision.FP16].path / "model.onnx", inputs, Precision.FP16)
    assert parity_of_half.error == pytest.approx(parity.relative_error(outputs["y"], found["y"]))


def test_what_a_graph_was_judged_by_comes_back_with_a_fresh_export(tmp_path: Path) -> None:
    store, folders = Store(tmp_path / "store"), [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        (folder / JUDGED).mkdir(parents=True)
        (folder / JUDGED / GOLDEN).write_bytes(b"all of it")
        (folder / "model.onnx").write_bytes(b"a graph")
    first = store.adopt(folders[0], adopted(folders[0]))
    (first.path / JUDGED / GOLDEN).unlink()
    (first.path / JUDGED).rmdir()
    again = store.adopt(folders[1], adopted(folders[1]))
    assert (again.id, (again.path / JUDGED / GOLDEN).read_bytes()) == (first.id, b"all of it")


def adopted(folder: Path) -> Artifact:
    files = hash_files(folder)
    facts = GraphFacts(None, 0, 1, 0, 18)
    return Artifact(
        content_id(files), folder, "net", "onnx", Format.ONNX, Precision.FP32, "", 1, (), (), "model.onnx", files,
        NotChecked("a test"), facts,
    )  # fmt: skip
