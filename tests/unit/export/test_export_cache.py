"""Which artifact answers a request, without any framework."""

import hashlib
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from device_agents.contract import DimRange, FileEntry, Precision, TensorSpec
from export import cache
from export.api import export_model, find_any, write_copy
from export.artifact import Artifact, Format, GraphFacts, NotChecked, Store, content_id
from export.models import ModelRef, parse_model
from export.request import ExportRequest
from profiles.errors import ConfigError

REF = parse_model("resnet18")
REQUEST = ExportRequest("resnet18", "pytorch", Precision.FP32, "dynamic", "random")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def put(store: Store, content: bytes, **changes: object) -> Artifact:
    """An artifact in the store whose payload is `content`."""
    with store.workspace() as workspace:
        folder = workspace / "a"
        folder.mkdir()
        (folder / "model.onnx").write_bytes(content)
        files = (FileEntry("model.onnx", len(content), hashlib.sha256(content).hexdigest()),)
        draft = Artifact(
            id=content_id(files),
            path=folder,
            model="resnet18",
            framework="pytorch",
            format=Format.ONNX,
            precision=Precision.FP32,
            weights="random",
            batch="dynamic",
            inputs=(TensorSpec("images", "float32", ("batch", 3, 224, 224)),),
            outputs=(TensorSpec("logits", "float32", ("batch", 1000)),),
            model_file="model.onnx",
            files=files,
            parity=NotChecked("a test's"),
            graph=GraphFacts(1, 1, 1, 0, 18),
        )
        return cache.adopt(store, folder, replace(draft, **changes))


def installed(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    def version(package: str) -> str:
        try:
            return versions[package.replace("-", "_")]
        except KeyError:
            raise cache.importlib.metadata.PackageNotFoundError(package) from None

    monkeypatch.setattr(cache.importlib.metadata, "version", version)


ALL = {"torch": "2", "torchvision": "2", "onnx": "1", "onnxscript": "1", "onnx_ir": "1"}


def test_a_base_install_is_served_what_another_one_made(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, **ALL)
    artifact = put(store, b"x")
    cache.remember(REF, REQUEST, store, artifact)
    installed(monkeypatch)
    assert cache.lookup(REF, REQUEST, store) == artifact


def test_another_version_of_the_framework_makes_its_own(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, **ALL)
    cache.remember(REF, REQUEST, store, put(store, b"x"))
    assert cache.lookup(REF, REQUEST, store)
    installed(monkeypatch, **{**ALL, "torch": "3"})
    assert cache.lookup(REF, REQUEST, store) is None


def test_two_requests_with_one_payload_have_notes_of_their_own(store: Store) -> None:
    """What was left out, or why a graph was converted, is of how it was asked for."""
    asked = {"native": (), "auto": ("converted, as \u2028 failed:\n so",), "convert": ("left alone",)}
    for method, notes in asked.items():
        request = replace(REQUEST, fp16_method=method)
        cache.remember(REF, request, store, put(store, b"x", notes=notes))
    found = {method: cache.lookup(REF, replace(REQUEST, fp16_method=method), store) for method in asked}
    assert {method: one and one.notes for method, one in found.items()} == asked
    assert len({one and one.id for one in found.values()}) == 1


def test_what_was_remembered_before_there_were_notes_is_served_all_the_same(store: Store) -> None:
    artifact = put(store, b"x", notes=("of its manifest",))
    (store.root / "requests").mkdir()
    (store.root / "requests" / "key").write_text(artifact.id)
    assert store.answer("key") == artifact
    (store.root / "requests" / "key").write_text(f"{artifact.id}\nnotes that are torn")
    assert store.answer("key") is None


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, precision=Precision.FP16),
        replace(REQUEST, batch=1),
        replace(REQUEST, weights="pretrained"),
        replace(REQUEST, opset=17),
        replace(REQUEST, bounds=(DimRange(1, 8, 32),)),
    ],
)
def test_another_request_is_no_hit(store: Store, other: ExportRequest) -> None:
    cache.remember(REF, REQUEST, store, put(store, b"x"))
    assert cache.lookup(REF, other, store) is None


def test_what_equals_its_default_is_no_part_of_the_key() -> None:
    """A field that is added later leaves the keys of all stores as they are."""
    assert REQUEST.key(recipe=1) == "b8d4706119f0c9d5084f0e9813df170050e4678d6093d60065b5b252d478462a"
    assert replace(REQUEST, head="full", pixels="float", io="model", bounds=()).key(recipe=1) == REQUEST.key(recipe=1)


@pytest.mark.parametrize("other", [{"model": "torchvision:resnet18"}, {"weights": "sha256:" + "0" * 64}])
def test_what_another_request_wrote_of_the_same_payload_is_no_hit(store: Store, other: dict[str, str]) -> None:
    cache.remember(REF, REQUEST, store, put(store, b"x"))
    put(store, b"x", **other)
    assert cache.lookup(REF, REQUEST, store) is None


def test_an_edited_profile_is_another_request(store: Store) -> None:
    cache.remember(REF, REQUEST, store, put(store, b"x"))
    assert REF.profile is not None
    edited = replace(REF, profile=replace(REF.profile, input=replace(REF.profile.input, shape=(3, 96, 96))))
    assert cache.lookup(edited, REQUEST, store) is None


def test_a_damaged_artifact_is_no_hit_and_makes_way_for_a_whole_one(store: Store) -> None:
    artifact = put(store, b"whole")
    cache.remember(REF, REQUEST, store, artifact)
    (artifact.path / "model.onnx").write_bytes(b"who")
    assert cache.lookup(REF, REQUEST, store) is None
    assert (put(store, b"whole").path / "model.onnx").read_bytes() == b"whole"


