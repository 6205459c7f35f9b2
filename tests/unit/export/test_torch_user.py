"""Users' own models: what a factory may be, what is read off it, and what is said where it is not usable."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_agents.contract import DimRange, Precision, TensorSpec
from export.data import golden
from export.draft import MODEL_FILE
from export.frameworks.pytorch import answers, write_values
from export.frameworks.pytorch import load as load_net
from export.graph import load, specs
from export.judging import parity
from export.models import ModelRef
from export.pt.net import refuse_mixed
from export.request import ExportRequest
from profiles.errors import ConfigError, ExportError
from profiles.progress import silent
from tests.unit.export.small_networks import export

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

IMAGES = TensorSpec("images", "float32", ("batch", 3, 8, 8))
REQUEST = ExportRequest("mine", "pytorch", Precision.FP32, "dynamic", "own", declared=(IMAGES,))
HEADER = "import dataclasses\nimport torch\nfrom torch import nn\n\n"

Factory = Callable[[str], ModelRef]


@pytest.fixture
def factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Factory]:
    """A module of the user's with a factory `make`, in a folder where Python finds it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    names: list[str] = []

    def write(code: str) -> ModelRef:
        names.append(f"mine_{len(names)}_{abs(hash(str(tmp_path)))}")
        path = tmp_path / f"{names[-1]}.py"
        path.write_text(HEADER + textwrap.dedent(code))
        return ModelRef("mine", "factory", path=path, factory=f"{names[-1]}:make", folders=(str(tmp_path),))

    yield write
    for name in names:
        sys.modules.pop(name, None)


LINEAR = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(192, 4)

    def forward(self, images):
        return self.layer(images.flatten(1))


def make():
    return Net()
"""


def test_a_factory_becomes_a_graph_whose_sources_are_known(factory: Factory, tmp_path: Path) -> None:
    ref = factory(LINEAR)
    draft, shapes, error = export(ref, REQUEST, tmp_path / "out")
    assert error < 1e-5
    assert (draft.task, draft.batch, draft.images) == ("other", "dynamic", ())
    assert shapes == {"images": ("batch", 3, 8, 8), "output": ("batch", 4)}
    assert str(ref.path) in draft.sources
    for package in ("torch", "export", "asyncio"):
        assert not any(package in Path(path).parts[:-1] and "tests" not in Path(path).parts for path in draft.sources)


@pytest.mark.parametrize(("asked", "declared", "made"), [(3, "batch", 3), ("dynamic", 2, 2), (4, 1, 4)])
def test_the_batch_that_was_asked_for(
    factory: Factory, tmp_path: Path, asked: int | str, declared: int | str, made: int
) -> None:
    request = replace(REQUEST, batch=asked, declared=(replace(IMAGES, shape=(declared, 3, 8, 8)),))
    draft, shapes, error = export(factory(LINEAR), request, tmp_path / "out")
    assert (draft.batch, shapes["images"][0], shapes["output"][0]) == (made, made, made)
    assert error < 1e-5
    assert bool(draft.notes) == (asked == "dynamic")


def test_opset_17_is_traced(factory: Factory, tmp_path: Path) -> None:
    draft, shapes, error = export(factory(LINEAR), replace(REQUEST, opset=17), tmp_path / "out")
    assert draft.produced_by["exporter"] == "torch.onnx.export(dynamo=False)"
    assert load(tmp_path / "out" / MODEL_FILE).opset_import[0].version == 17
    assert shapes["output"] == ("batch", 4)
    assert error < 1e-5


def test_half_is_the_network_itself_in_fp16(factory: Factory, tmp_path: Path) -> None:
    ref, half = factory(LINEAR), replace(REQUEST, precision=Precision.FP16)
    export(ref, REQUEST, tmp_path / "whole")
    draft, _, _ = export(ref, half, tmp_path / "half")
    assert draft.precision is Precision.FP16
    assert [spec.dtype for spec in specs(load(tmp_path / "half" / MODEL_FILE).graph.input)] == ["float16"]
    assert not list((tmp_path / "half").glob("golden*"))
    inputs, reference = golden.load(tmp_path / "whole" / "golden.npz")
    found = parity.run(tmp_path / "half" / MODEL_FILE, inputs, Precision.FP16)
    own = answers(ref, half, inputs, silent)
    assert 1e-6 < parity.compare(reference, found).errors["output"] < 2e-2
    assert parity.compare(reference, own).errors["output"] < 2e-2


NEST = """
@dataclasses.dataclass
class Answer:
    seen: torch.Tensor
    sums: list


