"""Models of the operator's by name, as `deploy` finds them."""

from pathlib import Path

import pytest

from device_agents.contract import TensorSpec
from export.api import Options
from export.artifact import Store
from export.models import parse_model, renamed
from export.registry import find, names, register
from profiles.errors import ConfigError

OPTIONS = Options(declared=(TensorSpec("x", "float32", ("batch", 3)),), mean=(0.5,), task="other", unsafe=True)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "net.onnx"
    path.touch()
    return path


def test_what_was_registered_comes_back_as_it_was_exported(store: Store, file: Path) -> None:
    ref = renamed(parse_model(str(file)), "detector", "3")
    register(store, ref, "onnx", OPTIONS, "pretrained")
    entry = find(store, "detector@3")
    assert entry is not None
    assert (entry.ref, entry.options) == (ref, OPTIONS)
    assert names(store) == ("detector@3",)


def test_without_a_version_the_newest_export_counts(store: Store, file: Path) -> None:
    for version in ("2", "10", "9"):
        register(store, renamed(parse_model(str(file)), "detector", version), "onnx", Options(), "pretrained")
    entry = find(store, "detector")
    assert entry is not None
    assert entry.name == "detector@9"
    assert find(store, "detect") is None


def test_a_file_that_is_gone_and_a_damaged_entry_are_sentences(store: Store, file: Path) -> None:
    register(store, parse_model(str(file)), "onnx", Options(), "pretrained")
    file.unlink()
    with pytest.raises(ConfigError, match=r"net\.onnx is gone; export it again"):
        find(store, "net")
    (store.root / "models" / "net.json").write_text("{")
    with pytest.raises(ConfigError, match="entry of a model is damaged"):
        find(store, "net")


def test_a_network_of_a_profile_keeps_its_own_name(store: Store) -> None:
    register(store, parse_model("resnet18"), "pytorch", Options(), "pretrained")
    assert names(store) == ()
    with pytest.raises(ConfigError, match="has a name already"):
        renamed(parse_model("resnet18"), "mine", None)


@pytest.mark.parametrize(
    ("name", "version", "told"),
    [
        ("resnet18", None, "is a model's of edgebench"),
        ("../x", None, "is no name"),
        ("a@b", None, "is no name"),
        ("fine", "1/2", "'1/2' is no version"),
    ],
)
def test_a_name_that_none_could_be_found_by_is_refused(file: Path, name: str, version: str | None, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        renamed(parse_model(str(file)), name, version)
