"""Releases before any device: what is required, who is picked, what is one configuration, how a fleet differs."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from device_agents.contract import (
    SCHEMA,
    DimRange,
    ErrorInfo,
    FileEntry,
    ModelReleases,
    Precision,
    Release,
    Releases,
)
from edge.inventory.devices import Fleet
from edge.planning.choosing import Survey
from edge.planning.plan import Cell, Plan
from edge.releases.making import NotReleased, Wish, check_plan, check_shared
from edge.releases.picking import of_ring, place, share
from edge.releases.requirements import parse_requirements
from edge.report.releases import differences, sentences, table
from edge.results.stats import Estimate, Summary
from export.artifact import Artifact, content_id
from profiles.errors import ConfigError, ExportError
from tests.plans import answered, artifact, device

SUMMARY = Summary(
    samples=700, processes=5, median=Estimate(30e6, 1e5), mean_ns=31.5e6, p90_ns=32_000_000, p95_ns=None,
    p99=Estimate(33e6, None), throughput_per_s=31.7, spread=0.01, drift=0.0, load_ns=1.0, first_inference_ns=1.0,
)  # fmt: skip
FEW = "700 samples, and it takes 130: measure longer, without --quick"


class TestRequirements:
    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("p99<33.1ms", ""),
            ("p99<33ms", "p99 is 33 ms, and p99<33ms is required"),
            ("p99<=33ms", ""),
            (" p99 <= 33 ms ", ""),
            ("p99<32999us", "p99 is 33000 us, and p99<32999us is required"),
            ("mean<0.03s", "mean is 0.0315 s, and mean<0.03s is required"),
            ("p50<30.1ms,mean<1s", ""),
            ("p90>1s", "p90 is 0.032 s, and p90>1s is required"),
            ("throughput>=30/s", ""),
            ("throughput>31.7/s", "throughput is 31.7/s, and throughput>31.7/s is required"),
            ("p95<1s", f"p95 is not known ({FEW}), and p95<1s is required"),
        ],
    )
    def test_a_figure_is_compared_in_its_unit(self, text: str, told: str) -> None:
        said = [requirement.broken(SUMMARY) for requirement in parse_requirements([text])]
        assert [line for line in said if line] == ([told] if told else [])

    def test_latency_of_several_streams_is_not_known(self) -> None:
        streams = replace(SUMMARY, median=None, mean_ns=None, p90_ns=None, p99=None, streams=2)
        (requirement,) = parse_requirements(["mean<1s"])
        assert requirement.broken(streams).startswith("mean is not known (with several streams there is no latency), ")

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("p99", "'p99' is no comparison; for example p99<33ms"),
            ("p99=33ms", "is no comparison"),
            ("p99<-3ms", "is no comparison"),
            ("p99<33ms,", "'' is no comparison"),
            ("p99<1e3ms", "is no comparison"),
            ("p98<33ms", "'p98' is no figure; there are: mean, p50, p90, p95, p99, throughput"),
            ("p99<33", "'p99<33' has no unit; p99 takes ns or us or µs or ms or s"),
            ("p99<33/s", "has the unit '/s'; p99 takes"),
            ("throughput>30", "has no unit; throughput takes /s"),
            ("throughput>30ms", "has the unit 'ms'; throughput takes /s"),
        ],
    )
    def test_what_is_no_requirement(self, text: str, told: str) -> None:
        with pytest.raises(ConfigError) as caught:
            parse_requirements([text])
        assert told in str(caught.value)
        assert caught.value.where == "--require"

    def test_several_are_read_from_commas_and_repeats(self) -> None:
        assert [one.text for one in parse_requirements(["p99<33ms, p50<30ms", "p99<33ms"])] == ["p99<33ms", "p50<30ms"]


class TestPicking:
    DEVICES = tuple(device(f"orin-{index}") for index in range(200))

    def test_a_share_holds_every_smaller_one(self) -> None:
        shares = [{one.name for one in share("resnet18", self.DEVICES, percent)} for percent in (1, 10, 50, 99.9, 100)]
        for smaller, larger in itertools.pairwise(shares):
            assert smaller <= larger
        assert len(shares[-1]) == 200
        assert 8 <= len(shares[1]) <= 32, "about a tenth"

    def test_it_is_the_same_share_whoever_else_is_there(self) -> None:
        tenth = share("resnet18", self.DEVICES, 10)
        assert share("resnet18", self.DEVICES[:50], 10) == tuple(one for one in tenth if one in self.DEVICES[:50])
        assert share("resnet50", self.DEVICES, 10) != tenth, "another model, other canaries"
        assert round(place("resnet18", "orin-1"), 4) == 33.0592, "the same in every version of edgebench"

    def test_a_share_of_nobody_says_from_where_on_there_is_one(self) -> None:
        few = sorted(self.DEVICES, key=lambda one: place("m", one.name))[-2:]
        first = place("m", few[0].name)
        with pytest.raises(ConfigError, match="10 % picks none of 2 devices; the first is picked from") as caught:
            share("m", few, 10)
        from_there = float(caught.value.fix.split("--percent ")[1].split()[0])
        assert first < from_there <= first + 0.1
        assert share("m", few, from_there)[0] == few[0]

    @pytest.mark.parametrize("percent", [0, -1, 100.5, float("nan")])
    def test_what_is_no_share(self, percent: float) -> None:
        with pytest.raises(ConfigError, match="is not over 0 and at most 100"):
            share("m", self.DEVICES, percent)

    def test_any_gpu_of_a_host_has_the_place_of_the_host(self) -> None:
        just = place("m", "board") + 1e-6
        for name in ("board", "board:0", "board:1"):
            assert share("m", (device(name),), just)
            with pytest.raises(ConfigError, match="picks none of 1 device;"):
                share("m", (device(name),), just - 2e-6)

    def test_a_ring_is_a_tag(self) -> None:
        canary, plain = replace(device("a"), tags=("canary",)), device("b")
        fleet = Fleet({"a": canary, "b": plain})
        assert of_ring(fleet, (canary, plain), "canary") == (canary,)
        with pytest.raises(ConfigError, match=r"unknown ring 'canry' \(did you mean 'canary'\?\)"):
            of_ring(fleet, (canary, plain), "canry")
        with pytest.raises(ConfigError, match="none of b has the tag canary"):
            of_ring(fleet, (plain,), "canary")


def cell(**changes: object) -> Cell:
    fields = {"device": "orin-1", "model": "resnet18", "framework": "pytorch", "backend": "tensorrt",
              "precision": Precision.FP16, "batch": 1}  # fmt: skip
    return Cell(**{**fields, **changes})  # type: ignore[arg-type]


class TestOneConfiguration:
    BUILDS = Survey({"orin-1": answered(tensorrt="10.3.0")})

    @pytest.mark.parametrize(
        "change",
        [{"framework": "tensorflow"}, {"backend": "onnxruntime"}, {"precision": Precision.FP32}, {"build": 1},
         {"size": (384, 384)}, {"options": {"level": 1}}],
    )  # fmt: skip
    def test_what_is_more_than_one_is_refused(self, change: dict[str, object]) -> None:
        with pytest.raises(ConfigError, match="a release is one configuration, and of resnet18 on orin-1"):
            check_plan(Plan((cell(), cell(**change))))

    def test_models_devices_and_batches_may_be_several(self) -> None:
        check_plan(Plan((cell(), cell(batch=8), cell(model="resnet50"), cell(device="orin-2"))))

    def test_a_model_that_can_name_no_folder_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="'my model' cannot name a folder of releases: "):
            check_plan(Plan((cell(model="my model"),)))

    def test_batches_share_an_engine_where_its_bounds_hold_both(self) -> None:
        bounds = ({"batch": DimRange(1, 4, 8)},)
        shared = Plan((cell(profiles=bounds), cell(profiles=bounds, batch=8)))
        check_shared(shared, lambda _: artifact(), self.BUILDS)
        with pytest.raises(ConfigError, match=r"batches 1, 8 with an engine each; .*--bounds"):
            check_shared(Plan((cell(), cell(batch=8))), lambda _: artifact(), self.BUILDS)

    def test_batches_share_a_graph_or_do_not(self) -> None:
        def fixed(its: Cell) -> Artifact:
            files = (FileEntry("model.onnx", 10, f"{its.batch:064}"),)
            return artifact(id=content_id(files), files=files)

        cells = Plan((cell(backend="onnxruntime"), cell(backend="onnxruntime", batch=8)))
        runs = Survey({"orin-1": answered(onnxruntime="1.19")})
        check_shared(cells, lambda _: artifact(), runs)
        with pytest.raises(ConfigError, match="batches 1, 8 with a graph each"):
            check_shared(cells, fixed, runs)

    def test_a_model_that_is_not_exported_fails_by_itself(self) -> None:
        def refused(_: Cell) -> Artifact:
            raise ExportError("no")

        check_shared(Plan((cell(), cell(batch=8))), refused, self.BUILDS)

    @pytest.mark.parametrize("version", ["", "..", "a/b", "current", "previous", ".x", "v" * 64, "v1\n"])
    def test_a_version_that_is_none(self, version: str) -> None:
        with pytest.raises(ConfigError, match="is no version: ") as caught:
            Wish(version)
        assert caught.value.where == "--release"


def released(version: str, *, artifact: str = "a" * 64, model: str = "resnet18") -> Release:
    return Release(
        schema=SCHEMA, model=model, version=version, device="orin-1", framework="pytorch", precision=Precision.FP16,
        weights="random", artifact=artifact, model_file="model.onnx", files=(FileEntry("model.onnx", 1, "0" * 64),),
        backend="tensorrt", runtime_version="10.3.0", inputs=(), outputs=(), measurements=(), released_by="me@desk",
        released_at="2026-01-01T00:00:00Z", edgebench="0.1.0",
    )  # fmt: skip


class TestTheFleet:
    def has(self, current: str | None, *versions: Release, previous: str | None = None) -> Releases:
        return Releases((ModelReleases("resnet18", versions, current, previous),))

    def test_devices_that_are_alike_do_not_differ(self) -> None:
        assert differences({"a": self.has("v1", released("v1")), "b": self.has("v1", released("v1"))}) == []

    def test_what_differs_is_told(self) -> None:
        found = {
            "a": self.has("v2", released("v1"), released("v2"), previous="v1"),
            "b": self.has("v1", released("v1", artifact="b" * 64)),
            "c": Releases(()),
        }
        assert differences(found) == [
            "resnet18: current is v2 on a; v1 on b; none on c",
            "resnet18: v1 is not on c",
            "resnet18: v1 is pytorch fp16 of artifact aaaaaaaaaaaa on a; pytorch fp16 of artifact bbbbbbbbbbbb on b",
            "resnet18: v2 is not on b, c",
        ]
        lines = [line.split() for line in table(found, 200).splitlines()]
        assert lines == [
            ["device", "model", "current", "previous", "versions", "runtime"],
            ["a", "resnet18", "v2", "v1", "v1,", "v2", "tensorrt", "10.3.0"],
            ["b", "resnet18", "v1", "-", "v1", "tensorrt", "10.3.0"],
        ]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("release_taken", "release it as a new version; it is not measured again for that"),
        ("release_busy", "; the same command goes on from here"),
    ],
)
def test_what_a_measurement_without_a_release_is_still_good_for(code: str, says: str) -> None:
    error = ErrorInfo(code, "release", "no", fix="release it as a new version")
    (line,) = sentences([NotReleased("board", "tiny", error, again=True)])
    assert line.startswith("tiny on board: not released: no; ")
    assert line.endswith(says)