class Net(nn.Module):
    def forward(self, words, images):
        seen = images.mean((2, 3)) + words
        return {"left": Answer(seen, [seen * 2, seen * 3]), "right": (seen + 1, None)}


def make():
    return Net()
"""


def test_several_inputs_and_a_nest_of_outputs(factory: Factory, tmp_path: Path) -> None:
    words = TensorSpec("words", "int64", ("batch", 3), 0.0, 5.0)
    draft, shapes, error = export(factory(NEST), replace(REQUEST, declared=(IMAGES, words)), tmp_path / "out")
    assert error < 1e-5
    assert list(shapes) == ["images", "words", "left.seen", "left.sums.0", "left.sums.1", "right.0"]
    assert draft.ranges["words"] == (0.0, 5.0)
    inputs, _ = golden.load(tmp_path / "out" / "golden.npz")
    assert inputs["words"].dtype == np.int64
    assert set(np.unique(inputs["words"])) <= set(range(6))


POOLED = """
def make():
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU())
"""


@pytest.mark.parametrize("opset", [18, 17])
def test_height_and_width_are_free_and_checked_at_their_ends(factory: Factory, tmp_path: Path, opset: int) -> None:
    free = replace(IMAGES, shape=("batch", 3, "height", "width"))
    size = (DimRange(16, 24, 64), DimRange(16, 32, 64))
    request = replace(REQUEST, declared=(free,), size=size, opset=opset, mean=(0.5,), std=(0.25,))
    draft, shapes, error = export(factory(POOLED), request, tmp_path / "out")
    assert shapes["images"] == ("batch", 3, "height", "width")
    assert {path.name for path in (tmp_path / "out").glob("golden*")} == {
        "golden.npz",
        "golden-16x16.npz",
        "golden-64x64.npz",
    }
    assert draft.images[0].shape == (3, 24, 32)
    assert (draft.images[0].mean, draft.images[0].std) == ((0.5,) * 3, (0.25,) * 3)
    assert error < 1e-5


TOLD = 'net.pretrained_cfg = {"input_size": (3, 8, 8), "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.2)}'
TIMM = POOLED.replace("return nn", "net = nn") + f"    {TOLD}\n    return net\n"


def test_timm_tells_its_own_input(factory: Factory, tmp_path: Path) -> None:
    draft, shapes, _ = export(factory(TIMM), replace(REQUEST, declared=()), tmp_path / "out")
    assert shapes["images"] == ("batch", 3, 8, 8)
    assert draft.images[0].mean == (0.5, 0.4, 0.3)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("def make():\n    return None", r"mine_0\w*:make \(mine_0\w*\.py:5\) gives None, no torch.nn.Module"),
        ("def make():\n    return torch.zeros(3)", r"gives an object of type Tensor, no .*; return the model"),
        ("def make():\n    raise KeyError('where')", r"make raised an error \(KeyError: 'where', at mine_0\w*\.py:6\)"),
        ("import nothing_like_it\ndef make(): ...", r"importing .* \(ModuleNotFoundError: .* at mine_0\w*\.py:5\)"),
        (LINEAR.replace("(192", "(191"), r"does not take images \(3, 8, 8\) \(RuntimeError: .* at mine_0\w*\.py:12\)"),
        (LINEAR.replace("return self.layer(", "return (lambda x: 'words')("), r"returns a str, which is no tensor"),
        (LINEAR.replace("return self.layer(", "return (lambda x: {'a': None})("), r"returns nothing usable"),
        (LINEAR.replace("images.flatten(1))", "images.flatten(1)).sum()"), r"'output' has the shape \(\) for a batch"),
        (
            LINEAR.replace("return Net()", "net = Net()\n    net.layer.bias.data[1] = torch.nan\n    return net"),
            r"weight 'layer.bias' has values that are not finite",
        ),
        ("def make(:", r"importing .* \(SyntaxError: "),
        (
            LINEAR.replace("self.layer(images.flatten(1))", "torch.log(self.layer(images.flatten(1)) - 99)"),
            r"gives values that are not finite for 'output'",
        ),
    ],
)
def test_what_a_factory_may_not_be(factory: Factory, tmp_path: Path, code: str, told: str) -> None:
    with pytest.raises(ExportError, match=told) as caught:
        export(factory(code), REQUEST, tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_names_and_inputs_that_are_missing(factory: Factory, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown factory of .* 'make' \(did you mean 'mage'\?\)"):
        export(factory("def mage(): ..."), REQUEST, tmp_path / "out")
    with pytest.raises(ExportError, match=r"which inputs it takes cannot be read off .* --input images:float32"):
        export(factory(LINEAR), replace(REQUEST, declared=()), tmp_path / "out2")


def test_an_operator_that_onnx_does_not_have_is_named_with_its_line(factory: Factory, tmp_path: Path) -> None:
    code = """
    class Net(nn.Module):
        def forward(self, images):
            square = images[:, 0] @ images[:, 1]
            return torch.linalg.eigvals(square).real

    def make():
        return Net()
    """
    with pytest.raises(ExportError, match=r"no ONNX for aten.linalg_eig\w* at mine_0\w*\.py:9; replace it"):
        export(factory(code), REQUEST, tmp_path / "out")
    with pytest.raises(ExportError, match=r"no ONNX for aten::linalg_eig\w* at mine_1\w*\.py:9; replace it"):
        export(factory(code), replace(REQUEST, opset=17), tmp_path / "out17")


DECIDING = """
class Net(nn.Module):
    def forward(self, images):
        if images.sum() > 1e9:
            return images * 2
        return images

