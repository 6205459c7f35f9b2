"""MODEL as typed: which words name a model, and what the others are told."""

import sys
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path

import pytest

from export.models import frameworks_of, keras_input, missing, parse_model
from profiles.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "frameworks"),
    [
        ("resnet50", ("pytorch", "tensorflow")),
        ("mobilenet_v3_large", ("pytorch",)),
        ("torchvision:resnet34", ("pytorch",)),
        ("keras:ResNet50", ("tensorflow",)),
    ],
)
def test_a_model_knows_the_frameworks_that_have_it(text: str, frameworks: tuple[str, ...]) -> None:
    ref = parse_model(text)
    assert (ref.name, frameworks_of(ref)) == (text, frameworks)


def test_a_file_is_a_model_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    path.touch()
    ref = parse_model(str(path))
    assert (ref.name, ref.path, frameworks_of(ref)) == ("mine", path, ("onnx",))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("resnet5", "did you mean 'resnet50'?"),
        ("timm:resnet50", "torchvision:NAME, keras:NAME"),
        ("nowhere/mine.onnx", "no such file"),
        ("torchvision:../../x", "no model name"),
        ("", "unknown model"),
    ],
)
def test_what_is_no_model_is_refused_with_the_way_out(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told.replace("?", r"\?")):
        parse_model(text)


def test_keras_models_get_the_pixels_that_their_preprocessing_makes() -> None:
    assert keras_input("EfficientNetB0").high == pytest.approx(255)
    assert (keras_input("MobileNetV2").low, keras_input("MobileNetV2").high) == (-1, 1)
    assert keras_input("ResNet50").low == pytest.approx(-123.68)
    assert keras_input("InceptionV3").shape == (3, 299, 299)


def test_what_is_missing_is_found_without_importing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.models._MODULES", {"pytorch": ("json", "no_such_module_of_edgebench")})
    assert missing("pytorch") == ("no_such_module_of_edgebench",)


def test_the_kind_of_a_users_model_shows_in_its_path(tmp_path: Path) -> None:
    for suffix, framework in {".onnx": "onnx", ".pt2": "pytorch", ".keras": "tensorflow", ".h5": "tensorflow"}.items():
        path = tmp_path / f"mine{suffix}"
        path.touch()
        ref = parse_model(str(path))
        assert (ref.name, ref.kind, frameworks_of(ref)) == ("mine", suffix[1:], (framework,))
    (tmp_path / "saved").mkdir()
    with pytest.raises(ConfigError, match=r"holds no saved_model\.pb"):
        parse_model(str(tmp_path / "saved"))
    (tmp_path / "saved" / "saved_model.pb").touch()
    assert parse_model(str(tmp_path / "saved")).kind == "savedmodel"
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ConfigError, match=r"no kind of model; export takes \.onnx"):
        parse_model(str(tmp_path / "notes.txt"))


def test_a_factory_in_an_editable_install_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As setuptools installs a package that lies flat: by a finder of its own, and no path."""
    package = tmp_path / "flat" / "mynets"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('run')")
    (package / "small.py").write_text("import torch\nraise SystemExit('run')")

    class Finder:
        @staticmethod
        def find_spec(name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
            return spec_from_file_location(name, package / "__init__.py") if name == "mynets" else None

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    ref = parse_model("mynets.small:make")
    assert (ref.kind, ref.path, ref.framework) == ("factory", package / "small.py", "pytorch")


def test_a_factory_is_found_but_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "nets"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('run')")
    (package / "torchy.py").write_text("import torch\nraise SystemExit('run')")
    (package / "both.py").write_text("import torch, keras")
    (package / "broken.py").write_text("def (")
    ref = parse_model("nets.torchy:make")
    assert (ref.name, ref.kind, ref.framework, ref.path) == ("make", "factory", "pytorch", package / "torchy.py")
    assert ref.folders == (str(tmp_path),)
    assert frameworks_of(parse_model("nets.both:make")) == ("pytorch", "tensorflow")
    with pytest.raises(ConfigError, match=r"no module 'nets\.other' is found; run edgebench where it is"):
        parse_model("nets.other:make")
    with pytest.raises(ConfigError, match=r"broken\.py: it is no Python that can be read"):
        parse_model("nets.broken:make")
