"""Height and width from an artifact's manifest to a job, an engine's profile and its golden data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from device_agents.contract import DimRange, FileEntry, JobSpec, Precision, Reading, TensorSpec, dumps, from_json, loads
from edge.planning import sizes
from edge.planning.ahead import engine_for
from edge.planning.choosing import Choices, Survey
from edge.planning.classes import build_of
from edge.planning.make_plan import make_plan
from edge.planning.plan import Cell
from edge.planning.request import Request
from edge.planning.sources import ArtifactSource
from edge.running.jobspec import job_spec
from export.artifact import Artifact, Format, NotChecked, Parity, Store
from export.judging import boxes
from export.judging.parity import LIMITS, WHOLE_LIMITS
from profiles.errors import ConfigError, ExportError, RunError
from profiles.progress import silent
from profiles.schema import ImageInput
from tests import free_sizes
from tests.plans import answered, artifact, device, stored

JOB = "a" * 16
CELL = Cell("orin-1", "resnet18", "pytorch", "tensorrt", Precision.FP32, 4)
FILES = tuple(FileEntry(name, 1, "0" * 64) for name in ("model.onnx", "golden.npz", "golden-32x32.npz"))
PROFILE = {"batch": free_sizes.BATCHES, **free_sizes.SIDES}
FREE = artifact(
    precision=Precision.FP32, inputs=free_sizes.INPUTS, outputs=free_sizes.OUTPUTS, files=FILES, golden="golden.npz",
    profiles=(PROFILE,), images=(ImageInput(),),
)  # fmt: skip
FIXED = artifact(images=(ImageInput(),), golden="golden.npz", files=FILES)


def spec(size: tuple[int, int] | None, of: Artifact = FREE, **changes: object) -> JobSpec:
    return job_spec(JOB, replace(CELL, size=size, **changes), of)  # type: ignore[arg-type]


def refusal(size: tuple[int, int] | None, of: Artifact) -> str:
    with pytest.raises(RunError) as caught:
        spec(size, of)
    return str(caught.value)


class TestAJob:
    @pytest.mark.parametrize("size", [(32, 96), (48, 64)])
    def test_has_inputs_of_one_size_and_leaves_to_the_runtime_what_outputs_become(self, size: tuple[int, int]) -> None:
        made = spec(size)
        assert [tensor.shape for tensor in made.inputs] == [(4, 3, *size)]
        assert made.free_dims == {"batch": 4, "height": size[0], "width": size[1]}
        assert [tensor.shape for tensor in made.outputs] == [(4, 10), (4, 4, "out_h", "((width - 1)//2) + 1")]
        assert made.graph_inputs == FREE.inputs
        assert from_json(JobSpec, loads(dumps(made))) == made

    def test_an_output_s_side_is_not_believed_to_be_the_input_s_for_its_name(self) -> None:
        """A network halves what it calls height as well."""
        named = replace(FREE, outputs=(TensorSpec("out", "float32", ("batch", 4, "height", "width")),))
        assert spec((32, 32), named).outputs[0].shape == (4, 4, "height", "width")

    def test_without_a_size_is_of_the_one_that_the_artifact_is_tuned_for(self) -> None:
        assert spec(None) == spec((48, 64))

    @pytest.mark.parametrize(
        ("size", "golden"),
        [(None, "golden.npz"), ((48, 64), "golden.npz"), ((32, 32), "golden-32x32.npz"), ((96, 32), None)],
    )
    def test_is_checked_against_the_golden_data_of_its_size(
        self, size: tuple[int, int] | None, golden: str | None
    ) -> None:
        made = spec(size)
        assert made.golden_file == golden
        assert (made.parity_limit is None) == (golden is None)

    def test_of_images_with_their_channels_last(self) -> None:
        pixels = (TensorSpec("images", "uint8", ("batch", "height", "width", 3), 0, 255),)
        assert spec((32, 96), replace(FREE, inputs=pixels, pixels="uint8")).inputs[0].shape == (4, 32, 96, 3)

    def test_one_side_may_be_fixed(self) -> None:
        wide = replace(
            FREE,
            inputs=(TensorSpec("images", "float32", ("batch", 3, 64, "width")),),
            profiles=({"batch": DimRange(1, 4, 8), "width": DimRange(64, 256, 512)},),
        )
        assert spec(None, wide).inputs[0].shape == (4, 3, 64, 256)
        assert spec((64, 300), wide).inputs[0].shape == (4, 3, 64, 300)
        assert "size 32x300 is outside what it declares (width 64:256:512)" in refusal((32, 300), wide)


class TestWhatCannotBeMeant:
    def test_a_size_outside_the_declared_ranges(self) -> None:
        assert refusal((32, 128), FREE) == (
            f"resnet18, artifact {FREE.short_id}: size 32x128 is outside what it declares (height 32:48:96, width "
            "32:64:96); take one within, or export the model with a range that holds it: --size MIN:OPT:MAX"
        )

    def test_another_size_than_the_only_one(self) -> None:
        assert spec((224, 224), FIXED) == spec(None, FIXED)
        assert "its size is fixed to 224x224, not 320x320; measure that size, or export" in refusal((320, 320), FIXED)

    def test_a_size_of_what_takes_no_images(self) -> None:
        tokens = artifact(inputs=(TensorSpec("tokens", "int64", ("batch", 128)),))
        assert "nothing says that it takes images, so it has no size to choose; leave --size out" in refusal(
            (224, 224), tokens
        )

    def test_free_sides_of_which_nothing_says_how_long_they_are(self) -> None:
        silent_one = replace(FREE, profiles=())
        assert "its height and width are free, and nothing says which size is meant" in refusal(None, silent_one)
        assert spec((320, 200), silent_one).inputs[0].shape == (4, 3, 320, 200)

    def test_another_free_dimension(self) -> None:
        tokens = artifact(inputs=(TensorSpec("tokens", "int64", ("batch", "length")),))
        assert "input 'tokens' is 4xlength, and nothing says how large that is" in refusal(None, tokens)


class TestProfiles:
    def test_bound_every_free_dimension_as_the_artifact_declares(self) -> None:
        assert spec((32, 32)).engine.profiles == (PROFILE,)

    def test_bounds_of_the_batch_keep_the_artifact_s_sides(self) -> None:
        bounds = ({"batch": DimRange(1, 1, 1)}, {"batch": DimRange(2, 4, 32)})
        made = spec(None, profiles=bounds)
        assert made.engine.profiles == tuple({**free_sizes.SIDES, **one} for one in bounds)

    def test_a_batch_that_nothing_bounds_is_the_job_s(self) -> None:
        """Else the engines of two batches would have the same key."""
        sides = replace(FREE, profiles=(dict(free_sizes.SIDES),))
        assert spec(None, sides).engine.profiles == ({"batch": DimRange(4, 4, 4), **free_sizes.SIDES},)

    def test_a_fixed_batch_takes_bounds_of_its_sides_alone(self) -> None:
        fixed = replace(
            FREE,
            batch=4,
            inputs=(TensorSpec("images", "float32", (4, 3, "height", "width")),),
            profiles=(dict(free_sizes.SIDES),),
        )
        assert spec(None, fixed).engine.profiles == (free_sizes.SIDES,)
        with pytest.raises(RunError, match="its batch is fixed to 4: there is nothing to bound"):
            spec(None, fixed, profiles=({"batch": DimRange(1, 4, 8)},))

    def test_one_engine_serves_every_size(self) -> None:
        cells = [replace(CELL, size=size) for size in (None, (32, 32), (96, 96))]
        assert len({build_of(cell, FREE, "orin-1").id for cell in cells}) == 1
        unbounded = replace(FREE, profiles=())
        assert len({build_of(cell, unbounded, "orin-1").id for cell in cells[1:]}) == 2


class TestTheCheckOfADetector:
    BOXES = tuple(
        TensorSpec(name, "float32", ("batch", 100, *more))
        for name, more in (("boxes", (4,)), ("scores", ()), ("labels", ()))
    )

    def test_matches_final_boxes_by_limits_of_each_output(self) -> None:
        made = spec(None, artifact(task="detection", outputs=self.BOXES), precision=Precision.FP16)
        assert made.check == "detection"
        assert made.limits == self.limits()

    def test_lets_pass_what_the_gate_let_pass_for_the_framework_s_own_error(self) -> None:
        errors = {"boxes": 0.01, "scores": 0.05, "labels": 0.0}
        parity = Parity(0.05, 0.08, "scores", 8, 1.0, errors=errors, framework_error=0.04)
        made = spec(None, artifact(task="detection", outputs=self.BOXES, parity=parity))
        assert made.limits == {**self.limits(), "scores": 0.1}

    def limits(self) -> dict[str, float]:
        return {one.name: boxes.LIMITS[Precision.FP16][one.name] for one in self.BOXES}

    def test_matches_proposals_and_limits_the_share_that_match_none(self) -> None:
        outputs = (
            TensorSpec("class_logits", "float32", ("batch", 1000, 91)),
            TensorSpec("boxes", "float32", ("batch", 1000, 91, 4)),
        )
        made = spec(None, artifact(task="detection", head="raw", outputs=outputs), precision=Precision.FP16)
        assert made.check == "detection"
        assert made.limits == {"class_logits": 0.02, "boxes": 0.02, "proposals": 0.1}

    @pytest.mark.parametrize("changes", [{"task": "detection", "head": "raw"}, {"outputs": BOXES}, {}])
    def test_is_of_boxes_alone(self, changes: dict[str, object]) -> None:
        assert spec(None, artifact(**changes)).check == "relative"


class TestTheLimitsOfACheck:
    """Of each output, as the gate has them: export.judging.parity."""

    OUTPUTS = (
        TensorSpec("out", "float32", ("batch", 3)),
        TensorSpec("aux", "float32", ("batch", 3)),
        TensorSpec("classes", "int64", ("batch", 9)),
    )
    FURTHER = (*TestTheCheckOfADetector.BOXES, *OUTPUTS)

    @pytest.mark.parametrize("outputs", [OUTPUTS, FURTHER])
    def test_are_those_of_its_kind_whatever_else_the_model_gives(self, outputs: tuple[TensorSpec, ...]) -> None:
        made = spec(None, artifact(task="detection", outputs=outputs, parity=NotChecked("a test")))
        assert made.limits.keys() == {one.name for one in outputs}
        assert {name: made.limits[name] for name in ("out", "aux", "classes")} == {
            "out": LIMITS[Precision.FP16],
            "aux": LIMITS[Precision.FP16],
            "classes": WHOLE_LIMITS[Precision.FP16],
        }

    def test_of_one_output_that_the_framework_s_own_error_explains_are_not_those_of_the_others(self) -> None:
        errors = {"out": 0.05, "aux": 0.015, "classes": 0.2}
        parity = Parity(0.05, 0.08, "out", 8, 1.0, errors=errors, framework_error=0.04)
        made = spec(None, artifact(outputs=self.OUTPUTS, parity=parity))
        assert made.limits == {"out": 0.08, "aux": 0.03, "classes": 0.4}
        assert spec(None, artifact(outputs=self.OUTPUTS, parity=replace(parity, errors={}))).limits == {
            "out": 0.08,
            "aux": LIMITS[Precision.FP16],
            "classes": WHOLE_LIMITS[Precision.FP16],
        }

    def test_of_the_worst_output_is_what_the_manifest_says(self) -> None:
        parity = Parity(1e-6, 5e-3, "aux", 8, 1.0)
        assert spec(None, artifact(outputs=self.OUTPUTS, parity=parity)).limits["aux"] == 5e-3


class TestAPlan:
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return Store(tmp_path)

    def cells(self, store: Store, **asked: object) -> tuple[list[Cell], list[str]]:
        request = Request(("resnet18",), framework="pytorch", precision=Precision.FP32, **asked)  # type: ignore[arg-type]
        choices = Choices()
        return list(make_plan(request, (device("orin-1"),), store, choices).cells), choices.lines

    def test_has_a_cell_for_every_batch_and_size(self, store: Store) -> None:
        stored(store, precision=Precision.FP32)
        cells, _ = self.cells(store, batches=(1, 8), sizes=((224, 224), (320, 512)))
        assert [(cell.batch, cell.size) for cell in cells] == [
            (1, (224, 224)), (1, (320, 512)), (8, (224, 224)), (8, (320, 512)),
        ]  # fmt: skip
        assert len({cell.id for cell in cells}) == 4
        assert cells[1].label == "resnet18/pytorch fp32 batch 1 at 320x512 on tensorrt"

    def test_without_a_size_takes_the_one_that_the_artifact_is_tuned_for_and_says_so(self, store: Store) -> None:
        free_sizes.adopted(store)
        (cell,), lines = self.cells(store)
        assert cell.size == (48, 64)
        assert "size 48x64 of resnet18/pytorch (what the artifact that is there is for)" in lines

    def test_prefers_what_is_for_the_model_s_own_size_to_what_came_later(self, store: Store) -> None:
        fixed = stored(store, precision=Precision.FP32, images=(ImageInput(),))
        free_sizes.adopted(store)
        (cell,), lines = self.cells(store)
        assert cell.size is None
        assert not any(line.startswith("size") for line in lines)
        request = Request(("resnet18",), framework="pytorch")
        assert ArtifactSource(request, store, silent)(replace(cell, backend="onnxruntime")).id == fixed.id

    @pytest.mark.parametrize("images", [(), (ImageInput(),)])
    def test_says_nothing_of_the_model_s_own_size(self, store: Store, images: tuple[ImageInput, ...]) -> None:
        """And a cell of it has the id that it had before there were sizes."""
        stored(store, precision=Precision.FP32, images=images)
        (cell,), lines = self.cells(store)
        assert cell.size is None
        assert not any(line.startswith("size") for line in lines)


class TestTheArtifactOfASize:
    def source(self, store: Store, size: tuple[int, int] | None) -> Artifact:
        request = Request(("resnet18",), framework="pytorch")
        cell = replace(CELL, weights="random", precision=Precision.FP32, size=size)
        return ArtifactSource(request, store, silent)(cell)

    def test_is_the_one_that_takes_it(self, tmp_path: Path) -> None:
        store = Store(tmp_path)
        free = free_sizes.adopted(store)
        fixed = stored(store, precision=Precision.FP32, images=(ImageInput(),))
        assert self.source(store, (96, 32)).id == free.id
        assert self.source(store, (224, 224)).id == fixed.id

    def test_is_exported_where_there_is_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store = Store(tmp_path)
        free_sizes.adopted(store)
        asked: list[object] = []

        def export(_ref: object, **request: object) -> None:
            asked.append(request["options"].size)  # type: ignore[attr-defined]
            raise ExportError("not in this test")

        monkeypatch.setattr("edge.planning.sources.export_model", export)
        for size in ((320, 512), (224, 224)):
            with pytest.raises(ExportError):
                self.source(store, size)
        assert asked == [(DimRange(320, 320, 320), DimRange(512, 512, 512)), None], "the model's own needs no word"


class TestAnEngineBuiltAhead:
    def survey(self) -> Survey:
        found = answered(**{"tensorrt-rtx": "1.7.1"})["tensorrt-rtx"]
        identity = {"gpu_compute_cap": Reading("8.0", "nvidia-smi")}
        probe = replace(found.probe, identity=identity)
        return Survey({"gpu-1": {"tensorrt-rtx": replace(found, probe=probe)}})

    def engine(self, store: Store) -> Artifact:
        produced_by = {"tensorrt-rtx": "1.7.1", "builder": "local"}
        return free_sizes.adopted(
            store, format=Format.ENGINE, target="sm80", produced_by=produced_by, parity=NotChecked("a test's")
        )

    def test_serves_the_sizes_of_its_profiles(self, tmp_path: Path) -> None:
        store = Store(tmp_path)
        engine = self.engine(store)
        cell = replace(CELL, device="gpu-1", backend="tensorrt-rtx", weights="random", engines="ahead")
        for size in (None, (32, 96)):
            assert engine_for(replace(cell, size=size), store, self.survey()).id == engine.id
        bounded = replace(cell, profiles=({"batch": free_sizes.BATCHES},))
        assert engine_for(bounded, store, self.survey()).id == engine.id, "bounds are the batch's"
        with pytest.raises(ConfigError) as caught:
            engine_for(replace(cell, size=(32, 128)), store, self.survey())
        assert "there is: sm80 by 1.7.1, batch 1:2:8, height 32:48:96, width 32:64:96" in str(caught.value)
        assert "--size 32x128" in str(caught.value)


def test_data_of_the_operator_s_has_the_size_that_is_measured() -> None:
    sized = sizes.at_size(FREE, (32, 96), "resnet18")
    assert sized.inputs[0].shape == ("batch", 3, 32, 96)
    assert sizes.at_size(FIXED, None, "resnet18") is FIXED


def test_the_size_of_a_video_s_frames() -> None:
    frames = (TensorSpec("clips", "float32", ("batch", 3, 16, 112, 112)),)
    video = artifact(inputs=frames, images=(ImageInput("clips", (3, 16, 112, 112)),))
    assert sizes.own(video) == (112, 112)
