"""Claims beside measurements: which one comes nearest, what differs, what physics says, and the verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device_agents.contract import Accuracy, Precision, Reading, dumps
from edge.report import claims as report
from edge.report.rows import Row
from edge.results.claims.bounds import Bounds, bounds, called_out, cost_of_profile
from edge.results.claims.check import Checked, Verdict, check, judge
from edge.results.claims.measures import Figure
from edge.results.claims.reading import Measurements
from edge.results.energy import NotKnown
from edge.results.store import Store
from profiles.claim_schema import Claim, CompileCoverage, Conditions
from profiles.errors import ConfigError
from profiles.load import claims_file, compile_coverage, device_profile, model_profile
from tests.report_lab import Made, add, answered
from tests.unit.edge.test_overhead import TEN_PERCENT, Lab

ORIN = Conditions(model="resnet18", framework="pytorch", backends=("tensorrt",), device="jetson-agx-orin-64gb")


def claim(value: Any = 2.0, unit: str = "ms", measure: str = "latency_mean_ms", **fields: Any) -> Claim:
    conditions = Conditions(**fields.pop("conditions", {})).over(ORIN)
    return Claim("c", "a sentence", measure, value, unit, conditions, **fields)


def held(tmp_path: Path, one: Claim, *made: Made) -> Checked:
    store = add(tmp_path, *made) if made else Store(tmp_path)
    among = Measurements.named(store, [one.measurement.id for one in made])
    (checked,) = check([one], among, cost_of_profile)
    return checked


class TestTheVerdict:
    @pytest.mark.parametrize(
        ("figure", "verdict"),
        [
            (Figure(2.1, 2.0, 2.2), Verdict.REPRODUCED),
            (Figure(2.5, 1.0, 4.0), Verdict.UNDECIDED),
            (Figure(2.5, 2.4, 2.6), Verdict.NOT_REPRODUCED),
            (Figure(1.0, 0.9, 1.1), Verdict.NOT_REPRODUCED),
            (Figure(2.5), Verdict.NOT_REPRODUCED),
            (Figure(1.9), Verdict.REPRODUCED),
        ],
    )
    def test_is_of_the_tolerance_and_then_of_the_interval(self, figure: Figure, verdict: Verdict) -> None:
        assert judge(claim(), figure)[0] is verdict

    def test_keeps_to_the_claims_own_tolerance(self) -> None:
        assert judge(claim(tolerance=0.0), Figure(2.05))[0] is Verdict.NOT_REPRODUCED
        assert judge(claim(tolerance=0.5), Figure(2.9))[0] is Verdict.REPRODUCED

    def test_of_a_range_is_of_either_end(self) -> None:
        less = claim((20, 25), "% less", "time_ratio", baseline=Conditions(batch=8))
        assert judge(less, Figure(0.78))[0] is Verdict.REPRODUCED
        assert judge(less, Figure(0.73))[0] is Verdict.REPRODUCED
        assert judge(less, Figure(0.70))[0] is Verdict.NOT_REPRODUCED
        assert judge(less, Figure(1.30, 1.2, 1.4))[0] is Verdict.NOT_REPRODUCED


class TestBesideMeasurements:
    def test_a_figure_under_the_claims_conditions_is_judged(self, tmp_path: Path) -> None:
        found = held(tmp_path, claim(2.0), Made("aaaa1", ms=2.0))
        assert found.verdict is Verdict.REPRODUCED
        (its,) = found.against
        assert its.ids == ("aaaa1",)
        assert isinstance(its.figure, Figure)
        assert its.figure.value == pytest.approx(2.0, rel=0.01)
        assert its.figure.low is not None
        assert its.times == pytest.approx(1.0, rel=0.01)
        assert its.differences == ()

    @pytest.mark.parametrize(
        ("fields", "conditions", "differs"),
        [
            ({"profile": "a100-80gb"}, {}, "device a100-80gb, claimed jetson-agx-orin-64gb"),
            ({"batch": 8}, {"batch": 1}, "batch 8, claimed 1"),
            ({}, {"precision": Precision.FP32}, "precision fp16, claimed fp32"),
            ({"backend": "onnxruntime"}, {}, "backend onnxruntime, claimed tensorrt"),
            ({"size": (384, 320)}, {"size": "224"}, "size 384x320, claimed 224x224"),
            ({"options": {"streams": 2}}, {"options": {"streams": 1}}, "streams 2, claimed 1"),
            ({}, {"options": {"mode": "eager"}}, "mode not told, claimed eager"),
            ({}, {"pattern": "pipelined"}, "load serial, claimed pipelined"),
            ({}, {"power_mode": "15W"}, "power mode MAXN, claimed 15W"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_what_matters_and_differs_makes_it_incomparable(
        self, tmp_path: Path, fields: dict[str, Any], conditions: dict[str, Any], differs: str
    ) -> None:
        found = held(tmp_path, claim(conditions=conditions), Made("aaaa1", **fields))
        assert found.verdict is Verdict.NOT_COMPARABLE
        assert found.against[0].why == differs
        assert isinstance(found.against[0].figure, Figure)

    def test_another_framework_says_nothing_of_a_claim(self, tmp_path: Path) -> None:
        assert held(tmp_path, claim(), Made("aaaa1", framework="tensorflow")).verdict is Verdict.NOT_MEASURED

    def test_versions_and_fewer_iterations_are_named_and_do_not(self, tmp_path: Path) -> None:
        wanted = {"runtime": "10.30", "iterations": 5000, "warmup": 1000}
        found = held(tmp_path, claim(conditions=wanted), Made("aaaa1"))
        assert found.verdict is Verdict.REPRODUCED
        assert list(map(str, found.against[0].differences)) == [
            "tensorrt version 10.3.0, claimed 10.30", "warm-up 0, claimed 1,000", "iterations 200, claimed 5,000",
        ]  # fmt: skip

    def test_a_version_is_known_by_how_it_begins(self, tmp_path: Path) -> None:
        assert held(tmp_path, claim(conditions={"runtime": "10.3"}), Made("aaaa1")).against[0].differences == ()

    def test_an_invalid_measurement_is_not_comparable_and_gives_way_to_a_valid_one(self, tmp_path: Path) -> None:
        drifting = Made("bbbb1", slower=0.5, at="2026-01-03T00:00:00Z")
        found = held(tmp_path / "one", claim(), drifting)
        assert found.verdict is Verdict.NOT_COMPARABLE
        assert found.against[0].why == "INVALID: unstable"
        found = held(tmp_path / "two", claim(), Made("aaaa1"), drifting)
        assert found.against[0].ids == ("aaaa1",)

    def test_the_newest_of_those_that_come_as_near_counts(self, tmp_path: Path) -> None:
        older, newer = Made("aaaa1", ms=5.0), Made("aaaa2", at="2026-01-02T00:00:00Z")
        unlike = Made("aaaa3", batch=8, at="2026-01-03T00:00:00Z")
        found = held(tmp_path, claim(conditions={"batch": 1}), older, newer, unlike)
        assert found.against[0].ids == ("aaaa2",)

    def test_what_is_quantised_stands_back_where_it_comes_no_nearer(self, tmp_path: Path) -> None:
        whole, int8 = (
            Made("aaaa1", precision=Precision.FP32),
            Made("aaaa2", precision=Precision.INT8, at="2026-01-02T00:00:00Z"),
        )
        asked = claim(conditions={"precision": Precision.FP16})
        assert held(tmp_path / "one", asked, whole, int8).against[0].ids == ("aaaa1",)
        asked = claim(conditions={"precision": Precision.INT8})
        assert held(tmp_path / "two", asked, whole, int8).against[0].ids == ("aaaa2",)

    def test_what_a_claim_does_not_tell_is_a_plain_requests_or_named(self, tmp_path: Path) -> None:
        plain = Made("aaaa1", ms=2.0)
        batch = Made("aaaa2", ms=64.0, batch=64, options={"streams": 2}, at="2026-01-02T00:00:00Z")
        assert held(tmp_path / "one", claim(), plain, batch).against[0].ids == ("aaaa1",)
        (its,) = held(tmp_path / "two", claim(), batch).against
        assert list(map(str, its.differences)) == [
            "batch 64, which is not claimed", "streams 2, which is not claimed",
        ]  # fmt: skip
        assert its.verdict is Verdict.NOT_REPRODUCED

    def test_a_newer_measurement_without_the_figure_hides_none_that_has_it(self, tmp_path: Path) -> None:
        right = answered(Made("aaaa1"), Accuracy(images=100, top1=76, top5=93, classes=1000), 220, 50_000_000)
        newer = Made("aaaa2", at="2026-01-02T00:00:00Z")
        found = held(tmp_path, claim(76, "%", "top1_share"), right, newer)
        assert found.against[0].ids == ("aaaa1",)
        assert found.verdict is Verdict.REPRODUCED

    def test_every_device_is_told_and_the_most_telling_verdict_counts(self, tmp_path: Path) -> None:
        other = Made("bbbb1", device="nano-1", profile="jetson-orin-nano-8gb")
        found = held(tmp_path, claim(), Made("aaaa1"), other)
        assert [(its.device, its.verdict) for its in found.against] == [
            ("nano-1", Verdict.NOT_COMPARABLE), ("orin-1", Verdict.REPRODUCED),
        ]  # fmt: skip
        assert found.verdict is Verdict.REPRODUCED

    def test_where_there_is_nothing_the_command_is_told(self, tmp_path: Path) -> None:
        found = held(tmp_path, claim(conditions={"batch": 32, "size": "224"}))
        assert found.verdict is Verdict.NOT_MEASURED
        assert found.command == (
            "edgebench deploy resnet18 --device jetson-agx-orin-64gb --framework pytorch --backend tensorrt "
            "--precision fp16 --batch 32 --weights pretrained --size 224x224"
        )
        assert held(tmp_path, claim(76, "%", "top1_share")).command.endswith(" --dataset DIR")
        slow, fast = held(
            tmp_path,
            claim(2, "x", "time_ratio", conditions={"power_mode": "15W"}, baseline=Conditions(power_mode="MAXN")),
        ).command.split(" && ")
        assert slow.endswith(" --power-mode 15W")
        assert fast.endswith(" --power-mode MAXN")

    def test_a_damaged_measurement_is_left_out_and_named(self, tmp_path: Path) -> None:
        store = add(tmp_path, Made("aaaa1"))
        (store.folder("aaaa1") / "samples.i64le").write_bytes(b"x")
        among = Measurements.named(store, ["aaaa1", "nosuch"])
        (found,) = check([claim()], among, cost_of_profile)
        assert found.verdict is Verdict.NOT_MEASURED
        assert len(among.damaged) == 2


class TestRatios:
    LESS = Conditions(options={"mode": "eager"})

    def ratio(self, value: Any = 37, **conditions: Any) -> Claim:
        its = {"options": {"mode": "compile"}, "backends": ("pytorch",), **conditions}
        return claim(value, "% less", "time_ratio", baseline=self.LESS, conditions=its)

    def made(self, name: str, ms: float, mode: str, **fields: Any) -> Made:
        return Made(name, ms=ms, backend="pytorch", options={"mode": mode}, **fields)

    def test_are_of_two_sides_that_are_alike_in_all_else(self, tmp_path: Path) -> None:
        eager, other = self.made("aaaa1", 10.0, "eager"), self.made("aaaa2", 50.0, "eager", batch=8)
        found = held(tmp_path, self.ratio(), eager, other, self.made("aaaa3", 6.3, "compile"))
        assert found.verdict is Verdict.REPRODUCED
        (its,) = found.against
        assert its.ids == ("aaaa3", "aaaa1")
        assert isinstance(its.figure, Figure)
        assert its.figure.value == pytest.approx(0.63, rel=0.01)

    def test_are_found_among_many_newer_ones_that_come_less_near(self, tmp_path: Path) -> None:
        """Pairs of another batch are no nearer for being many, and what cannot be a baseline takes no one's place."""
        right = [self.made("aaaa1", 10.0, "eager", batch=1), self.made("aaaa2", 6.3, "compile", batch=1)]
        newer = [
            self.made(f"bbbb{n}", 80.0, mode, batch=8, at=f"2026-01-02T00:00:{n:02}Z", count=20, processes=2)
            for n, mode in enumerate(["eager", "compile"] * 24)
        ]
        again = [
            self.made(f"cccc{n}", 6.3, "compile", batch=1, at=f"2026-01-03T00:00:{n:02}Z", count=20, processes=2)
            for n in range(4)
        ]
        found = held(tmp_path, self.ratio(batch=1), *right, *newer, *again)
        assert found.against[0].ids[1] == "aaaa1"
        assert found.against[0].why != ""
        assert all(not one.matters for one in found.against[0].differences)

    def test_of_power_modes_are_of_a_board_that_was_put_into_them(self, tmp_path: Path) -> None:
        one = claim(2, "x", "time_ratio", conditions={"power_mode": "15W"}, baseline=Conditions(power_mode="MAXN"))
        slow = Made("aaaa1", ms=4.0, identity={"power_mode": "15W"}, power_mode="15W")
        slow.measurement = replace(slow.measurement, origin=replace(slow.measurement.origin, power_mode="15W"))
        found = held(tmp_path, one, slow, Made("aaaa2", ms=2.0, power_mode="MAXN"))
        assert found.verdict is Verdict.REPRODUCED, found.against[0].why
        assert found.against[0].ids == ("aaaa1", "aaaa2")

    def test_one_side_alone_is_no_ratio(self, tmp_path: Path) -> None:
        made = [self.made(f"aaaa{n}", 6.3, "compile", at=f"2026-01-0{n}T00:00:00Z") for n in (1, 2)]
        found = held(tmp_path, self.ratio(), *made)
        assert found.verdict is Verdict.NOT_MEASURED
        assert found.against == ()

    def test_a_device_that_changed_in_between_is_not_comparable(self, tmp_path: Path) -> None:
        eager = self.made("aaaa1", 10.0, "eager", identity={"l4t": "35.4.1"})
        found = held(tmp_path, self.ratio(), eager, self.made("aaaa2", 6.3, "compile"))
        assert found.verdict is Verdict.NOT_COMPARABLE
        assert found.against[0].why == "l4t between the two 36.4.3, claimed 35.4.1"

    def test_of_int8_are_beside_the_precision_that_there_is(self, tmp_path: Path) -> None:
        """A processor computes in FP32: the ratio is shown, and is another one than is claimed."""
        edge = claim((20, 25), "% less", "time_ratio", baseline=Conditions(precision=Precision.FP16),
                     conditions={"precision": Precision.INT8})  # fmt: skip
        whole = Made("aaaa1", ms=4.0, precision=Precision.FP32)
        found = held(tmp_path, edge, whole, Made("aaaa2", ms=2.0, precision=Precision.INT8))
        assert found.against[0].why == "baseline's precision fp32, claimed fp16"
        assert isinstance(found.against[0].figure, Figure)


