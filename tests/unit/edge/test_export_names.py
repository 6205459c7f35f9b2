"""Models of the operator's by name, on the way to `export` and `deploy`: what the last export of them says."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_agents.contract import Precision
from edge.cli.export_forms import Typed
from edge.places import places
from edge.planning.choosing import Choices
from edge.planning.make_plan import exports
from edge.planning.models import resolve
from edge.planning.request import Request
from edge.planning.sources import Sources
from export.api import Options
from export.artifact import Store, sha256_file
from export.models import parse_model, renamed
from export.registry import register
from profiles.errors import ConfigError
from tests.plans import stored


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """That of an operator who is in a folder with a module of networks."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text("import torch")
    (tmp_path / "trained.pt").write_bytes(b"weights")
    (tmp_path / "net.onnx").touch()
    return Store(places().artifacts)


def typed(model: str, weights: str | None = None, **form: object) -> tuple[Options, str]:
    return Typed([model], weights, form, {}).of(resolve(model))


def test_a_name_keeps_its_form_but_for_what_is_typed(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    last = Options(mean=(0.5,), std=(0.25,), task="other")
    register(store, renamed(parse_model("net.onnx"), "mine", "2"), "onnx", last, "pretrained")
    assert typed("mine") == typed("mine@2") == (last, "pretrained")
    assert "chosen: --mean, --std, --task of mine@2 (its last export)" in capsys.readouterr().err
    assert typed("mine", mean=(0.0,))[0] == Options(mean=(0.0,), std=(0.25,), task="other")
    assert typed("net.onnx")[0] == Options(), "a file that is named anew is described anew"


def test_a_name_keeps_its_weights_but_for_what_is_typed(store: Store, tmp_path: Path) -> None:
    register(store, renamed(parse_model("nets:net"), "mine", None), "pytorch", Options(), "trained.pt")
    assert typed("mine")[1] == str(tmp_path / "trained.pt")
    assert typed("mine", "own")[1] == "own"
    assert typed("nets:net")[1] == "pretrained"


def test_deploy_takes_the_weights_of_the_last_export_before_those_that_are_there(store: Store, tmp_path: Path) -> None:
    ref = renamed(parse_model("nets:net"), "mine", None)
    stored(store, model="mine", weights="own", precision=Precision.FP32)
    choices = Choices()

    def weights() -> str:
        return Sources(Request(("mine",)), store, choices, None).weights(ref, "pytorch", Precision.FP32)

    register(store, ref, "pytorch", Options(), "trained.pt")
    assert weights() == f"sha256:{sha256_file(tmp_path / 'trained.pt')}"
    assert f"weights {tmp_path / 'trained.pt'} for mine/pytorch (those of its last export)" in choices.lines
    (tmp_path / "trained.pt").unlink()
    assert weights() == "own"
    register(store, ref, "pytorch", Options(), "pretrained")
    stored(store, model="mine", weights="sha256:other", precision=Precision.FP32)
    assert weights() == "own"


def test_a_factory_that_may_be_of_either_framework_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "wrap.py").write_text("import nets")
    told = "wrap:net: its module imports both frameworks or neither; say --framework pytorch or tensorflow"
    with pytest.raises(ConfigError, match=told):
        exports(["wrap:net"], None)
    ((_, framework),) = exports(["wrap:net"], "pytorch")
    assert framework == "pytorch"
