"""Where things are."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.places import Places, places
from profiles.errors import ConfigError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for variable in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "EDGEBENCH_FLEET"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


def test_the_usual_folders(here: Path) -> None:
    home = here / "home"
    assert places() == Places(home / ".config/edgebench", home / ".cache/edgebench", home / ".local/share/edgebench")
    assert places().known_hosts == home / ".config/edgebench/known_hosts"
    assert not home.exists(), "asking makes nothing"


def test_xdg_variables_are_honoured(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/fast/cache")
    assert places().artifacts == Path("/fast/cache/edgebench")


def test_the_order_of_fleet_files(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert places().fleet_file() is None
    config = here / "home/.config/edgebench/fleet.toml"
    config.parent.mkdir(parents=True)
    config.touch()
    assert places().fleet_file() == config
    Path("fleet.toml").touch()
    assert places().fleet_file() == Path("fleet.toml")
    Path("lab.toml").touch()
    monkeypatch.setenv("EDGEBENCH_FLEET", "lab.toml")
    assert places().fleet_file() == Path("lab.toml")
    Path("given.toml").touch()
    assert places().fleet_file(Path("given.toml")) == Path("given.toml")


def test_a_file_asked_for_by_name_must_exist(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"--fleet: there is no file none\.toml"):
        places().fleet_file(Path("none.toml"))
    monkeypatch.setenv("EDGEBENCH_FLEET", "gone.toml")
    with pytest.raises(ConfigError, match=r"EDGEBENCH_FLEET: there is no file gone\.toml"):
        places().fleet_file()
