"""Sizes that a load pattern draws: from the request to cells with their static references, artifacts and jobs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from device_agents.contract import DimRange, FileEntry, JobSpec, LoadPattern, Precision, Timing
from edge.agent import bundle
from edge.inventory.devices import Fleet
from edge.planning import sources
from edge.planning.choosing import Choices, Survey
from edge.planning.make_plan import make_plan
from edge.planning.plan import Cell
from edge.planning.request import Request
from edge.planning.sources import ArtifactSource
from edge.running.device_work import check_request
from edge.running.jobspec import job_spec
from edge.sweeps.expand import expand
from edge.sweeps.plan_file import load_sweep
from export.api import Options
from export.artifact import Artifact, Format, Store
from profiles.errors import ConfigError, ExportError, RunError
from profiles.progress import silent
from profiles.schema import ImageInput
from tests import free_sizes
from tests.plans import answered, artifact, device, stored

DRAWN = LoadPattern.parse("sizes:32-96")
CELL = Cell("orin-1", "resnet18", "pytorch", "tensorrt", Precision.FP32, 4, weights="random")
PROFILE = {"batch": free_sizes.BATCHES, **free_sizes.SIDES}
FILES = tuple(FileEntry(name, 1, "0" * 64) for name in ("model.onnx", "golden.npz", "golden-32x32.npz"))
FREE = artifact(
    precision=Precision.FP32, inputs=free_sizes.INPUTS, outputs=free_sizes.OUTPUTS, files=FILES, golden="golden.npz",
    profiles=(PROFILE,), images=(ImageInput(),),
)  # fmt: skip
SQUARE = DimRange(32, 64, 96)
LOCAL = device("local", "local")


@pytest.fixture(autouse=True)
def agent_with_every_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    carried = ("onnxruntime", "pytorch", "tensorflow", "tensorrt", "tensorrt-rtx", "trtexec")
    monkeypatch.setattr(bundle, "backend_names", lambda: carried)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    stored(made, precision=Precision.FP32)
    return made


def request(**asked: object) -> Request:
    fields = {"framework": "pytorch", "backends": ("onnxruntime",), "pattern": "sizes:224-288", **asked}
    return Request(("resnet18",), **fields)  # type: ignore[arg-type]


def plan(store: Store, **asked: object) -> tuple[Cell, ...]:
    return make_plan(request(**asked), [LOCAL], store, Choices(), Survey()).cells


class TestAPlan:
    def test_has_the_static_references_behind_what_draws_sizes(self, store: Store) -> None:
        first, *others = plan(store)
        assert (str(first.pattern), first.size) == ("sizes:224-288", None)
        assert [(str(cell.pattern), cell.size, cell.static) for cell in others] == [
            ("serial", None, False), ("serial", (256, 256), False), ("serial", (288, 288), False),
        ]  # fmt: skip
        assert {cell.timing for cell in others} == {Timing()}
        assert first.timing.iterations == 300

    def test_the_reference_of_the_model_s_own_size_is_the_very_cell_that_names_none(self, store: Store) -> None:
        (plain,) = plan(store, pattern=None)
        assert plain in plan(store)

    def test_of_a_first_look_has_three(self, store: Store) -> None:
        first, *others = plan(store, pattern="sizes:224-512", timing=Timing.quick())
        assert str(first.pattern) == "sizes:224,384,512"
        assert [cell.size for cell in others] == [None, (384, 384), (512, 512)]
        assert {cell.timing for cell in others} == {Timing.quick()}

    def test_sets_an_engine_against_one_of_each_size(self, store: Store) -> None:
        first, *others = plan(store, backends=("tensorrt",))
        assert (first.static, {cell.static for cell in others}) == (False, {True})

    def test_compiles_the_references_for_one_size_whatever_the_other_is_compiled_for(self, store: Store) -> None:
        asked = {"mode": "compile", "dynamic": "automatic"}
        first, *others = plan(store, backends=("pytorch",), options=asked)
        assert first.options == asked
        assert {tuple(cell.options.items()) for cell in others} == {(("mode", "compile"),)}

    def test_says_that_each_is_measured_alone(self, store: Store) -> None:
        choices = Choices()
        make_plan(request(), [LOCAL], store, choices, Survey())
        assert any(line.startswith("sizes 224, 256, 288: each is measured alone, too") for line in choices.lines)

    def test_of_a_network_of_one_size_is_refused(self, store: Store) -> None:
        for model in ("vit_b_16", "torchvision:vit_l_32", "torchvision:maxvit_t"):
            asked = Request((model,), framework="pytorch", pattern="sizes:224-288")
            with pytest.raises(ConfigError, match="takes images of no other") as caught:
                make_plan(asked, [LOCAL], store, Choices(), Survey())
            assert caught.value.where == model


@pytest.mark.parametrize(
    ("asked", "where", "why"),
    [
        ({"sizes": ((224, 224),)}, "--size", "the load pattern draws the sizes"),
        ({"inputs": Path(__file__)}, "--inputs", "your own data is of one size"),
        ({"engines": "ahead"}, "--engines", "an engine of ahead is one"),
        ({"engines": "per-class"}, "--engines", "an engine of per-class is one"),
        ({"check_with": "trtexec"}, "--check-with", "trtexec cannot run the load pattern sizes:224-288"),
        ({"pattern": "sizes:225-512"}, "--pattern", "no multiples of the step 32"),
        ({"pattern": "sizes:big"}, "--pattern", "'big' is no range of sizes"),
    ],
)
def test_what_has_no_meaning_with_drawn_sizes_is_refused(asked: dict[str, object], where: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        request(**asked)
    assert caught.value.where == where


def test_a_backend_that_cannot_is_told_before_anything_is_shipped() -> None:
    found = answered(trtexec="10.3.0")
    with pytest.raises(RunError, match="trtexec cannot run the load pattern sizes:32-96"):
        check_request(replace(CELL, backend="trtexec", pattern=DRAWN), found, "orin-1")


class TestASweep:
    def cells(self, tmp_path: Path, store: Store, text: str) -> list[Cell]:
        path = tmp_path / "plan.toml"
        path.write_text(f'models = ["resnet18"]\nframeworks = ["pytorch"]\nbackends = ["onnxruntime"]\n{text}')
        return list(expand(load_sweep(path), [LOCAL], Fleet({"local": LOCAL}), store, Choices(), Survey()))

    def test_measures_a_reference_once(self, tmp_path: Path, store: Store) -> None:
        found = self.cells(tmp_path, store, 'patterns = ["serial", "sizes:224-288"]\n')
        assert [(str(cell.pattern), cell.size) for cell in found] == [
            ("serial", None), ("sizes:224-288", None), ("serial", (256, 256)), ("serial", (288, 288)),
        ]  # fmt: skip

    def test_the_sizes_of_the_plan_are_not_those_that_are_drawn(self, tmp_path: Path, store: Store) -> None:
        text = 'sizes = ["256", "320"]\npatterns = ["serial", "sizes:224-288"]\n'
        found = self.cells(tmp_path, store, text)
        assert [cell.size for cell in found] == [(256, 256), (320, 320), None, None, (288, 288)]

    def test_a_range_that_is_none_names_the_key(self, tmp_path: Path, store: Store) -> None:
        with pytest.raises(ConfigError, match="is no range of sizes") as caught:
            self.cells(tmp_path, store, 'patterns = ["sizes:10"]\n')
        assert "key 'patterns'" in caught.value.where


def spec(of: Artifact = FREE, **changes: object) -> JobSpec:
    return job_spec("a" * 16, replace(CELL, **{"pattern": DRAWN, **changes}), of)  # type: ignore[arg-type]


class TestAJob:
    def test_leaves_height_and_width_free(self) -> None:
        made = spec()
        assert made.free_dims == {"batch": 4}
        assert made.inputs[0].shape == (4, 3, 32, 32)
        assert made.golden_file == "golden-32x32.npz"
        assert made.side == 32
        assert made.at_side(96).inputs[0].shape == (4, 3, 96, 96)

    def test_is_checked_at_the_size_that_the_artifact_is_tuned_for(self) -> None:
        tuned = replace(FREE, profiles=({**PROFILE, "height": SQUARE, "width": SQUARE},))
        made = spec(tuned)
        assert (made.side, made.golden_file) == (64, "golden.npz")

    def test_bounds_the_sides_of_an_engine_by_what_is_drawn(self) -> None:
        drawn = DimRange(32, 32, 64)
        made = spec(pattern=LoadPattern("sizes", sizes=(32, 64)))
        assert made.engine.profiles == ({"batch": free_sizes.BATCHES, "height": drawn, "width": drawn},)

    def test_of_a_static_engine_is_bounded_to_its_one_size(self) -> None:
        one = DimRange(64, 64, 64)
        made = spec(pattern=LoadPattern(), size=(64, 64), static=True)
        assert made.engine.profiles == ({"batch": free_sizes.BATCHES, "height": one, "width": one},)
        sides_alone = replace(FREE, profiles=(dict(free_sizes.SIDES),))
        assert spec(sides_alone, pattern=LoadPattern(), size=(64, 64), static=True).engine.profiles == ()

    def test_has_time_to_compile_for_every_size(self) -> None:
        plain = spec(pattern=LoadPattern(), size=(64, 64)).deadline_s
        assert spec().deadline_s - plain == 3 * 300 * CELL.timing.processes

    def test_of_an_artifact_that_does_not_take_them_all_is_refused(self) -> None:
        with pytest.raises(RunError, match="does not take every size from 32 to 128 pixels") as caught:
            spec(pattern=LoadPattern.parse("sizes:32-128"))
        assert caught.value.fix == "export it with a range of sizes: --size 32:96:128"
        with pytest.raises(RunError, match="height and width both free"):
            spec(artifact(images=(ImageInput(),), golden="golden.npz", files=FILES, precision=Precision.FP32))


class TestTheArtifact:
    def wanted(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Format, Options]]:
        found: list[tuple[Format, Options]] = []

        def export(*_: object, options: Options, format: Format, **__: object) -> Artifact:  # noqa: A002
            found.append((format, options))
            raise ExportError("asked")

        monkeypatch.setattr(sources, "export_model", export)
        return found

    def ask(self, source: ArtifactSource, cell: Cell) -> None:
        with pytest.raises(ExportError, match="asked"):
            source(cell)

    def test_is_exported_for_the_range_and_serves_the_references(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cells, found = plan(store, weights="random"), self.wanted(monkeypatch)
        source = ArtifactSource(request(weights="random"), store, silent, planned=cells)
        for cell in cells:
            self.ask(source, cell)
        side = DimRange(224, 224, 288)
        assert found == [(Format.ONNX, Options(size=(side, side)))]

    def test_is_tuned_for_the_size_in_the_middle_where_the_model_s_own_is_not_drawn(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found, asked = (
            self.wanted(monkeypatch),
            request(weights="random", pattern="sizes:256-320", backends=("pytorch",)),
        )
        cells = make_plan(asked, [LOCAL], store, Choices(), Survey()).cells
        self.ask(ArtifactSource(asked, store, silent, planned=cells), cells[0])
        side = DimRange(256, 288, 320)
        assert found == [(Format.SAFETENSORS, Options(size=(side, side)))]

    def test_that_is_there_and_takes_them_all_is_taken(self, store: Store) -> None:
        there = free_sizes.adopted(store)
        cells = plan(store, pattern="sizes:32-96")
        source = ArtifactSource(request(pattern="sizes:32-96"), store, silent, planned=cells)
        assert {source(cell).id for cell in cells} == {there.id}