class TestStarts:
    """The first process of Made starts cold and takes 2 s, the others 1 s; they hold 160 MB over their baseline."""

    def test_a_load_time_is_held_against_a_cold_start_where_there_was_one(self, tmp_path: Path) -> None:
        found = held(tmp_path, claim(2, "s", "load_s"), Made("aaaa1"))
        assert found.against[0].figure == Figure(pytest.approx(2.0), note="cold")  # type: ignore[arg-type]
        assert found.verdict is Verdict.REPRODUCED

    def test_a_start_that_was_neither_cold_nor_warm_is_told_as_it_was(self, tmp_path: Path) -> None:
        half = Made("aaaa1", processes=1)
        result = half.measurement.result
        (process,) = result.processes
        half_warm = replace(process, state={**process.state, "page_cache": Reading("partly", "a test")})
        half.measurement = replace(half.measurement, result=replace(result, processes=(half_warm,)))
        found = held(tmp_path, claim(2, "s", "load_s"), half)
        assert found.against[0].figure == Figure(pytest.approx(2.0), note="partly warm")  # type: ignore[arg-type]

    def test_memory_is_of_the_process_where_the_device_tells_nothing(self, tmp_path: Path) -> None:
        found = held(tmp_path, claim(160, "MB", "memory_bytes"), Made("aaaa1"))
        assert found.against[0].figure == Figure(1.6e8, note="of the process")
        assert found.verdict is Verdict.REPRODUCED

    def test_what_an_earlier_edgebench_measured_has_no_load_time(self, tmp_path: Path) -> None:
        early = Made("aaaa1")
        result = early.measurement.result
        bare = tuple(replace(process, seconds={}) for process in result.processes)
        early.measurement = replace(early.measurement, result=replace(result, processes=bare))
        found = held(tmp_path, claim(2, "s", "load_s"), early)
        assert found.verdict is Verdict.NOT_MEASURED
        assert "by an earlier edgebench" in found.against[0].why


