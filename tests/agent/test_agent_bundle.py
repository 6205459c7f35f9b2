"""agent.pyz: small, the same bytes from the same sources wherever they lie, and nothing in it of the machine."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from edge.agent import bundle

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("device_agents", "edge", "profiles")
BUILD = """\
import sys
sys.path.insert(0, sys.argv[1])
from edge.agent import bundle
assert bundle.__file__.startswith(sys.argv[1]), bundle.__file__
print(bundle.build().sha256)
"""


def built_in(tree: Path) -> str:
    argv = [sys.executable, "-I", "-B", "-c", BUILD, str(tree)]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def test_two_copies_of_the_sources_give_the_same_bytes(tmp_path: Path) -> None:
    trees = [tmp_path / "one", tmp_path / "another" / "place"]
    for tree in trees:
        for package in SOURCES:
            shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    for path in trees[1].rglob("*.py"):  # as another clone has them: its own times, modes and leftovers
        os.utime(path, (1_000_000_000, 1_000_000_000))
        path.chmod(0o600)
    (trees[1] / "device_agents" / "__pycache__").mkdir()
    (trees[1] / "device_agents" / "__pycache__" / "agent.cpython-38.pyc").write_bytes(b"leftover")
    (trees[1] / "device_agents" / "notes.txt").write_text("leftover")
    assert built_in(trees[0]) == built_in(trees[1]) == bundle.build().sha256


def test_is_small_enough_to_ship_over_any_link() -> None:
    assert len(bundle.build().data) < 300_000


def test_holds_the_agent_and_nothing_else() -> None:
    with zipfile.ZipFile(io.BytesIO(bundle.build().data)) as archive:
        names = archive.namelist()
    assert names[0] == "__main__.py"
    assert set(names[1:]) == {str(path.relative_to(ROOT)) for path in (ROOT / "device_agents").rglob("*.py")}


def test_names_no_path_of_the_machine_that_built_it() -> None:
    for path in (ROOT, Path.home(), Path(sys.prefix), Path(sys.base_prefix)):
        assert f"{path}/".encode() not in bundle.build().data


def test_lists_its_backends() -> None:
    assert "onnxruntime" in bundle.backend_names()
    assert not {"base", "__init__"} & set(bundle.backend_names())