def make():
    return Net()
"""


def test_a_decision_by_the_data_is_refused_by_one_exporter_and_told_by_the_other(
    factory: Factory, tmp_path: Path
) -> None:
    with pytest.raises(
        ExportError, match=r"decides by its data at mine_0\w*\.py:8, which no graph can; use torch.where"
    ):
        export(factory(DECIDING), REQUEST, tmp_path / "out")
    draft, _, _ = export(factory(DECIDING), replace(REQUEST, opset=17), tmp_path / "out17")
    assert any("may have fixed a decision" in note and ".py:8" in note for note in draft.notes)


def test_a_free_batch_may_be_declared_under_any_name(factory: Factory, tmp_path: Path) -> None:
    declared = (replace(IMAGES, shape=("N", 3, 8, 8)),)
    _, shapes, _ = export(factory(LINEAR), replace(REQUEST, declared=declared), tmp_path / "out")
    assert (shapes["images"][0], shapes["output"][0]) == ("batch", "batch")


SIDE = DimRange(8, 12, 16)


@pytest.mark.parametrize(
    ("shape", "options", "told"),
    [
        ((1, 3, 8, 8), {"bounds": (SIDE,)}, r"the batch is fixed to 1: there is nothing to bound; .* declare what is"),
        (("batch", 3, 8, 8), {"size": (SIDE, SIDE)}, r"its inputs have one size; leave --size out, or declare what is"),
        (("batch", 3, "height", 8), {"size": (SIDE, SIDE)}, "its inputs have one width; leave --size out"),
    ],
)
def test_what_is_fixed_is_not_asked_to_be_free(
    factory: Factory, tmp_path: Path, shape: tuple[int | str, ...], options: dict[str, Any], told: str
) -> None:
    request = replace(REQUEST, declared=(replace(IMAGES, shape=shape),), **options)
    with pytest.raises(ConfigError, match=told):
        export(factory(POOLED), request, tmp_path / "out")


def test_the_size_that_an_input_has_may_be_asked_for(factory: Factory) -> None:
    own = (DimRange(8, 8, 8),) * 2
    assert load_net(factory(LINEAR), replace(REQUEST, size=own)).inputs == (IMAGES,)


def test_what_the_operator_says_comes_before_what_timm_tells(factory: Factory) -> None:
    asked = replace(REQUEST, declared=(), mean=(0.1,), std=(0.7, 0.8, 0.9))
    net = load_net(factory(TIMM), asked)
    assert (net.images[0].mean, net.images[0].std) == ((0.1,) * 3, (0.7, 0.8, 0.9))
    sized = replace(asked, size=(SIDE, DimRange(32, 32, 32)))
    net = load_net(factory(TIMM), sized)
    assert net.inputs[0].shape == ("batch", 3, "height", 32)
    assert net.images[0].shape == (3, 12, 32)


MIXED = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 4)

    def forward(self, images):
        return self.layer(images.mean((1, 2)) + torch.arange(8, dtype=torch.float32))


def make():
    return Net()
"""


