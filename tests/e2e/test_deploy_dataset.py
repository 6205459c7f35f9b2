"""`deploy --dataset`: how many labelled images the engine that was timed gets right, on the device."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from export.artifact import Format
from profiles.schema import ImageInput
from tests import labelled
from tests.e2e.conftest import ArtifactStore
from tests.labelled import COUNT, TOP1, TOP5
from tests.operator import BRIEF, FAST, Operator

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
SMALL = ImageInput(shape=(3, 32, 32), mean=MEAN, std=STD)
OF_IMAGENET = ImageInput()


@pytest.fixture
def classifier(operator: Operator, tiny_onnx: Path) -> tuple[Operator, Path]:
    """An operator who exported a small model with what it wants its images normalised by; and images with labels."""
    told = [text for name, values in (("--mean", MEAN), ("--std", STD)) for text in (name, ",".join(map(str, values)))]
    assert operator.run("export", tiny_onnx, *told).code == 0
    operator.prelude = BRIEF
    return operator, labelled.write(operator.home / "data", labelled.through_onnxruntime(tiny_onnx), SMALL)


def deploy(operator: Operator, *more: object, code: tuple[int, ...] = (0, 4)) -> dict[str, object]:
    answer = operator.run("deploy", *FAST, *more, "--json", timeout=400)
    assert answer.code in code, answer.err + answer.out
    (row,) = answer.json["measurements"]
    return row


def test_counts_what_the_model_has_right_and_no_more(classifier: tuple[Operator, Path], tiny_onnx: Path) -> None:
    operator, folder = classifier
    row = deploy(operator, tiny_onnx, "--precision", "fp32", "--dataset", folder, "--batch", "5")
    found = row["accuracy"]
    assert (found["images"], found["classes"]) == (COUNT, 10)  # type: ignore[index]
    assert (found["top1"]["count"], found["top5"]["count"]) == (TOP1, TOP5)  # type: ignore[index]
    low, high = (found["top1"][end] for end in ("low", "high"))  # type: ignore[index]
    assert low < TOP1 / COUNT < high
    shown = operator.run("results", "show", row["id"]).out
    told = "top-1 33.3% (13.8% to 60.9%), top-5 66.7% (39.1% to 86.2%) of 12 images"
    assert told in shown
    listed = operator.run("results", "list").out
    assert "top-1" in listed
    assert "33.3%" in listed
    queried = operator.run("results", "query", "SELECT images_labelled, top1, top5 FROM measurements", "--json").json
    assert json.dumps(queried).count("0.333") == 1

    again = deploy(operator, tiny_onnx, "--precision", "fp32", "--dataset", folder, "--batch", "5", "--fresh")
    assert again["accuracy"] == found
    assert len(list(operator.device_home.glob("artifacts/*/images-00000.npz"))) == 1, "shipped once"
    assert deploy(operator, tiny_onnx, "--precision", "fp32")["accuracy"] is None


def test_only_the_last_process_has_the_images(classifier: tuple[Operator, Path], tiny_onnx: Path) -> None:
    operator, folder = classifier
    asked = ("deploy", "--quick", "--processes", "2", tiny_onnx, "--precision", "fp32", "--dataset", folder, "--json")
    (row,) = operator.run(*asked).json["measurements"]
    processes = operator.stored(row["id"])["result"]["processes"]
    assert [process.get("accuracy") is not None for process in processes] == [False, True]
    assert row["accuracy"]["top1"]["count"] == TOP1


@pytest.mark.parametrize(
    ("framework", "backend"), [("pytorch", "pytorch"), ("tensorflow", "tensorflow"), ("tensorflow", "onnxruntime")]
)
def test_every_runtime_has_the_same_ones_right(
    operator: Operator, artifact_store: ArtifactStore, framework: str, backend: str
) -> None:
    """The labels are from PyTorch's graph of the network; Keras's twin has its weights."""
    graph = artifact_store.get("resnet18")
    answer = labelled.through_onnxruntime(graph.path / "model.onnx")
    folder = labelled.write(operator.home / "data", answer, OF_IMAGENET)
    forms = {"pytorch": Format.SAFETENSORS, "tensorflow": Format.SAVEDMODEL, "onnxruntime": Format.ONNX}
    artifact_store.get("resnet18", framework, format=forms[backend])
    operator.prelude = BRIEF
    (operator.home / ".cache").mkdir()
    (operator.home / ".cache" / "edgebench").symlink_to(artifact_store.store.root)
    asked = ("--framework", framework, "--backend", backend, "--precision", "fp32", "--batch", "4")
    row = deploy(operator, "resnet18", *asked, "--dataset", folder)
    assert row["accuracy"]["top1"]["count"] == TOP1  # type: ignore[index]
    assert row["accuracy"]["top5"]["count"] == TOP5  # type: ignore[index]


def test_what_does_not_fit_is_one_sentence(classifier: tuple[Operator, Path], tiny_onnx: Path) -> None:
    operator, folder = classifier
    asked = ("deploy", *FAST, tiny_onnx, "--precision", "fp32", "--dataset")
    (folder / "10").mkdir()
    refused = operator.run(*asked, folder)
    assert refused.code == 2
    assert "'10' holds no .jpg, .jpeg, .png files" in refused.err
    (folder / "10" / "a.png").write_bytes(b"no image")
    refused = operator.run(*asked, folder)
    assert refused.code == 2, refused.err
    assert "the folder '10' is no class: the model's are 0 to 9" in refused.err
    (folder / "10" / "a.png").rename(next(folder.glob("[0-9]")) / "a.png")
    (folder / "10").rmdir()
    refused = operator.run(*asked, folder)
    assert refused.code == 2, refused.err
    assert "a.png: not an image that Pillow reads" in refused.err
    assert "Traceback" not in refused.err
    assert operator.run(*asked, "nowhere").code == 2


def test_a_plan_names_its_dataset_from_its_own_folder(classifier: tuple[Operator, Path], tiny_onnx: Path) -> None:
    operator, folder = classifier
    (operator.home / "plan.toml").write_text(
        f'models = ["{tiny_onnx}"]\nquick = true\ndevices = "local"\ndataset = "data/{folder.name}"\n'
    )
    answer = operator.run("sweep", "plan.toml", "--json")
    assert answer.code in (0, 4), answer.err
    assert answer.json["measurements"][0]["accuracy"]["top5"]["count"] == TOP5
    (operator.home / "plan.toml").write_text(
        f'models = ["{tiny_onnx}"]\nquick = true\ndevices = "local"\ndataset = "elsewhere"\n'
    )
    refused = operator.run("sweep", "plan.toml")
    assert refused.code == 2
    assert "plan.toml, key 'dataset', " in refused.err
    assert "there is no such folder" in refused.err