def test_deploy_takes_pretrained_before_random_before_files(store: Store) -> None:
    file = put(store, b"file", weights="sha256:" + "0" * 64)
    assert find_any(store, REF, "pytorch", Precision.FP32, "dynamic") == file
    pretrained = put(store, b"pretrained", weights="pretrained")
    put(store, b"random", weights="random")
    assert find_any(store, REF, "pytorch", Precision.FP32, "dynamic") == pretrained
    assert find_any(store, REF, "pytorch", Precision.FP16, "dynamic") is None
    assert find_any(store, REF, "pytorch", Precision.FP32, 1) is None


def test_deploy_takes_weights_and_opsets_that_it_can_use(store: Store) -> None:
    profiles = ({"batch": DimRange(1, 8, 32)},)
    plain = put(store, b"plain")
    old = put(store, b"old", graph=GraphFacts(1, 1, 1, 0, 17))
    bounded = put(store, b"bounded", profiles=profiles)
    found = partial(find_any, store, REF, "pytorch", Precision.FP32, "dynamic")
    assert found() == bounded  # the newest
    assert found(weights=bounded.weights) == bounded
    assert found(weights="sha256:other") is None
    assert found(max_opset=17) == old
    assert found(max_opset=16) is None
    assert {plain.id, old.id, bounded.id} == {artifact.id for artifact in cache.readable(store)}


def test_an_engine_is_no_answer_to_a_request_for_a_graph(store: Store) -> None:
    graph = put(store, b"graph")
    put(store, b"engine", format=Format.ENGINE, parent=graph.id, target="sm80")
    assert find_any(store, REF, "pytorch", Precision.FP32, "dynamic") == graph


def test_one_damaged_manifest_does_not_hide_the_others(store: Store) -> None:
    good, bad = put(store, b"good"), put(store, b"bad")
    (bad.path / "manifest.json").write_text("{")
    assert find_any(store, REF, "pytorch", Precision.FP32, "dynamic") == good


def test_a_copy_is_plain_files(store: Store, tmp_path: Path) -> None:
    home = write_copy(put(store, b"x"), tmp_path / "out")
    assert home.name == "resnet18-pytorch-fp32-dynamic"
    assert sorted(path.name for path in home.iterdir()) == ["manifest.json", "model.onnx"]


def test_a_copy_takes_the_place_of_the_one_before_and_of_nothing_else(store: Store, tmp_path: Path) -> None:
    free = put(store, b"x")
    with store.workspace() as workspace:
        folder = workspace / "b"
        folder.mkdir()
        contents = {"model.onnx": b"y", "shapes.json": b"[]"}
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        files = tuple(FileEntry(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in contents.items())
        bounded = cache.adopt(store, folder, replace(free, id=content_id(files), path=folder, files=files))
    home = write_copy(bounded, tmp_path / "out")
    (home / "mine.txt").touch()
    assert write_copy(free, tmp_path / "out") == home
    assert sorted(path.name for path in home.iterdir()) == ["manifest.json", "mine.txt", "model.onnx"]


def test_the_copy_of_an_engine_is_named_after_its_target_too(store: Store, tmp_path: Path) -> None:
    engine = put(store, b"x", format=Format.ENGINE, target="sm80", batch=1)
    assert write_copy(engine, tmp_path).name == "resnet18-pytorch-fp32-b1-sm80"


def test_a_copy_that_cannot_be_written_leaves_nothing(store: Store, small_disk: Path) -> None:
    artifact = put(store, bytes(2 << 20))
    with pytest.raises(ConfigError, match="cannot be written"):
        write_copy(artifact, small_disk)
    assert list(small_disk.iterdir()) == []


@pytest.mark.parametrize(
    ("ref", "changes", "told"),
    [
        (REF, {"framework": "jax"}, "unknown framework 'jax'"),
        (parse_model("mobilenet_v3_large"), {"framework": "tensorflow"}, "known: pytorch"),
        (REF, {"precision": Precision.INT8}, "int8"),
        (REF, {"batch": 0}, "batch 0"),
        (REF, {"batch": "many"}, "batch 'many'"),
        (REF, {"weights": "/nowhere/x.pth"}, "no such weights file"),
        (REF, {"batch": 4, "bounds": (DimRange(1, 8, 32),)}, "batch is fixed to 4"),
        (REF, {"bounds": (DimRange(1, 8, 4097),)}, "a batch of 4097 is over 4096"),
        (REF, {"opset": 12}, "opset 12 cannot be written from pytorch; use one from 13 to 20"),
        (REF, {"framework": "tensorflow", "opset": 19}, "opset 19 cannot be written from tensorflow"),
    ],
)
def test_bad_requests_are_refused_before_any_work(store: Store, ref: ModelRef, changes: dict, told: str) -> None:
    asked = {"framework": "pytorch", "precision": Precision.FP32, "batch": "dynamic", "weights": "random", **changes}
    with pytest.raises(ConfigError, match=told):
        export_model(ref, store=store, **asked)
    assert not store.root.exists()


@pytest.mark.parametrize("framework", ["pytorch", "tensorflow"])
def test_a_framework_that_is_not_installed_names_its_extra(
    store: Store, monkeypatch: pytest.MonkeyPatch, framework: str
) -> None:
    monkeypatch.setattr("export.models._MODULES", {framework: ("no_such_module_of_edgebench",)})
    with pytest.raises(ConfigError, match=rf"pip install 'edgebench\[{framework}\]'"):
        export_model(REF, framework=framework, precision=Precision.FP32, batch="dynamic", weights="random", store=store)
    assert not store.root.exists()
