"""Programs of torch.export in .pt2 files: what is read off them, what they take, and which are refused."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device_agents.contract import DimRange, Precision
from export.draft import MODEL_FILE
from export.graph import load, specs
from export.models import ModelRef
from export.pt.net import MOST
from export.pt.program import inputs_of
from export.request import ExportRequest
from profiles.errors import ConfigError, ExportError
from tests.unit.export.small_networks import export

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

PROGRAM = ExportRequest("mine", "pytorch", Precision.FP32, "dynamic", "own", unsafe=True)


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


class Means(torch.nn.Module):
    def forward(self, *images: Any) -> Any:
        return sum(image.mean((2, 3)) for image in images)


def exported(*shapes: tuple[int, ...], free: Any = None, dtype: torch.dtype = torch.float32) -> Any:
    """A program of the means of images, whose free dimensions are `free`, by axis, for each."""
    images = tuple(torch.zeros(shape, dtype=dtype) for shape in shapes)
    return torch.export.export(Means().eval(), images, dynamic_shapes=(free,) if free else None)


def saved(path: Path, program: Any) -> ModelRef:
    torch.export.save(program, path)
    return ModelRef("mine", "pt2", path=path)


@pytest.mark.parametrize(
    ("batch", "takes"),
    [
        (torch.export.Dim("k"), (1, MOST)),
        (torch.export.Dim.DYNAMIC, (2, MOST)),
        (torch.export.Dim("k", max=16), (1, 16)),
        (torch.export.Dim("k", min=3), (3, MOST)),
        (None, (6, 6)),
    ],
)
def test_a_batch_may_have_bounds_or_none(batch: Any, takes: tuple[int, int]) -> None:
    specs, batches = inputs_of(exported((6, 3, 8, 8), free=({0: batch},)), "mine")
    assert batches == takes
    assert specs[0].shape == (6 if batch is None else "batch", 3, 8, 8)


def test_height_and_width_are_those_of_the_first_image_alone() -> None:
    batch, height, width = (torch.export.Dim(name, min=4, max=64) for name in ("n", "h", "w"))
    image = {0: batch, 2: height, 3: width}
    specs, _ = inputs_of(exported((5, 3, 8, 9), (5, 3, 8, 9), free=(image, image)), "mine")
    assert [spec.shape for spec in specs] == [("batch", 3, "height", "width")] * 2
    specs, _ = inputs_of(exported((5, 3, 7, 7), (5, 3, 8, 9), free=({0: batch}, image)), "mine")
    assert [spec.shape for spec in specs] == [("batch", 3, 7, 7), ("batch", 3, "height", "width")]
    other = {0: batch, 2: torch.export.Dim("other", min=4, max=64)}
    with pytest.raises(ExportError, match=r"dimension 2 of input 'images_1' is free, and nothing says its size"):
        inputs_of(exported((5, 3, 8, 9), (5, 3, 11, 9), free=(image, other)), "mine")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_program_that_is_not_in_fp32_is_refused(dtype: torch.dtype) -> None:
    with pytest.raises(ExportError, match=r"the program is in (FP16|BF16), and .*; export the network in FP32"):
        inputs_of(exported((2, 3, 4, 4), dtype=dtype), "mine")
    weights = torch.export.export(torch.nn.Embedding(4, 2).to(dtype), (torch.zeros(2, dtype=torch.int64),))
    with pytest.raises(ExportError, match="the program is in"):
        inputs_of(weights, "mine")


def test_a_program_is_run_in_batches_that_it_takes_and_its_bounds_are_told(tmp_path: Path) -> None:
    ref = saved(tmp_path / "mine.pt2", exported((2, 3, 4, 4), free=({0: torch.export.Dim("n", max=4)},)))
    within = replace(PROGRAM, opset=17, bounds=(DimRange(1, 2, 4),))
    draft, shapes, error = export(ref, within, tmp_path / "out")
    assert (shapes["output"], draft.notes) == (("batch", 3), ("the program was exported for a batch from 1 to 4",))
    assert error < 1e-5
    with pytest.raises(ExportError, match="the program has a batch from 1 to 4, not 8; keep --bounds within that"):
        export(ref, replace(PROGRAM, bounds=(DimRange(1, 2, 8),)), tmp_path / "beyond")


def test_what_is_fixed_in_a_program_has_no_bounds_and_no_other_size(tmp_path: Path) -> None:
    ref = saved(tmp_path / "mine.pt2", exported((2, 3, 4, 4)))
    own = (DimRange(4, 4, 4),) * 2
    draft, _, _ = export(ref, replace(PROGRAM, opset=17, size=own), tmp_path / "out")
    assert draft.notes == ("the batch is fixed to 2, as in the program",)
    with pytest.raises(ConfigError, match=r"mine: the batch is fixed to 2: there is nothing to bound; .*export\.Dim"):
        export(ref, replace(PROGRAM, bounds=(DimRange(1, 2, 8),)), tmp_path / "bounds")
    with pytest.raises(ConfigError, match=r"mine: its inputs have one size; leave --size out, or export the program"):
        export(ref, replace(PROGRAM, size=(DimRange(4, 8, 16),) * 2), tmp_path / "size")