class TestShares:
    def test_of_right_and_of_late_answers_have_wilsons_interval(self, tmp_path: Path) -> None:
        made = answered(Made("aaaa1"), Accuracy(images=100, top1=76, top5=93, classes=1000), 220, 50_000_000)
        store = add(tmp_path, made)
        among = Measurements.named(store, ["aaaa1"])
        wanted = [claim(76, "%", "top1_share"), claim(50, "%", "top5_share"), claim(22, "%", "late_share")]
        right, five, late = check(wanted, among, cost_of_profile)
        assert right.verdict is late.verdict is Verdict.REPRODUCED
        assert five.verdict is Verdict.NOT_REPRODUCED
        figure = late.against[0].figure
        assert isinstance(figure, Figure)
        assert figure.value == pytest.approx(0.22)
        assert figure.low is not None
        assert 0.19 < figure.low < 0.22

    def test_without_labelled_images_say_what_sends_them(self, tmp_path: Path) -> None:
        found = held(tmp_path, claim(76, "%", "top1_share"), Made("aaaa1"))
        assert found.verdict is Verdict.NOT_MEASURED
        assert "deploy --dataset DIR" in found.against[0].why


def test_what_takes_more_is_not_told_as_less_than_nothing() -> None:
    one = claim(20, "% less", "time_ratio", baseline=Conditions(batch=1))
    assert report.measured(one, Figure(0.8)) == "20 % less"
    assert report.measured(one, Figure(1.434, 1.4, 1.468)) == "43.4 % more (40 % more to 46.8 % more)"
    assert report.measured(one, Figure(0.8, 0.5, 1.28)) == "20 % less (50 % less to 28 % more)"


