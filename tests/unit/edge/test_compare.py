"""B against A: what is refused, what the interval says, what people and programs read."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from device_agents.contract import LoadPattern, Precision, dumps
from edge.report.comparison import as_json, escape, markdown, others, sentence, table
from edge.results.compare import Comparison, Finding, Standing, compare, match
from edge.results.energy import Energy
from edge.results.likeness import check_axes, differences
from edge.results.rounds import Round, compare_rounds
from edge.results.sides import Side, side
from profiles.errors import ConfigError
from profiles.schema import Thresholds
from tests.made import measured, sided

NEVER = Thresholds(9.0, 9.0, -1.0)
TEN = (10.0, 10.1, 9.9, 10.05, 9.95)


def compared(a: Side, b: Side, *across: str, threshold: float = 0.05, invalid: bool = False) -> Comparison:
    return compare(a, b, threshold=threshold, across=across, invalid=invalid)


def scaled(factor: float, **fields: Any) -> Side:
    return sided(*(factor * ms for ms in TEN), **fields)


def metered(one: Side, source: str, of: str) -> Side:
    """The same with ten joules an inference, as a sensor told them."""
    taken = Energy(10.0, 10.0, 5.0, source, of, 0.1, None, tuple(10.0 for _ in one.throughputs))
    judged = tuple(replace(its, energy=taken) for its in one.measurements)
    return replace(one, measurements=judged, joules=taken.per_process_j)


class TestTheAnswer:
    def test_is_a_ratio_with_an_interval(self) -> None:
        one = compared(sided(*TEN), scaled(1.2))
        assert one.time.value == pytest.approx(1.2)
        assert one.time.low is not None
        assert one.time.high is not None
        assert 1.15 < one.time.low < 1.2 < one.time.high < 1.25
        assert (one.finding, one.standing) == (Finding.SLOWER, Standing.REGRESSION)
        assert "takes 1.200 x (95 % interval 1.1" in sentence(one)
        assert sentence(one).endswith(": slower; a regression, as the whole interval lies beyond 5 %")

    @pytest.mark.parametrize(
        ("factor", "threshold", "finding", "standing"),
        [
            (1.0, 0.05, Finding.NO_DIFFERENCE, Standing.KEPT),
            (0.8, 0.05, Finding.FASTER, Standing.KEPT),
            (1.03, 0.05, Finding.SLOWER, Standing.KEPT),
            (1.05, 0.05, Finding.SLOWER, Standing.UNDECIDED),
            (1.2, 0.3, Finding.SLOWER, Standing.KEPT),
            (1.2, 0.2, Finding.SLOWER, Standing.UNDECIDED),
        ],
    )
    def test_is_a_regression_only_when_all_of_the_interval_is(
        self, factor: float, threshold: float, finding: Finding, standing: Standing
    ) -> None:
        one = compared(sided(*TEN), scaled(factor), threshold=threshold)
        assert (one.finding, one.standing) == (finding, standing)
        assert str(finding) in sentence(one)

    def test_of_one_process_a_side_is_within_run_and_no_verdict(self) -> None:
        one = compared(sided(10.0), sided(20.0))
        assert (one.time.value, one.time.low) == (pytest.approx(2.0), None)
        assert (one.finding, one.standing) == (Finding.WITHIN_RUN, Standing.NOT_JUDGED)
        assert sentence(one).endswith("within run, no verdict: one process a side says nothing of the next")

    def test_has_p99_where_the_samples_support_it(self) -> None:
        assert compared(sided(*TEN, count=100), scaled(1.1, count=100)).p99 is None
        p99 = compared(sided(*TEN), scaled(1.1)).p99
        assert p99 is not None
        assert (p99.value, p99.approximate) == (pytest.approx(1.1), True)
        assert compared(sided(10.0, count=700), sided(20.0, count=700)).p99 is not None

    def test_has_the_throughput_and_where_inferences_overlap_goes_by_it(self) -> None:
        one = compared(sided(*TEN, batch=8), scaled(2.0, batch=8))
        assert one.throughput is not None
        assert one.throughput.value == pytest.approx(0.5)
        assert [line.partition(":")[0] for line in others(one)] == ["p99", "throughput", "of 5 and 5 processes"]
        a, b = (replace(one, medians_ns=(), p99s_ns=(), p99_ns=None) for one in (sided(*TEN), scaled(2.0)))
        streams = compared(a, b)
        assert (streams.by, streams.time.value, streams.p99) == ("throughput", pytest.approx(2.0), None)
        assert streams.finding is Finding.SLOWER

    def test_pools_what_was_repeated_by_process(self) -> None:
        rows = [measured(10.0, 11.0, name="one"), measured(12.0, 13.0, name="two", repeat=1)]
        pooled = side([row for row, _ in rows], [samples for _, samples in rows])
        assert pooled.medians_ns == (10e6, 11e6, 12e6, 13e6)
        assert pooled.ids == ("one", "two")


class TestUnlikeThings:
    @pytest.mark.parametrize(
        ("fields", "said", "word"),
        [
            ({"device": "orin-2"}, "device is orin-1 and orin-2", "device"),
            ({"device": "orin-2", "identity": {"serial": "2"}}, "device is orin-1 and orin-2;", "device"),
            ({"framework": "tensorflow"}, "framework is pytorch and tensorflow", "framework"),
            ({"precision": Precision.FP32}, "precision is fp16 and fp32", "precision"),
            ({"batch": 8}, "batch is 1 and 8", "batch"),
            ({"pattern": LoadPattern("pipelined")}, "pattern is serial and pipelined", "pattern"),
            ({"backend": "tensorrt"}, "backend is onnxruntime and tensorrt", "backend"),
            ({"version": "1.21"}, "the version of onnxruntime is 1.20 and 1.21", "runtime"),
            ({"identity": {"power_mode": "15W"}}, "power_mode is MAXN and 15W", "power_mode"),
            ({"identity": {"kernel": "6.1"}}, "kernel is 5.15 and 6.1", "kernel"),
        ],
    )
    def test_are_refused_unless_it_is_said(self, fields: dict[str, Any], said: str, word: str) -> None:
        a, b = sided(*TEN), scaled(1.0, **fields)
        with pytest.raises(ConfigError) as caught:
            compared(a, b)
        assert said in f"{caught.value}"
        assert caught.value.fix == f"to compare all the same: --across {word}"
        one = compared(a, b, word)
        assert one.label.count("*") == (word in ("framework", "precision", "batch", "backend"))
        assert one.finding is Finding.NO_DIFFERENCE

    def test_are_all_named_at_once(self) -> None:
        a, b = sided(*TEN), scaled(1.0, device="orin-2", batch=8, identity={"serial": "2", "power_mode": "15W"})
        with pytest.raises(ConfigError) as caught:
            compared(a, b, "batch")
        assert caught.value.message == "device is orin-1 and orin-2; power_mode is MAXN and 15W"
        assert caught.value.fix.endswith("--across device --across power_mode")

    def test_labelled_images_afterwards_make_no_timing_unlike(self) -> None:
        assert compared(sided(*TEN), scaled(1.0, dataset="d" * 64)).finding is Finding.NO_DIFFERENCE

    def test_what_one_side_does_not_know_is_a_note(self) -> None:
        one = compared(sided(*TEN), scaled(1.0, identity={"gpu": "Orin"}, artifact="c" * 64))
        assert "known of one side alone: gpu" in one.notes
        assert "A and B ran different artifacts of the model" in one.notes
        assert differences(measured(10.0)[0].measurement, measured(10.0, identity={"gpu": "Orin"})[0].measurement) == []

    @pytest.mark.parametrize(
        ("meter", "note"),
        [
            (("VDD_IN", "power"), []),
            (
                ("NVML", "power"),
                ["joules are of VDD_IN, its power (A) and of NVML, its power (B)"],
            ),
            (("VDD_IN", "energy"), ["joules are of VDD_IN, its power (A) and of VDD_IN, its counter (B)"]),
        ],
    )
    def test_joules_of_unlike_sensors_are_a_note(self, meter: tuple[str, str], note: list[str]) -> None:
        one = compared(metered(sided(*TEN), "VDD_IN", "power"), metered(scaled(1.0), *meter))
        assert one.energy is not None
        assert list(one.notes) == note
        assert list(compared(metered(sided(*TEN), "VDD_IN", "power"), scaled(1.0)).notes) == []

    def test_an_invalid_measurement_enters_only_when_asked(self) -> None:
        a, b = sided(*TEN), scaled(1.0, thresholds=NEVER, name="bad")
        with pytest.raises(ConfigError, match="bad is INVALID foreign_work") as caught:
            compared(a, b)
        assert "--include-invalid" in caught.value.fix
        assert compared(a, b, invalid=True).finding is Finding.NO_DIFFERENCE

    def test_a_word_that_means_nothing_is_refused(self) -> None:
        rows = [measured(10.0)[0]]
        check_axes(["kernel", "runtime", "batch", "power_mode"], rows)
        with pytest.raises(ConfigError, match=r"unknown axis 'bach' \(did you mean 'batch'"):
            check_axes(["bach"], rows)


class TestNames:
    @pytest.mark.parametrize(
        ("fields", "told"),
        [
            ({"options": {"mode": "compile"}}, "mode=compile"),
            ({"options": {"threads": 2, "spin": False}}, "spin=false, threads=2"),
            ({"hot_input": True, "transfers": False}, "hot input, no transfers"),
            ({"engines": "per-class"}, "engines per-class"),
            ({"inputs": "abcdef0123"}, "own inputs abcdef"),
        ],
    )
    def test_tell_cells_apart(self, fields: dict[str, Any], told: str) -> None:
        plain, other = (compared(scaled(1.0, **its), scaled(1.2, **its)).label for its in ({}, fields))
        assert other == f"{plain}, with {told}"

    def test_tell_once_what_the_label_has_and_nothing_that_is_passed_over(self) -> None:
        label = compared(
            sided(*TEN, power_mode="15W", build=1, repeat=1, cold=True), scaled(1.0, power_mode="15W")
        ).label
        assert label == "orin-1 resnet18/pytorch fp16 batch 1 in 15W on onnxruntime"

    def test_leave_out_what_is_compared_across(self) -> None:
        a, b = sided(*TEN, options={"threads": 1}, size=(224, 224)), scaled(1.0, options={"threads": 2})
        assert compared(a, b, "options", "size").label == "orin-1 resnet18/pytorch fp16 batch 1 on onnxruntime"


class TestRuns:
    def test_cells_are_matched_by_their_request(self) -> None:
        a = [measured(10.0, batch=batch, name=f"a{batch}")[0] for batch in (1, 8, 32)]
        b = [measured(10.0, batch=batch, name=f"b{batch}")[0] for batch in (8, 1, 64)]
        pairs, alone = match(a, b, ())
        assert [(x[0].measurement.id, y[0].measurement.id) for x, y in pairs] == [("a1", "b1"), ("a8", "b8")]
        assert len(alone) == 2
        assert "in A alone, and not compared: orin-1 resnet18/pytorch fp16 batch 32 on onnxruntime" in alone

    def test_across_devices_a_cell_s_device_does_not_matter(self) -> None:
        a = [measured(10.0, batch=batch)[0] for batch in (1, 8)]
        b = [measured(10.0, batch=batch, device="orin-2")[0] for batch in (1, 8)]
        assert len(match(a, b, ["device"])[0]) == 2
        with pytest.raises(ConfigError, match="no request of A was measured in B"):
            match(a, b, ())

    def test_two_that_one_word_does_not_tell_apart_are_refused(self) -> None:
        a = [measured(10.0, framework=name)[0] for name in ("pytorch", "tensorflow")]
        with pytest.raises(ConfigError, match="A has measurements of framework pytorch and tensorflow"):
            match(a, [measured(10.0)[0]], ["framework"])


def test_rounds_cancel_a_drift_that_both_sides_share() -> None:
    heat = (1.0, 1.2, 1.4, 1.6)
    rounds = [Round(sided(10 * h, 10.02 * h), sided(11 * h, 11.01 * h)) for h in heat]
    whole = Round(sided(*(10 * h for h in heat)), sided(*(11 * h for h in heat)))
    one = compare_rounds(whole, rounds, threshold=0.05, across=())
    assert one.time.value == pytest.approx(1.1, rel=1e-2)
    assert one.standing is Standing.REGRESSION
    assert one.how == "4 rounds of A B B A, a process each"
    apart = compared(whole.a, whole.b)
    assert apart.finding is Finding.NO_DIFFERENCE, "without the rounds the drift hides it"


class TestForReaders:
    def test_markdown_is_escaped(self) -> None:
        text = markdown([compared(sided(*TEN, model="a|b_<c>`"), scaled(1.2, model="a|b_<c>`"))])
        header, rule, line = text.splitlines()
        assert header.startswith("| request | A | B | time |")
        assert rule.count("---") == header.count("|") - 1
        assert "a\\|b\\_\\<c\\>\\`/pytorch" in line
        assert line.replace("\\|", "").count("|") == header.count("|")
        assert escape("[x](y)*") == "\\[x\\](y)\\*"

    def test_several_pairs_are_one_table(self) -> None:
        text = table([compared(sided(*TEN, batch=n), scaled(1.2, batch=n)) for n in (1, 8)], 240)
        assert len(text.splitlines()) == 3
        assert "regression (5 %)" in text

    def test_json_has_every_ratio(self) -> None:
        data = json.loads(dumps(as_json(compared(sided(*TEN), scaled(1.2)))))
        assert data["time"]["value"] == pytest.approx(1.2)
        assert (data["finding"], data["standing"], data["energy"]) == ("slower", "regression", None)
        assert set(data) >= {"label", "ids_a", "ids_b", "p99", "throughput", "threshold", "notes"}