def test_a_network_that_makes_fp32_tensors_is_not_halved(factory: Factory, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"mixes FP32 into FP16 \(.* at mine_0\w*\.py:12\); --fp16-method convert"):
        export(factory(MIXED), replace(REQUEST, precision=Precision.FP16), tmp_path / "out")


def test_an_operator_without_fp16_on_a_cpu_is_no_mixture(factory: Factory) -> None:
    code = "class Net(nn.Module):\n    def forward(self, x):\n        return torch.linalg.inv(x[:, 0])\n"
    net = load_net(factory(code + "def make():\n    return Net()"), REQUEST)
    net.module.half()
    refuse_mixed(net, {"images": np.eye(8, dtype=np.float32)[None, None].repeat(2, 0).repeat(3, 1)}, "mine")


@pytest.mark.parametrize("batch", [1, 4])
def test_values_on_the_way_are_those_of_two_samples_whatever_the_batch(
    factory: Factory, tmp_path: Path, batch: int
) -> None:
    ref, request = factory(LINEAR.replace("flatten(1)", "view(images.shape[0], -1)")), replace(REQUEST, batch=batch)
    export(ref, request, tmp_path / "out")
    inputs, _ = golden.load(tmp_path / "out" / "golden.npz")
    write_values(ref, request, inputs, tmp_path / "out" / MODEL_FILE, tmp_path / "values.npz", silent)
    with np.load(tmp_path / "values.npz") as values:
        assert np.array_equal(values["view"], inputs["images"][:2].reshape(2, -1))


def test_a_module_whose_name_is_taken_is_told(factory: Factory, tmp_path: Path) -> None:
    ref = factory(LINEAR)
    for name, package in (("profiles", "profiles/__init__.py"), ("time", "Python itself")):
        other = replace(ref, path=tmp_path / f"{name}.py", factory=f"{name}:make")
        with pytest.raises(ExportError, match=f"the module '{name}' is taken by .*{package}; rename the file"):
            load_net(other, REQUEST)
    inside = replace(ref, path=tmp_path / "export" / "nets.py", factory="export.nets:make")
    with pytest.raises(ExportError, match=r"the module 'export' is taken by .*; rename the folder"):
        load_net(inside, REQUEST)


def test_a_factory_in_a_package_is_found(factory: Factory, tmp_path: Path) -> None:
    path = factory(LINEAR).path
    assert path is not None
    package = tmp_path / f"package_{path.stem}"
    package.mkdir()
    (package / "nets.py").write_bytes(path.read_bytes())
    ref = ModelRef("mine", "factory", path=package / "nets.py", factory=f"{package.name}.nets:make")
    assert load_net(ref, REQUEST).inputs == (IMAGES,)


def test_a_factory_that_ends_the_process_is_told(factory: Factory) -> None:
    with pytest.raises(ExportError, match=r"make raised an error \(SystemExit: 3, at mine_0\w*\.py:6\)"):
        load_net(factory("def make():\n    raise SystemExit(3)"), REQUEST)
    with pytest.raises(ExportError, match=r"importing .* raised an error \(SystemExit: no, at mine_1\w*\.py:5\)"):
        load_net(factory("raise SystemExit('no')"), REQUEST)