class TestDrawnSizes:
    """Overhead over the same sizes measured alone, as docs of drawn sizes have it."""

    WANTED = {"pattern": "sizes:224-288/32", "backends": ("onnxruntime",), "device": "local"}

    def store(self, tmp_path: Path, *rows: Row, lab: Lab) -> Measurements:
        store = Store(tmp_path)
        for row in rows:
            store.add(row.measurement, lab.samples[row.measurement.id].astype("<i8").tobytes())
        return Measurements.named(store, [row.measurement.id for row in rows])

    def test_are_held_against_an_overhead(self, tmp_path: Path) -> None:
        lab = Lab()
        among = self.store(tmp_path, lab.drawn(TEN_PERCENT), *lab.references(), lab=lab)
        one = claim(11, "%", "dynamic_overhead_share", tolerance=0.2, conditions=self.WANTED)
        (found,) = check([one], among, cost_of_profile)
        (its,) = found.against
        assert its.ids == ("drawn",)
        assert isinstance(its.figure, Figure)
        assert its.figure.value == pytest.approx(0.10, rel=0.01)
        assert its.times == pytest.approx(1.10 / 1.11, rel=0.001)
        assert found.verdict is Verdict.REPRODUCED

    def test_without_a_reference_have_no_figure_and_say_why(self, tmp_path: Path) -> None:
        lab = Lab()
        among = self.store(tmp_path, lab.drawn(TEN_PERCENT), *lab.references()[1:], lab=lab)
        (found,) = check([claim(11, "%", "dynamic_overhead_share", conditions=self.WANTED)], among, cost_of_profile)
        assert found.verdict is Verdict.NOT_MEASURED
        assert found.against[0].why == "224 px: no static reference of it was measured"

    def test_are_no_measurement_of_an_ordinary_latency(self, tmp_path: Path) -> None:
        lab = Lab()
        among = self.store(tmp_path, lab.drawn(TEN_PERCENT), lab=lab)
        (found,) = check([claim()], among, cost_of_profile)
        assert found.against == ()


