"""Engines of a device that may say anything: only what a report describes comes home, and people can read the list."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from device_agents.contract import SCHEMA, DimRange, EngineReport, FileEntry, Precision, from_json, loads
from edge.agent import engine_cache
from edge.agent.session import Session
from edge.inventory.devices import Device
from edge.places import places
from edge.report import engines
from edge.transport.local import LocalTransport
from profiles.errors import ConfigError, SchemaError, TransferError
from profiles.progress import silent
from tests.plans import device

PLAN = b"an engine"
REPORT = EngineReport(
    schema=SCHEMA,
    key="b" * 40,
    artifact="a" * 64,
    file=FileEntry("model.engine", len(PLAN), hashlib.sha256(PLAN).hexdigest()),
    runtime="tensorrt",
    runtime_version="10.3.0.30",
    precision=Precision.FP16,
    built_at="2026-11-23T11:40:13Z",
    made_of={},
)


@pytest.fixture
def there(tmp_path: Path) -> Device:
    """A device whose working folder is on this machine, with one engine."""
    folder = tmp_path / "device" / "engines" / REPORT.key
    folder.mkdir(parents=True)
    (folder / "model.engine").write_bytes(PLAN)
    return replace(device("local", "local"), workdir=PurePosixPath(tmp_path / "device"))


@pytest.fixture
def session(there: Device) -> Iterator[Session]:
    with contextlib.closing(LocalTransport("local")) as transport:
        yield Session(there, transport)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def test_an_engine_comes_home_with_its_report(session: Session, home: Path) -> None:
    session.pull_engine(REPORT, home)
    assert (home / "model.engine").read_bytes() == PLAN
    assert from_json(EngineReport, loads((home / "engine.json").read_bytes())) == REPORT


@pytest.mark.parametrize(
    ("report", "told"),
    [
        (replace(REPORT, key="../../" + "b" * 40), "names no engine"),
        (replace(REPORT, key="b" * 40 + "/../" + "b" * 40), "names no engine"),
        (replace(REPORT, key="b" * 40 + "\n"), "names no engine"),
        (replace(REPORT, file=replace(REPORT.file, name="engine.json")), "names no engine"),
        (replace(REPORT, file=replace(REPORT.file, sha256="0" * 64)), "not the one that its manifest describes"),
        (replace(REPORT, file=replace(REPORT.file, size=len(PLAN) + 1)), "not the one that its manifest describes"),
    ],
)
def test_a_report_that_is_no_description_of_it_leaves_nothing(
    session: Session, home: Path, report: EngineReport, told: str
) -> None:
    with pytest.raises(SchemaError, match=told):
        session.pull_engine(report, home)
    assert list(home.iterdir()) == []


def test_more_than_was_announced_is_not_taken(session: Session, home: Path) -> None:
    with pytest.raises(TransferError):
        session.pull_engine(replace(REPORT, file=replace(REPORT.file, size=1)), home)
    assert list(home.iterdir()) == []


def test_a_device_that_has_built_none_says_so_and_nothing_is_made(there: Device, home: Path) -> None:
    with pytest.raises(ConfigError, match="there is no engine 'abc'; it has built none"):
        engine_cache.pull("abc", there, home / "out", places(), silent)
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("name", ["taken", "file", "file/below", "n" * 300])
def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_asked(there: Device, home: Path, name: str) -> None:
    (home / "taken").mkdir()
    (home / "taken" / "mine").touch()
    (home / "file").touch()
    before = sorted(home.rglob("*"))
    with pytest.raises(ConfigError, match=str(home / name)):
        engine_cache.pull(REPORT.key, there, home / name, places(), silent)
    assert sorted(home.rglob("*")) == before


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"made_of": {"gpu_name": "NVIDIA A100", "target": "sm80", "shapes": "8x3x224x224"}}, "NVIDIA A100, sm80"),
        ({"made_of": {"board": "Jetson AGX Orin", "target": "sm87"}}, "Jetson AGX Orin, sm87"),
        ({"made_of": {"gpu_name": "NVIDIA H100", "target": "sm80"}, "runtime": "tensorrt-rtx"}, " sm80"),
        ({"made_of": {"shapes": "8x3x224x224"}}, "unknown GPU"),
        ({"made_of": {"shapes": "8x3x224x224", "build": 2}}, " build 2"),
        ({"made_of": {"optimization_level": 5, "timing_cache": False}}, "optimization_level=5, timing_cache=false"),
        ({"made_of": {"typing": "weak"}}, "typing=weak"),
        ({"made_of": {"built_by": "trtexec"}}, "built by trtexec"),
        ({"profiles": ({"batch": DimRange(1, 8, 32)},)}, "batch 1:8:32"),
        ({"made_of": {"gpu_name": "\x1b[31mred[/]"}}, "?[31mred[/]"),
    ],
)
def test_the_list_says_what_an_engine_is_for(changes: dict[str, Any], shown: str) -> None:
    text = engines.table({"orin-1": [replace(REPORT, **changes)]}, {REPORT.artifact: "resnet18/pytorch"}, 200)
    assert shown in text
    assert all(word in text for word in ("orin-1", "resnet18/pytorch", "b" * 12, "tensorrt", "2026-11-23 11:40"))
    assert "H100" not in text, "an engine for another machine is not for the one that built it"


def test_the_list_passes_over_what_is_as_by_default() -> None:
    usual = {
        "optimization_level": "default", "hardware_compatibility": "none", "timing_cache": True, "typing": "strong",
        "version_compatible": False, "build": 0, "tf32": False, "recipe": 1,
    }  # fmt: skip
    assert engines.special(replace(REPORT, made_of=usual)) == []
    old = replace(REPORT, runtime_version="8.6.1.6", made_of={**usual, "typing": "weak"})
    assert engines.special(old) == [], "TensorRT 8 has no other"


def test_a_narrow_list_keeps_key_model_and_size_whole() -> None:
    report = replace(REPORT, made_of={"board": "Jetson AGX Orin", "target": "sm87", "shapes": "8x3x224x224"})
    text = engines.table({"orin-1": [report]}, {REPORT.artifact: "resnet18/tensorflow"}, 80)
    table = text.partition("\n\n")[0]
    assert max(map(len, table.splitlines())) <= 80
    assert all(word in table for word in ("orin-1", "resnet18/tensorflow", "b" * 12, "8x3x224x224"))
    assert "GPU (Jetson AGX Orin, sm87)" in text
    wide = engines.table({"orin-1": [report]}, {}, 200)
    assert REPORT.file.sha256[:12] in wide, "what `results show` has, too"


@pytest.mark.parametrize(("count", "told"), [(62_329, "60.9 KiB"), (22 << 20, "22.0 MiB"), (300 << 20, "300 MiB")])
def test_sizes_have_one_unit_everywhere(count: int, told: str) -> None:
    assert engines.size(count) == told
