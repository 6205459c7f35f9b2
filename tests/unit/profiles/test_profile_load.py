"""Finding profiles by name, and reading TOML that may be missing, broken, or not TOML at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from profiles.errors import ConfigError
from profiles.load import device_profile, model_profile, read_toml, unknown


def test_a_profile_is_named_by_its_file() -> None:
    assert model_profile("resnet18").name == "resnet18"
    assert device_profile("local").name == "local"


def test_a_profile_is_read_once() -> None:
    """A fleet file of a thousand devices asks for the same few."""
    assert device_profile("local") is device_profile("local")


def test_an_unknown_name_gets_the_nearest_and_the_list() -> None:
    with pytest.raises(ConfigError, match=r"unknown model 'resnet81' \(did you mean 'resnet18'\?\); known: .*vit_b_16"):
        model_profile("resnet81")
    with pytest.raises(ConfigError, match=r"unknown device profile 'a100' \(did you mean 'a100-80gb'\?\)"):
        device_profile("a100")


@pytest.mark.parametrize("name", ["../models/resnet18", "/etc/passwd", "resnet18.toml", "", ".", "resnet18\x00"])
def test_a_name_is_never_a_path(name: str) -> None:
    with pytest.raises(ConfigError, match="unknown device profile"):
        device_profile(name)


def test_nothing_known_is_said_so() -> None:
    assert str(unknown("model", "x", [])) == "unknown model 'x'; there are none"


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.toml: cannot be read \(No such file or directory\)"):
        read_toml(tmp_path / "no.toml")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read \(Is a directory\)"):
        read_toml(tmp_path)


@pytest.mark.parametrize("content", [b"a = ", b"[a]\n[a]\n", b"\xff\xfe", b"a = 1\na = 2\n"])
def test_a_file_that_is_not_toml(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "bad.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"bad\.toml: not valid TOML"):
        read_toml(file)