class TestCompileShare:
    """A count that edgebench comes with: no measurement, and no device."""

    COUNTED = CompileCoverage(models=100, whole=96, torch="2.9.1", of="all of torchvision", made_at="2026-11-26")
    CLAIM = Claim("c", "most models", "compile_share", 94, "%", Conditions(framework="pytorch", runtime="2.5"))

    def test_is_held_against_what_was_counted(self, tmp_path: Path) -> None:
        (found,) = check([self.CLAIM], Measurements(Store(tmp_path), ()), cost_of_profile, self.COUNTED)
        (its,) = found.against
        assert its.figure == Figure(0.96)
        assert found.verdict is Verdict.REPRODUCED
        assert its.why == "96 of 100 (all of torchvision, 2026-11-26): within 10% of what is claimed"
        assert list(map(str, its.differences)) == ["pytorch version 2.9.1, claimed 2.5"]

    def test_that_nobody_counted_has_a_command(self, tmp_path: Path) -> None:
        (found,) = check([self.CLAIM], Measurements(Store(tmp_path), ()), cost_of_profile)
        assert found.verdict is Verdict.NOT_MEASURED
        assert found.command.startswith("python benchmarks/compile_coverage.py")

    def test_is_read_strictly(self, tmp_path: Path) -> None:
        path = tmp_path / "counted.json"
        assert compile_coverage(path) is None
        for text, told in (("{", "not valid JSON"), (dumps(self.COUNTED).replace("96", "101"), "101 of 100")):
            path.write_text(text)
            with pytest.raises(ConfigError, match=told):
                compile_coverage(path)
        path.write_text(dumps(self.COUNTED))
        assert compile_coverage(path) == self.COUNTED


