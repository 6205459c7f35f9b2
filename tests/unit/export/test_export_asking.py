"""What is refused as it would be passed over: options that a model of that kind does not read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from device_agents.contract import DimRange, Precision
from export.artifact import Format
from export.asking import OWN_WEIGHTS, Options, content_of, make_request
from export.declared import parse_inputs
from export.models import ONNX, ModelRef, parse_model
from export.request import ExportRequest
from profiles.errors import ConfigError
from tests.unit.export import small_graphs as small

INPUT = parse_inputs(["images:float32:batch,3,8,8"])


def asked(ref: ModelRef, weights: str = "pretrained", **options: object) -> ExportRequest:
    framework = ref.frameworks()[0]
    return make_request(ref, framework, Precision.FP32, "dynamic", weights, options=Options(**options))  # type: ignore[arg-type]


def of_kind(folder: Path, kind: str) -> ModelRef:
    path = folder / f"mine.{kind}"
    path.write_text("")
    return ModelRef("mine", kind, path=path)


def factory(folder: Path) -> ModelRef:
    path = folder / "nets.py"
    path.write_text("import torch")
    return ModelRef("make", "factory", path=path, factory="nets:make", framework="pytorch")


@pytest.mark.parametrize("name", ["resnet18", "torchvision:resnet34"])
def test_a_named_network_says_its_inputs_and_its_pixels_itself(name: str) -> None:
    ref = parse_model(name)
    with pytest.raises(ConfigError, match=f"{name}: its profile says how pixels are normalised; leave --mean and"):
        asked(ref, mean=(0.5,))
    with pytest.raises(ConfigError, match="its profile says how pixels are normalised"):
        asked(ref, std=(0.5,))
    with pytest.raises(ConfigError, match=f"{name}: it says its inputs itself; leave --input out"):
        asked(ref, declared=INPUT)


class TestWhatAFrameworkRunsItself:
    REF = parse_model("resnet18")

    def native(
        self, ref: ModelRef, form: Format = Format.SAFETENSORS, framework: str = "pytorch", **more: object
    ) -> object:
        given = {"precision": Precision.FP32, "batch": "dynamic", "weights": "random", **more}
        return make_request(ref, framework, form=form, **given)  # type: ignore[arg-type]

    def test_is_another_request_than_the_graph_which_it_is_judged_by(self) -> None:
        request = self.native(self.REF)
        graph = make_request(self.REF, "pytorch", Precision.FP32, "dynamic", "random")
        assert isinstance(request, ExportRequest)
        assert request.key(1) != graph.key(1)
        assert request.as_fp32() == graph

    def test_is_of_its_own_framework(self) -> None:
        with pytest.raises(ConfigError, match="resnet18: tensorflow does not run safetensors"):
            self.native(self.REF, framework="tensorflow")
        with pytest.raises(ConfigError, match="resnet18: pytorch does not run engine"):
            self.native(self.REF, Format.ENGINE)

    def test_has_no_int8(self) -> None:
        with pytest.raises(ConfigError, match="pytorch itself runs fp32 and fp16, not int8"):
            self.native(self.REF, precision=Precision.INT8)

    @pytest.mark.parametrize("given", [{"pixels": "uint8"}, {"io": "fp32"}])
    def test_is_not_made_as_only_a_graph_can_be(self, given: dict[str, object]) -> None:
        with pytest.raises(ConfigError, match="pytorch runs its network as it is"):
            self.native(self.REF, options=Options(**given))  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="pytorch runs its network as it is"):
            self.native(self.REF, bounds=(DimRange(1, 1, 8),))

    def test_takes_a_range_of_sizes(self) -> None:
        side = DimRange(64, 96, 128)
        request = self.native(self.REF, options=Options(size=(side, side)))
        assert isinstance(request, ExportRequest)
        assert request.profiles == ({"height": side, "width": side},)

    def test_is_never_code_of_the_operator_s(self, tmp_path: Path) -> None:
        for ref in (factory(tmp_path), of_kind(tmp_path, "pt2")):
            with pytest.raises(ConfigError, match="a model of your own is code, which no device runs"):
                self.native(ref, weights="pretrained")


@pytest.mark.parametrize("name", ["vit_b_16", "torchvision:vit_h_14", "torchvision:maxvit_t"])
def test_a_network_of_one_size_takes_no_range(name: str) -> None:
    one, more = DimRange(384, 384, 384), DimRange(224, 224, 384)
    with pytest.raises(ConfigError, match=f"{name}: it has positions for the patches of one size"):
        asked(parse_model(name), size=(one, more))
    assert asked(parse_model(name), size=(one, one)).size == (one, one)
    assert asked(parse_model("torchvision:swin_t"), size=(more, more)).size == (more, more)


def test_a_program_says_its_inputs_and_not_its_pixels(tmp_path: Path) -> None:
    ref = of_kind(tmp_path, "pt2")
    with pytest.raises(ConfigError, match="mine: it says its inputs itself"):
        asked(ref, declared=INPUT)
    assert asked(ref, mean=(0.5,), std=(0.5,)).mean == (0.5,)


@pytest.mark.parametrize("kind", ["onnx", "keras", "h5"])
def test_other_files_take_what_is_said_of_their_inputs(tmp_path: Path, kind: str) -> None:
    request = asked(of_kind(tmp_path, kind), declared=INPUT, mean=(0.5,))
    assert (request.declared, request.mean) == (INPUT, (0.5,))


def test_a_factory_in_another_folder_is_another_model(tmp_path: Path) -> None:
    """The modules and files beside it are a part of it, and unlike there."""
    copy = tmp_path / "copy"
    copy.mkdir()
    assert content_of(factory(tmp_path)) == content_of(factory(tmp_path))
    assert content_of(factory(tmp_path)) != content_of(factory(copy))


def test_weights_are_a_factorys_own_or_a_files(tmp_path: Path) -> None:
    ref = factory(tmp_path)
    (tmp_path / "mine.pth").write_bytes(b"weights")
    assert asked(ref).weights == asked(ref, OWN_WEIGHTS).weights == OWN_WEIGHTS
    assert asked(ref, str(tmp_path / "mine.pth")).weights.startswith("sha256:")
    with pytest.raises(ConfigError, match=r"make: a factory makes its own weights; leave --weights out, or name a"):
        asked(ref, "random")
    with pytest.raises(ConfigError, match=r"own: no such weights file; --weights takes pretrained, random or the path"):
        asked(parse_model("resnet18"), OWN_WEIGHTS)


def test_the_weights_beside_a_graph_are_part_of_what_it_is(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install 'edgebench[local]'")
    found = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        weight = onnx.numpy_helper.from_array(np.full((4, 4), number, np.float32), "w")
        model = small.graph([small.node("MatMul", ["x", "w"], ["y"])], {"x": [2, 4]}, {"y": [2, 4]})
        model.graph.initializer.append(weight)
        onnx.save(model, folder / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
        found.append(content_of(ModelRef("net", ONNX, path=folder / "net.onnx")))
    graphs = [(tmp_path / name / "net.onnx").read_bytes() for name in "01"]
    assert graphs[0] == graphs[1]
    assert found[0] != found[1]
    (tmp_path / "0" / "net.data").write_bytes((tmp_path / "1" / "net.data").read_bytes())
    assert content_of(ModelRef("net", ONNX, path=tmp_path / "0" / "net.onnx")) == found[1]
