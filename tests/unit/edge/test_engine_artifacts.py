"""An engine that was built elsewhere becomes an artifact; which targets TensorRT-RTX builds for."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from device_agents.contract import (
    SCHEMA,
    DimRange,
    EngineReport,
    FileEntry,
    Precision,
    TensorSpec,
    dumps,
    from_json,
    loads,
)
from edge.planning.plan import Cell
from edge.planning.targets import TARGETS, parse_targets
from edge.running.engines import AHEAD_OF_TIME, adopt_engine
from export.artifact import Artifact, Format, GraphFacts, NotChecked, Store
from export.cache import intact
from profiles.errors import ConfigError, SchemaError

PLAN = b"an engine"
PARENT = Artifact(
    id="a" * 64,
    path=Path("/nowhere"),
    model="resnet18",
    framework="tensorflow",
    format=Format.ONNX,
    precision=Precision.FP16,
    weights="random",
    batch="dynamic",
    inputs=(TensorSpec("images", "float16", ("batch", 3, 224, 224), -2.0, 2.0),),
    outputs=(TensorSpec("logits", "float16", ("batch", 1000)),),
    model_file="model.onnx",
    files=(),
    parity=NotChecked("a test's"),
    graph=GraphFacts(1, 2, 3, 4, 17),
    golden="golden.npz",
)
REPORT = EngineReport(
    schema=SCHEMA,
    key="b" * 40,
    artifact=PARENT.id,
    file=FileEntry("model.engine", len(PLAN), hashlib.sha256(PLAN).hexdigest()),
    runtime="tensorrt-rtx",
    runtime_version="1.7.1.116",
    precision=Precision.FP16,
    built_at="2026-11-23T11:40:13Z",
    made_of={"target": "sm80"},
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def adopted(store: Store, report: EngineReport = REPORT, *, batch: int = 4) -> Artifact:
    """What came from the device orin-1, in a folder as `Session.pull_engine` leaves it."""
    with store.workspace() as workspace:
        folder = workspace / "artifact"
        folder.mkdir()
        (folder / "model.engine").write_bytes(PLAN)
        (folder / "engine.json").write_text(dumps(report))
        cell = Cell("orin-1", PARENT.model, PARENT.framework, report.runtime, report.precision, batch)
        return adopt_engine(
            store, folder, report, PARENT, target="sm80", builder="orin-1", cell=cell, unchecked=AHEAD_OF_TIME
        )


def test_an_engine_is_an_artifact_with_its_parent_target_and_report(store: Store) -> None:
    engine = adopted(store)
    assert (engine.format, engine.parent, engine.target) == (Format.ENGINE, PARENT.id, "sm80")
    assert (engine.model, engine.framework, engine.weights) == ("resnet18", "tensorflow", "random")
    assert (engine.graph, engine.golden, engine.profiles) == (PARENT.graph, None, ())
    assert engine.parity == NotChecked(AHEAD_OF_TIME)
    assert (engine.produced_by["tensorrt-rtx"], engine.produced_by["builder"]) == ("1.7.1.116", "orin-1")
    assert (engine.path / "model.engine").read_bytes() == PLAN
    assert from_json(EngineReport, loads((engine.path / "engine.json").read_bytes())) == REPORT
    assert [entry.name for entry in engine.files] == ["engine.json", "model.engine"]
    assert intact(engine)
    assert store.get(engine.id) == engine


def test_without_profiles_its_shapes_are_the_jobs_and_with_them_the_batch_is_free(store: Store) -> None:
    fixed = adopted(store)
    assert (fixed.batch, fixed.inputs[0].shape, fixed.outputs[0].shape) == (4, (4, 3, 224, 224), (4, 1000))
    assert (fixed.inputs[0].low, fixed.inputs[0].high) == (-2.0, 2.0)
    profiles = ({"batch": DimRange(1, 8, 32)},)
    free = adopted(store, replace(REPORT, profiles=profiles), batch=8)
    assert (free.batch, free.inputs, free.profiles) == ("dynamic", PARENT.inputs, profiles)
    assert free.id != fixed.id


def test_the_same_engine_twice_is_one_artifact(store: Store) -> None:
    assert adopted(store) == adopted(store)


@pytest.mark.parametrize(
    ("report", "told"),
    [
        (replace(REPORT, file=replace(REPORT.file, sha256="0" * 64)), "not the one that its report describes"),
        (replace(REPORT, file=replace(REPORT.file, size=1)), "not the one that its report describes"),
        (replace(REPORT, artifact="c" * 64), "an engine of artifact cccccccccccc came for aaaaaaaaaaaa"),
    ],
)
def test_another_engine_than_was_reported_is_refused(store: Store, report: EngineReport, told: str) -> None:
    with pytest.raises(SchemaError, match=told):
        adopted(store, report)
    assert [path for path in store.root.rglob("*") if path.is_file()] == []


def test_targets_are_named_once_each_in_any_case() -> None:
    assert parse_targets("SM80,sm86,sm80") == ("sm80", "sm86")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sm80,sm87", "sm87 is Jetson Orin, for which TensorRT-RTX builds no engine; use sm75, sm80"),
        ("sm90", "sm90 is H100, H200 and GH200"),
        ("sm110", "sm110 is Jetson Thor"),
        ("sm81", "unknown target 'sm81'"),
        ("a100", "unknown target 'a100'"),
        ("", "unknown target ''"),
    ],
)
def test_a_target_that_cannot_be_built_for_is_refused_with_the_reason_and_the_list(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as refused:
        parse_targets(text)
    assert all(target in str(refused.value) for target in TARGETS)
    assert refused.value.exit_code == 2


def test_the_targets_are_those_of_the_installed_tensorrt_rtx() -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: edgebench[tensorrt-rtx]")
    known = {name.lower() for name in trt.ComputeCapability.__members__ if name.startswith("SM")}
    assert known == set(TARGETS)
