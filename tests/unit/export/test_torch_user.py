"""Users' own models: what a factory or a .pt2 may be, what is read off it, and what is said where it is not usable."""

from __future__ import annotations

import sys
import textwrap
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_agents.contract import DimRange, Precision, TensorSpec
from export.data import golden
from export.draft import MODEL_FILE, Draft
from export.frameworks.pytorch import Exporter, answers
from export.graph import load, specs
from export.judging import parity
from export.models import ModelRef
from export.request import ExportRequest
from profiles.errors import ConfigError, ExportError
from profiles.progress import silent

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


def export(ref: ModelRef, request: ExportRequest, out: Path) -> tuple[Draft, dict[str, tuple[Any, ...]], float]:
    """(the draft, shapes of the graph's inputs and outputs, the worst error of all golden files)."""
    out.mkdir()
    draft = Exporter(ref.name, silent).export(ref, request, out)
    graph = load(out / MODEL_FILE).graph
    shapes = {spec.name: spec.shape for spec in (*specs(graph.input), *specs(graph.output))}
    worst = 0.0
    for file in out.glob("golden*.npz"):
        inputs, reference = golden.load(file)
        found = parity.run(out / MODEL_FILE, inputs, request.precision)
        worst = max(worst, *parity.compare(reference, found).errors.values())
    return draft, shapes, worst


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


def test_timm_tells_its_own_input(factory: Factory, tmp_path: Path) -> None:
    told = 'net.pretrained_cfg = {"input_size": (3, 8, 8), "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.2)}'
    ref = factory(LINEAR.replace("return Net()", f"net = Net()\n    {told}\n    return net"))
    draft, shapes, _ = export(ref, replace(REQUEST, declared=()), tmp_path / "out")
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


class Small(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(12, 4)

    def forward(self, left: Any, right: Any) -> dict[str, Any]:
        return {"sum": self.layer(left) + right, "right": right * 2}


def write_program(path: Path, *, free: bool) -> ModelRef:
    torch.manual_seed(3)
    batch = torch.export.Dim("batch", min=1, max=16) if free else None
    shapes = ({0: batch}, {0: batch}) if free else None
    program = torch.export.export(Small().eval(), (torch.zeros(2, 12), torch.zeros(2, 4)), dynamic_shapes=shapes)
    torch.export.save(program, path)
    return ModelRef("mine", "pt2", path=path)


PROGRAM = replace(REQUEST, declared=(), unsafe=True)


@pytest.mark.parametrize("opset", [18, 17])
def test_a_program_tells_its_inputs_and_its_free_batch(tmp_path: Path, opset: int) -> None:
    ref = write_program(tmp_path / "mine.pt2", free=True)
    draft, shapes, error = export(ref, replace(PROGRAM, opset=opset), tmp_path / "out")
    assert error < 1e-5
    assert draft.batch == "dynamic"
    assert shapes == {
        "left": ("batch", 12),
        "right": ("batch", 4),
        "sum": ("batch", 4),
        "right_out": ("batch", 4),  # an input has that name already
    }


def test_a_program_keeps_its_fixed_batch(tmp_path: Path) -> None:
    ref = write_program(tmp_path / "mine.pt2", free=False)
    draft, shapes, error = export(ref, PROGRAM, tmp_path / "out")
    assert (draft.batch, shapes["sum"]) == (2, (2, 4))
    assert error < 1e-5
    with pytest.raises(ExportError, match="the program has a fixed batch of 2, not 3; use --batch 2"):
        export(ref, replace(PROGRAM, batch=3), tmp_path / "other")


def test_a_program_in_fp16(tmp_path: Path) -> None:
    ref = write_program(tmp_path / "mine.pt2", free=True)
    draft, _, _ = export(ref, replace(PROGRAM, precision=Precision.FP16), tmp_path / "out")
    assert draft.precision is Precision.FP16
    assert specs(load(tmp_path / "out" / MODEL_FILE).graph.output)[0].dtype == "float16"


def test_a_program_is_not_read_unless_it_is_trusted(tmp_path: Path) -> None:
    ref = write_program(tmp_path / "mine.pt2", free=True)
    with pytest.raises(ExportError, match=r"mine\.pt2: reading a \.pt2 runs whatever code .* give --unsafe"):
        export(ref, replace(PROGRAM, unsafe=False), tmp_path / "out")


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (Path(self.path),))


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
@pytest.mark.parametrize("unsafe", [True, False])
def test_a_pickle_that_calls_itself_a_program_is_refused_unread(tmp_path: Path, unsafe: bool) -> None:
    import pickle

    sprung, request = tmp_path / "sprung", replace(PROGRAM, unsafe=unsafe)
    (tmp_path / "plain.pt2").write_bytes(pickle.dumps(Trap(str(sprung))))
    torch.save(Trap(str(sprung)), tmp_path / "saved.pt2")
    with zipfile.ZipFile(tmp_path / "other.pt2", "w") as archive:
        archive.writestr("readme", "nothing")
    torch.jit.save(
        torch.jit.trace(Small(), (torch.zeros(2, 12), torch.zeros(2, 4)), strict=False), tmp_path / "jit.pt2"
    )
    told = {
        "plain": r"plain\.pt2: no file of torch.export, or a damaged one",
        "saved": r"saved\.pt2: it is a pickle of torch.save, not a program of torch.export",
        "other": r"other\.pt2: no file of torch.export",
        "jit": r"jit\.pt2: it is TorchScript, not a program",
    }
    for name, sentence in told.items():
        with pytest.raises(ExportError, match=sentence):
            export(ModelRef("mine", "pt2", path=tmp_path / f"{name}.pt2"), request, tmp_path / f"out-{name}")
    assert not sprung.exists()
