"""What is installed, told without importing it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from device_agents.packages import UNKNOWN, version_of


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "heavy").mkdir()
    (tmp_path / "heavy" / "__init__.py").write_text("raise SystemExit('it was imported')")
    return tmp_path


def distribution(site: Path, name: str, version: str) -> None:
    folder = site / f"{name}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_is_what_the_module_s_own_file_says(site: Path) -> None:
    (site / "heavy" / "version.py").write_text("__all__ = []\n__version__ = '2.4.0+nv24.8'\ndebug = False\n")
    distribution(site, "heavy", "2.4.0")
    assert version_of("heavy") == "2.4.0+nv24.8"
    assert "heavy" not in sys.modules


def test_is_else_that_of_the_distribution_that_brought_it(site: Path) -> None:
    assert version_of("heavy", ("heavy", "heavy-cpu")) == UNKNOWN
    distribution(site, "heavy_cpu", "1.5")
    assert version_of("heavy", ("heavy", "heavy-cpu")) == "1.5"
    assert "heavy" not in sys.modules


def test_of_what_is_not_there_is_an_import_error() -> None:
    with pytest.raises(ImportError, match="No module named 'heavy'"):
        version_of("heavy")
