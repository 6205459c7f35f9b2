"""From what was asked and what the devices answered to cells; every choice is told in a line."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from device_agents.contract import DimRange, LoadPattern, Precision, Reading
from edge.agent import bundle
from edge.inventory.devices import Device
from edge.planning.choosing import Choices, Survey, worth_asking
from edge.planning.make_plan import make_plan
from edge.planning.plan import Cell
from edge.planning.request import Request
from edge.planning.sources import ArtifactSource
from export.artifact import Format, Store, sha256_file
from profiles.errors import ConfigError, ConnectError, ExportError
from profiles.progress import silent
from tests.plans import answered, device, stored

ORIN = device("orin-1")
A100 = device("gpu-1", "a100-80gb")
LOCAL = device("local", "local")
ALL_THREE = "tensorrt, trtexec, onnxruntime"


@pytest.fixture(autouse=True)
def agent_with_every_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    carried = ("onnxruntime", "pytorch", "tensorflow", "tensorrt", "tensorrt-rtx", "trtexec")
    monkeypatch.setattr(bundle, "backend_names", lambda: carried)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """With resnet18 of pytorch in FP16 and FP32, random weights."""
    store = Store(tmp_path)
    stored(store)
    stored(store, precision=Precision.FP32)
    return store


def plan(
    store: Store,
    *devices: Device,
    survey: Survey | None = None,
    builders: dict[str, str] | None = None,
    **asked: object,
) -> tuple[tuple[Cell, ...], list[str]]:
    request = Request(("resnet18",), framework="pytorch", **asked)  # type: ignore[arg-type]
    choices = Choices()
    return make_plan(request, devices, store, choices, survey or Survey(), builders).cells, choices.lines


class TestAuto:
    def test_takes_the_first_of_the_profile_that_is_there_and_says_so(self, store: Store) -> None:
        survey = Survey({"orin-1": answered(tensorrt="10.3.0", trtexec="10.3.0", onnxruntime=None)})
        (cell,), lines = plan(store, ORIN, survey=survey)
        assert cell.backend == "tensorrt"
        assert (
            "backend tensorrt 10.3.0 on orin-1: the first choice of its profile jetson-agx-orin-64gb, and it runs there"
            in lines
        )

    def test_says_why_it_passed_over_what_is_not_there(self, store: Store) -> None:
        survey = Survey({"orin-1": answered(tensorrt=None, trtexec=None, onnxruntime="1.18.0")})
        (cell,), lines = plan(store, ORIN, survey=survey)
        assert cell.backend == "onnxruntime"
        (line,) = (line for line in lines if line.startswith("backend"))
        assert line == (
            "backend onnxruntime 1.18.0 on orin-1: its profile jetson-agx-orin-64gb prefers "
            "tensorrt, which does not run there (ModuleNotFoundError: No module named 'tensorrt'); "
            "trtexec, which does not run there (ModuleNotFoundError: No module named 'trtexec'); "
            "`edgebench devices doctor orin-1` says what mends it"
        )

    def test_every_device_has_a_choice_of_its_own(self, store: Store) -> None:
        survey = Survey(
            {"orin-1": answered(tensorrt=None, trtexec="8.5.2", onnxruntime=None), "gpu-1": answered(tensorrt="11.4.0")}
        )
        cells, _ = plan(store, ORIN, A100, LOCAL, survey=survey)
        assert [(cell.device, cell.backend) for cell in cells] == [
            ("orin-1", "trtexec"), ("gpu-1", "tensorrt"), ("local", "onnxruntime"),
        ]  # fmt: skip

    def test_a_device_that_gave_no_answer_keeps_the_first_and_fails_later_with_its_own_error(
        self, store: Store
    ) -> None:
        survey = Survey(failed={"orin-1": ConnectError("no route")})
        (cell,), lines = plan(store, ORIN, survey=survey)
        assert cell.backend == "tensorrt"
        assert any("the device gave no answer" in line for line in lines)

    def test_a_device_that_has_none_keeps_the_first(self, store: Store) -> None:
        survey = Survey({"orin-1": answered(tensorrt=None, trtexec=None, onnxruntime=None)})
        (cell,), lines = plan(store, ORIN, survey=survey)
        assert cell.backend == "tensorrt"
        assert any(f"none of {ALL_THREE} runs there" in line for line in lines)

    def test_a_profile_with_one_backend_needs_no_look(self, store: Store) -> None:
        assert worth_asking(("auto",), LOCAL, abilities=False) == ()
        (cell,), lines = plan(store, LOCAL)
        assert cell.backend == "onnxruntime"
        assert "backend onnxruntime (profile local)" in lines

    def test_a_look_is_for_what_it_could_change(self) -> None:
        assert worth_asking(("auto",), ORIN, abilities=False) == ("tensorrt", "trtexec", "onnxruntime")
        assert worth_asking(("onnxruntime",), ORIN, abilities=False) == ()
        assert worth_asking(("tensorrt",), ORIN, abilities=False) == ("tensorrt",), "its version decides the graph"
        assert worth_asking(("onnxruntime",), LOCAL, abilities=True) == ("onnxruntime",), "does it build any?"
        with pytest.raises(ConfigError, match=r"unknown backend 'tensort' \(did you mean 'tensorrt'"):
            worth_asking(("tensort",), ORIN, abilities=False)

    def test_several_backends_are_compared_and_none_is_measured_twice(self, store: Store) -> None:
        survey = Survey({"orin-1": answered(tensorrt="10.3.0", onnxruntime="1.18.0", trtexec="10.3.0")})
        cells, _ = plan(store, ORIN, survey=survey, backends=("tensorrt", "onnxruntime", "auto"))
        assert [cell.backend for cell in cells] == ["tensorrt", "onnxruntime"]

    def test_an_onnxruntime_without_cuda_is_said_to_measure_the_processor(self, store: Store) -> None:
        said = "onnxruntime on orin-1 has no CUDA provider: it measures the processor"
        for providers, expected in (("cpu", True), ("cpu cuda", False)):
            found = answered(tensorrt=None, trtexec=None, onnxruntime="1.18.0")
            found["onnxruntime"].report.facts["providers"] = Reading(providers, "onnxruntime")
            _, lines = plan(store, ORIN, survey=Survey({"orin-1": found}))
            assert any(line.startswith(said) for line in lines) is expected

    def test_on_a_device_that_is_a_processor_nobody_misses_cuda(self, store: Store) -> None:
        found = answered(tensorrt=None, onnxruntime="1.18.0")
        found["onnxruntime"].report.facts["providers"] = Reading("cpu", "onnxruntime")
        host = replace(LOCAL, profile=replace(LOCAL.profile, backends=("tensorrt", "onnxruntime")))
        _, lines = plan(store, host, survey=Survey({"local": found}))
        assert any(line.startswith("backend onnxruntime 1.18.0 on local: its profile local prefers") for line in lines)
        assert not any("measures the processor" in line for line in lines)


class TestOptions:
    """A backend of tests/plans.py that builds engines has the options spin and workspace_mib, another one spin."""

    FOUND = answered(tensorrt="10.3.0", trtexec="10.3.0", onnxruntime="1.18.0")
    BOTH = ("tensorrt", "onnxruntime")

    def test_of_one_backend_are_left_out_for_those_that_lack_them(self, store: Store) -> None:
        asked = {"workspace_mib": 64, "spin": False}
        cells, lines = plan(store, ORIN, survey=Survey({"orin-1": self.FOUND}), backends=self.BOTH, options=asked)
        assert [dict(cell.options) for cell in cells] == [asked, {"spin": False}]
        assert "option workspace_mib is not for onnxruntime on orin-1, which has none of that name" in lines

    @pytest.mark.parametrize("name", ["levle", "workspace_mib"])
    def test_that_no_measured_backend_has_stay_for_it_to_refuse(self, store: Store, name: str) -> None:
        """TensorRT, which was found as well, has workspace_mib; but it is not what is measured."""
        survey = Survey({"orin-1": self.FOUND})
        (cell,), _ = plan(store, ORIN, survey=survey, backends=("onnxruntime",), options={name: 1})
        assert dict(cell.options) == {name: 1}

    def test_of_a_device_that_did_not_answer_all_stay(self, store: Store) -> None:
        survey = Survey({"orin-1": self.FOUND}, {"gpu-1": ConnectError("no route")})
        backends, asked = ("tensorrt", "onnxruntime"), {"workspace_mib": 64}
        cells, _ = plan(store, ORIN, A100, survey=survey, backends=backends, options=asked)
        assert [dict(cell.options) for cell in cells] == [asked, {}, asked, asked]


class TestEngines:
    def test_bounds_become_optimization_profiles_of_the_batch(self, store: Store) -> None:
        bounds = (DimRange(1, 1, 1), DimRange(2, 8, 32))
        cells, _ = plan(store, ORIN, batches=(1, 8), bounds=bounds)
        assert {cell.profiles for cell in map(_hashable, cells)} == {(("batch", "1:1:1"), ("batch", "2:8:32"))}
        assert [cell.batch for cell in cells] == [1, 8]

    def test_a_batch_outside_every_bound_is_refused(self, store: Store) -> None:
        with pytest.raises(ConfigError) as caught:
            plan(store, ORIN, batches=(1, 64), bounds=(DimRange(1, 8, 32),))
        assert str(caught.value) == (
            "--bounds: batch 64 is outside the bounds 1:8:32; widen them, or give --batch a size within"
        )

    def test_a_lottery_draws_engines_of_their_own(self, store: Store) -> None:
        """None of them is build 0, the engine that the device keeps: one that an earlier run left is no new draw."""
        survey = Survey({"orin-1": answered(tensorrt="10.3.0", onnxruntime="1.18.0")})
        cells, lines = plan(store, ORIN, survey=survey, backends=("tensorrt", "onnxruntime"), builds=3)
        assert [(cell.backend, cell.build) for cell in cells] == [
            ("tensorrt", 1), ("tensorrt", 2), ("tensorrt", 3), ("onnxruntime", 0),
        ]  # fmt: skip
        assert len({cell.id for cell in cells}) == 4
        assert cells[1].label == "resnet18/pytorch fp16 batch 1 build 2 on tensorrt"
        assert "onnxruntime on orin-1 builds no engine: it is measured once, not 3 times" in lines

    @pytest.mark.parametrize("builds", [0, 101, -1])
    def test_a_number_of_builds_that_cannot_be_meant(self, store: Store, builds: int) -> None:
        with pytest.raises(ConfigError, match=r"--builds: .* is not between 1 and 100"):
            plan(store, ORIN, builds=builds)

    def test_a_second_opinion_is_asked_where_there_can_be_one(self, store: Store) -> None:
        survey = Survey({"orin-1": answered(tensorrt="10.3.0", onnxruntime="1.18.0")})
        both = ("tensorrt", "onnxruntime")
        cells, lines = plan(store, ORIN, survey=survey, backends=both, check_with="trtexec")
        assert [cell.check_with for cell in cells] == ["trtexec", None]
        assert "no second opinion on onnxruntime: trtexec runs engines of tensorrt alone" in lines

    def test_rebuild_is_no_other_cell(self, store: Store) -> None:
        """But another plan: it takes up no run that went without."""
        plans = [
            make_plan(Request(("resnet18",), "pytorch", rebuild=rebuild), (ORIN,), store, Choices())
            for rebuild in (False, True)
        ]
        assert plans[0].cells == plans[1].cells
        assert plans[0].id != plans[1].id

    def test_arrivals_at_a_rate(self, store: Store) -> None:
        (cell,), _ = plan(store, LOCAL, pattern="rate:30,poisson")
        assert cell.pattern == LoadPattern("rate", 30.0, poisson=True)
        with pytest.raises(ConfigError, match="--pattern: 'rate:fast' is no rate"):
            plan(store, LOCAL, pattern="rate:fast")


class TestDeclaredBounds:
    """What `export --bounds` declared holds for a `deploy` without any."""

    BOUNDS = ({"batch": DimRange(1, 4, 8)},)

    @pytest.mark.parametrize("weights", [None, "random"])
    def test_the_newest_export_s_bounds_hold_whether_weights_are_named_or_not(
        self, tmp_path: Path, weights: str | None
    ) -> None:
        store = Store(tmp_path)
        stored(store, opset=17)
        stored(store, opset=17, weights="pretrained")
        bounded = stored(store, opset=18, profiles=self.BOUNDS)
        request = Request(("resnet18",), framework="pytorch", weights=weights)
        (cell,) = make_plan(request, (ORIN,), store, Choices()).cells
        source = ArtifactSource(request, store, silent)
        assert source(replace(cell, weights="random")).id == bounded.id

    def test_a_user_s_file_is_free_within_them(self, tmp_path: Path) -> None:
        model = tmp_path / "mine.onnx"
        model.write_bytes(b"a graph")
        store, content = Store(tmp_path / "store"), f"sha256:{sha256_file(model)}"
        bounded = stored(store, framework="onnx", weights=content, model="mine", profiles=self.BOUNDS)
        request = Request((str(model),), batches=(1, 8))
        cells = make_plan(request, (ORIN,), store, Choices()).cells
        source = ArtifactSource(request, store, silent)
        assert [(cell.batch, source(cell).id) for cell in cells] == [(1, bounded.id), (8, bounded.id)]


class TestPerClass:
    BUILDER = device("orin-1", builder=True)
    OTHER = device("orin-2")
    FOUND = answered(tensorrt="10.3.0", onnxruntime="1.18.0")
    BOTH = Survey({"orin-1": FOUND, "orin-2": FOUND})

    def test_the_builder_builds_its_own_and_the_others_take_it(self, store: Store) -> None:
        cells, lines = plan(store, self.BUILDER, self.OTHER, survey=self.BOTH, builders={"orin-2": "orin-1"})
        assert [(cell.device, cell.engines) for cell in cells] == [("orin-1", "own"), ("orin-2", "per-class")]
        assert "engines of orin-2: those that orin-1 builds" in lines

    def test_a_device_without_a_builder_builds_its_own_and_that_is_said(self, store: Store) -> None:
        cells, lines = plan(store, A100, survey=Survey({"gpu-1": self.FOUND}), builders={})
        assert [cell.engines for cell in cells] == ["own"]
        assert "engines of gpu-1: its own (no device of profile a100-80gb has `builder = true`)" in lines

    def test_a_device_with_another_version_than_its_builder_builds_its_own(self, store: Store) -> None:
        survey = Survey({"orin-1": answered(tensorrt="8.5.2"), "orin-2": answered(tensorrt="10.3.0")})
        cells, lines = plan(store, self.BUILDER, self.OTHER, survey=survey, builders={"orin-2": "orin-1"})
        assert [cell.engines for cell in cells] == ["own", "own"]
        assert "engines of orin-2: its own (tensorrt 10.3.0, and tensorrt 8.5.2 on the builder orin-1)" in lines

    def test_a_builder_that_was_not_reached_is_still_waited_for_and_the_way_out_is_told(self, store: Store) -> None:
        survey = Survey({"orin-2": self.FOUND}, {"orin-1": ConnectError("no route")})
        cells, lines = plan(store, self.BUILDER, self.OTHER, survey=survey, builders={"orin-2": "orin-1"})
        assert [cell.engines for cell in cells] == ["own", "per-class"]
        assert (
            "engines of orin-2: those that orin-1 builds, which did not answer: as long as it does not, --engines own "
            "lets every device build its own"
        ) in lines

    def test_a_backend_that_builds_nothing_shares_nothing(self, store: Store) -> None:
        cells, lines = plan(
            store, self.BUILDER, self.OTHER, survey=self.BOTH, builders={"orin-2": "orin-1"}, backends=("onnxruntime",)
        )
        assert {cell.engines for cell in cells} == {"own"}
        assert not any(line.startswith("engines of") for line in lines)

    def test_without_being_asked_every_device_builds_its_own_and_nothing_is_said(self, store: Store) -> None:
        cells, lines = plan(store, self.BUILDER, self.OTHER, survey=self.BOTH)
        assert {cell.engines for cell in cells} == {"own"}
        assert not any(line.startswith("engines of") for line in lines)


class TestAnOldParser:
    """TensorRT 8.x reads opset 17 and older."""

    OLD = Survey({"orin-1": answered(tensorrt="8.6.2"), "gpu-1": answered(tensorrt="10.3.0")})

    def test_its_device_gets_a_graph_that_it_reads_and_another_device_the_newest(self, tmp_path: Path) -> None:
        store = Store(tmp_path)
        old, new = stored(store, opset=17), stored(store, opset=18)
        cells, lines = plan(store, ORIN, A100, survey=self.OLD)
        request = Request(("resnet18",), framework="pytorch")
        source = ArtifactSource(request, store, silent, self.OLD)
        assert [source(cell).id for cell in cells] == [old.id, new.id]
        assert "opset 17 or older for orin-1 (tensorrt 8.6.2 reads no newer)" in lines
        assert not any("gpu-1 (tensorrt" in line and "opset" in line for line in lines)

    def test_weights_are_those_that_every_device_can_have(self, tmp_path: Path) -> None:
        """One table compares the same weights, so the pretrained artifact that only one device reads is passed over."""
        store = Store(tmp_path)
        stored(store, opset=17, weights="random")
        stored(store, opset=18, weights="pretrained")
        cells, _ = plan(store, ORIN, A100, survey=self.OLD)
        assert [cell.weights for cell in cells] == ["random", "random"]

    def test_what_is_not_there_is_exported_for_it_with_the_weights_of_the_cell(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = Store(tmp_path)
        stored(store, opset=18)
        (cell,), _ = plan(store, ORIN, survey=self.OLD)
        asked: list[dict[str, object]] = []

        def export(_ref: object, **request: object) -> None:
            asked.append(request)
            raise ExportError("not in this test")

        monkeypatch.setattr("edge.planning.sources.export_model", export)
        source = ArtifactSource(Request(("resnet18",), framework="pytorch"), store, silent, self.OLD)
        for _ in range(2):
            with pytest.raises(ExportError):
                source(replace(cell, batch=8))
        assert [(one["opset"], one["weights"]) for one in asked] == [(17, "random")], "and it is not tried again"


class TestAFramework:
    """The backends pytorch and tensorflow run their own models, in a form of their own."""

    def test_runs_its_own_models_and_leaves_the_others_out_which_is_said(self, store: Store) -> None:
        stored(store, precision=Precision.FP32, framework="tensorflow")
        request = Request(("resnet18",), framework="all", backends=("pytorch", "tensorflow", "onnxruntime"))
        choices = Choices()
        cells = make_plan(request, [LOCAL], store, choices).cells
        assert [(cell.framework, cell.backend) for cell in cells] == [
            ("pytorch", "pytorch"),
            ("pytorch", "onnxruntime"),
            ("tensorflow", "tensorflow"),
            ("tensorflow", "onnxruntime"),
        ]
        assert "resnet18/tensorflow is not measured with pytorch, which runs its own models" in choices.lines

    def test_that_runs_none_of_the_models_is_refused(self, store: Store) -> None:
        with pytest.raises(ConfigError, match="--backend: tensorflow runs none of these models"):
            plan(store, LOCAL, backends=("tensorflow",))

    def test_has_no_int8(self, store: Store) -> None:
        stored(store, precision=Precision.INT8)
        with pytest.raises(ConfigError, match="resnet18: pytorch itself runs fp32 and fp16, not int8"):
            plan(store, LOCAL, backends=("pytorch",), precision=Precision.INT8)

    def test_gets_no_code_of_the_operator_s(self, store: Store, tmp_path: Path) -> None:
        (tmp_path / "net.pt2").write_bytes(b"a program")
        request = Request((str(tmp_path / "net.pt2"),), backends=("pytorch",))
        with pytest.raises(ConfigError, match=r"net: a model of your own is code, which no device runs"):
            make_plan(request, [LOCAL], store, Choices())

    def test_that_is_not_installed_gives_what_it_gave_elsewhere(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A store that came from another machine: nothing can be exported here, and nothing need be."""
        there = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorflow" else there(name))
        made = stored(store, precision=Precision.FP32, framework="tensorflow", weights="random")
        request = Request(("resnet18",), framework="tensorflow", weights="random", backends=("onnxruntime",))
        (cell,) = make_plan(request, [LOCAL], store, Choices()).cells
        assert ArtifactSource(request, store, silent)(cell).id == made.id

    def test_gets_the_artifact_of_its_form_and_every_other_backend_the_graph(self, store: Store) -> None:
        weights = stored(store, precision=Precision.FP32, format=Format.SAFETENSORS)
        cells, _ = plan(store, LOCAL, backends=("pytorch", "onnxruntime"))
        source = ArtifactSource(Request(("resnet18",), framework="pytorch"), store, silent)
        native, graph = map(source, cells)
        assert native.id == weights.id
        assert graph.format is Format.ONNX


def _hashable(cell: Cell) -> Cell:
    profiles = tuple((name, str(bounds)) for profile in cell.profiles for name, bounds in profile.items())
    return replace(cell, profiles=profiles)  # type: ignore[arg-type]