class TestBounds:
    def on_a100(self, value: Any, unit: str, measure: str, **fields: Any) -> Claim:
        conditions = {"model": "resnet50", "device": "a100-80gb", "precision": Precision.FP16, "batch": 32, **fields}
        return claim(value, unit, measure, conditions=conditions)

    def test_a_time_has_the_floor_of_the_device_that_is_claimed(self) -> None:
        one = self.on_a100(8.2, "ms", "latency_mean_ms")
        found, cost = bounds(one, cost_of_profile), model_profile("resnet50").cost
        assert isinstance(found, Bounds)
        assert cost is not None
        assert found.least == pytest.approx(2 * cost.macs * 32 / 312e12 * 1e3)
        assert called_out(one, found) == ""

    def test_a_time_below_the_floor_is_called_impossible(self) -> None:
        one = self.on_a100(0.4, "ms", "latency_mean_ms")
        assert called_out(one, bounds(one, cost_of_profile)).startswith("impossible: 0.48 of the least")

    def test_a_throughput_above_the_peak_is_called_impossible(self) -> None:
        one = self.on_a100(76_000, "images/s", "throughput_images_per_s")
        assert called_out(one, bounds(one, cost_of_profile)).startswith("impossible: 2 times the most that can be")

    def test_what_a_claim_does_not_tell_makes_it_neither_impossible_nor_absurd(self) -> None:
        """8,000 images of ViT-B/16 a second are possible at a large batch; 60 MB hold ResNet-50's weights in FP16."""
        many = self.on_a100(6_700, "images/s", "throughput_images_per_s", model="vit_b_16", batch=None)
        assert called_out(many, bounds(many, cost_of_profile)) == ""
        assert called_out(replace(many, value=10_000.0), bounds(many, cost_of_profile)).startswith("impossible")
        little = self.on_a100(60, "MB", "memory_bytes", precision=None)
        assert called_out(little, bounds(little, cost_of_profile)) == ""
        much = self.on_a100(5, "GB", "memory_bytes", batch=None)
        assert called_out(much, bounds(much, cost_of_profile)) == ""
        untold = bounds(claim(conditions={"model": "resnet50"}), cost_of_profile)
        assert isinstance(untold, Bounds)
        assert "at batch 1, as none is claimed in fp16, as no precision is claimed," in untold.how

    def test_memory_that_nothing_could_fill_is_called_absurd(self) -> None:
        """Weights and all activations, none freed, and two gigabytes for the runtime."""
        one = self.on_a100(14, "GB", "memory_bytes")
        found, cost = bounds(one, cost_of_profile), model_profile("resnet50").cost
        assert isinstance(found, Bounds)
        assert cost is not None
        everything = 2 * (cost.parameters + 32 * (cost.activations + 3 * 224 * 224))
        assert (found.least, found.most) == (2 * cost.parameters, everything + 2e9)
        assert called_out(one, found).startswith("absurd: 3.7 times the most that is plausible")
        assert called_out(self.on_a100(2, "GB", "memory_bytes"), found) == ""

    def test_a_board_in_another_mode_has_the_peak_of_that_mode_or_none(self) -> None:
        orin = claim(24, conditions={"model": "resnet50"})
        found = bounds(orin, cost_of_profile)
        assert isinstance(found, Bounds)
        assert device_profile("jetson-agx-orin-64gb").power_mode == "MAXN"
        slow = claim(24, conditions={"model": "resnet50", "power_mode": "15W"})
        assert bounds(slow, cost_of_profile) == NotKnown("no peak is published of the power mode 15W")

    @pytest.mark.parametrize(
        ("conditions", "why"),
        [
            ({"model": "mine"}, "mine is no model profile"),
            ({"model": "resnet50", "size": "512"}, "what resnet50 costs at that size is not in its profile"),
            ({"model": "resnet50", "device": "local"}, "the profile local has no published peak"),
            ({"model": "resnet50", "precision": Precision.INT8}, "the device's profile has no peak of INT8"),
        ],
    )
    def test_are_not_known_without_what_they_are_made_of(self, conditions: dict[str, Any], why: str) -> None:
        assert bounds(claim(conditions=conditions), cost_of_profile) == NotKnown(why)


