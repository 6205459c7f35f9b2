"""The tensorflow backend where there is no GPU, seen in a process of its own (tensorflow_seen)."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from device_agents.formats import savedmodel

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Any:
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("no TensorFlow: install edgebench[tensorflow]")
    script = Path(__file__).with_name("tensorflow_seen.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path_factory.mktemp("saved"))], capture_output=True, text=True,
        timeout=120, check=False, env={**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_savedmodel_is_flat_files_and_its_random_fingerprint_is_left_out(seen: Any) -> None:
    wanted = ["network.json", "saved_model.pb", "variables.data-00000-of-00001", "variables.index"]
    assert seen["files"] == wanted


@pytest.mark.parametrize("way", ["graph", "xla", "unwaited", "resident"])
def test_images_are_laid_out_as_the_network_wants_them(seen: Any, way: str) -> None:
    assert seen[way]["off"] < 1e-4


def test_the_switches_tell_what_was_set(seen: Any) -> None:
    assert {"provider": "cpu", "mode": "graph", "waited": True, "tf32": False}.items() <= seen["graph"][
        "switches"
    ].items()
    assert seen["xla"]["switches"]["mode"] == "xla"
    assert seen["unwaited"]["switches"]["waited"] is False


def test_tracing_again_is_counted(seen: Any) -> None:
    assert seen["retraces"] == [0, 1]


@pytest.mark.parametrize(("mode", "counted"), [("graph", {"retraces": 0}), ("xla", {"retraces": 0, "compilations": 3})])
def test_drawn_sizes_are_one_graph_and_an_xla_program_each(seen: Any, mode: str, counted: dict[str, int]) -> None:
    assert seen["drawn"][mode]["off"] < 1e-5
    assert seen["drawn"][mode]["counted"] == counted


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("mode", "option mode does not know 'eager'"),
        ("provider", "finds no GPU that it can use"),
        ("size", "does not take what the manifest says"),
        ("damaged", "could not load the SavedModel"),
    ],
)
def test_what_cannot_be_run_is_refused(seen: Any, what: str, why: str) -> None:
    assert why in seen["refused"][what]


def test_a_savedmodel_with_assets_is_not_taken_apart(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "vocabulary.txt").write_text("a")
    with pytest.raises(ValueError, match="has assets"):
        savedmodel.flatten(tmp_path, tmp_path)