class TestTheReport:
    def test_of_the_article_calls_out_its_memory_and_fits_any_width(self, tmp_path: Path) -> None:
        file = claims_file("article")
        made = Made("aaaa1", model="resnet50", backend="pytorch", batch=32, profile="local", device="local")
        among = Measurements.named(add(tmp_path, made), ["aaaa1"])
        found = check(file.whole, among, cost_of_profile)
        assert {one.claim.id for one in found if one.called_out} == {"memory-pytorch", "memory-tensorflow"}
        for width in (80, 120, 200):
            assert max(map(len, report.table(found, width).partition("\n\n")[0].splitlines())) <= width
        told = "\n".join(report.notes(found, file))
        assert "memory-pytorch is absurd" in told
        assert "edgebench sweep article" in told

    def test_markdown_cannot_be_broken_by_a_claim(self, tmp_path: Path) -> None:
        file = claims_file("article")
        found = check(file.whole, Measurements(Store(tmp_path), ()), cost_of_profile)
        lines = [line for line in report.markdown(found, file).splitlines() if line.startswith("|")]
        assert len(lines) == 2 + len(found)
        assert len({line.count("|") for line in lines}) == 1

    def test_json_has_figures_in_the_claims_unit_and_the_measures_own(self, tmp_path: Path) -> None:
        one = claim(2000, "us")
        told = report.as_json([held(tmp_path, one, Made("aaaa1"))], claims_file("article"))
        (found,) = told["claims"]  # type: ignore[misc]
        assert found["against"][0]["measured"]["value"] == pytest.approx(2000, rel=0.01)
        assert found["against"][0]["measured"]["own"]["value"] == pytest.approx(2.0, rel=0.01)
