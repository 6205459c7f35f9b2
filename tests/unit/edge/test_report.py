"""What people and programs are shown of a measurement: nothing is left out, nothing is called what it is not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from device_agents.contract import (
    SCHEMA,
    Accuracy,
    Controlled,
    DimRange,
    EngineReport,
    EngineUse,
    ErrorInfo,
    FileEntry,
    JobResult,
    Layer,
    LoadPattern,
    Opinion,
    ParityCheck,
    Precision,
    ProcessResult,
    Reading,
    SampleRange,
    dumps,
)
from edge.planning.plan import Cell
from edge.report.row_json import as_json, lotteries_as_json
from edge.report.rows import Row, read
from edge.report.table import measurements, notes
from edge.results.lottery import build_lottery
from edge.results.store import LabelledImages, Measurement, Origin, OwnInputs, Store
from edge.results.verdict import Status
from profiles.schema import Thresholds
from tests.made import shown

MS = 1_000_000
PASSED = ParityCheck(1e-3, 2e-2, "logits")
COUNT = 800


def engine(runtime: str = "tensorrt", sha256: str = "e" * 64, **changes: object) -> EngineUse:
    report = EngineReport(
        SCHEMA, "k" * 40, "a" * 64, FileEntry("model.engine", 50 << 20, sha256), runtime, "10.3.0.30", Precision.FP16,
        "2026-01-01T00:00:00Z", {}, seconds={"parse": 0.5, "build": 61.2}, device_memory_bytes=30 << 20,
        warnings=("it is slow",), profiles=({"batch": DimRange(1, 8, 32)},),
    )  # fmt: skip
    return EngineUse(replace(report, **changes), True, "built here on 2026-01-01")


def row(
    *,
    backend: str = "tensorrt",
    build: int = 0,
    latencies: object = None,
    pattern: LoadPattern = LoadPattern(),  # noqa: B008 - frozen
    run: str = "run-1",
    process: dict[str, object] | None = None,
    origin: dict[str, object] | None = None,
    asked: dict[str, object] | None = None,
    **result: object,
) -> Row:
    """800 latencies of 10 ms with their parts, on an FP16 engine, unless something else is said."""
    samples = np.full(COUNT, 10 * MS) if latencies is None else np.asarray(latencies)
    parts = {"h2d": 1 * MS, "compute": 8 * MS, "d2h": MS // 2, "enqueue": MS // 4}
    data = np.concatenate([samples, *(np.full(COUNT, value) for value in parts.values())])
    places = {name: SampleRange(COUNT * (index + 1), COUNT) for index, name in enumerate(parts)}
    one = ProcessResult(
        0, 1, 1, 1, SampleRange(0, 0), SampleRange(0, COUNT), 8 * 10**9, True, 150, 90 << 20, {}, PASSED, PASSED,
        parts=places, memory={"engine_device": 64 << 20},
    )  # fmt: skip
    fields: dict[str, object] = {
        "schema": SCHEMA, "job": "job-1", "artifact": "a" * 64, "backend": backend, "started_at": "2026-01-01",
        "switches": {"streams": 1}, "identity": {}, "context": {}, "processes": (replace(one, **(process or {})),),
        "samples_count": len(data), "samples_sha256": "0" * 64, "seconds": {}, "engine": engine(backend),
        "layers": (Layer("conv1 + relu", "fp16", "CaskConvolution", ("Conv_0", "Relu_1"), 700_000),
                   Layer("softmax", "fp32", "SoftMax", ("Softmax_9",), 50_000),
                   Layer("in", "fp16", "Reformat", (), 250_000)),
        "command": "/usr/src/tensorrt/bin/trtexec --loadEngine=model.engine --useSpinWait",
    }  # fmt: skip
    made = JobResult(**{**fields, **result})  # type: ignore[arg-type]
    cell = Cell("orin-1", "resnet18", "pytorch", backend, Precision.FP16, 1, pattern=pattern, build=build)
    source = Origin("local", None, Thresholds(), "a" * 64, "random", "b" * 64, "0")
    cell = replace(cell, **(asked or {}))
    found = Measurement(f"job-{build}", run, cell, replace(source, **(origin or {})), "now", made)
    return Row.from_samples(found, data)


def as_data(made: Row) -> dict[str, object]:
    """What a program reads."""
    data: dict[str, object] = json.loads(dumps(as_json(made)))
    return data


class TestTheParts:
    def test_are_told_with_the_clock_that_each_is_from(self) -> None:
        text = shown(row())
        assert "compute 8.00 ms (the device's clock)" in text
        assert "enqueue 0.25 ms (the host's clock)" in text
        parts = as_data(row())["parts"]
        assert parts["h2d"] == {"median_ms": 1.0, "clock": "the device's clock"}  # type: ignore[index]

    def test_that_are_not_told_are_not_shown(self) -> None:
        bare = row(process={"parts": {}})
        assert "parts, medians" not in shown(bare)
        assert as_data(bare)["parts"] == {}


class TestARate:
    COUNTS = {"arrivals": 1000, "late": 20, "dropped": 180, "waiting": 20, "wake_lag_ns": 1500, "seed": 3}

    def test_tells_what_was_late_and_dropped_wherever_its_figures_stand(self) -> None:
        made = row(pattern=LoadPattern("rate", 30.0), process={"counts": self.COUNTS})
        assert "arrivals 1000, late 20, dropped 180, waiting 20, seed 3" in shown(made)
        assert "1.5 us behind the arrival" in shown(made)
        assert as_data(made)["counts"] == self.COUNTS
        told = "orin-1 resnet18/pytorch fp16 batch 1 at rate:30 on tensorrt: 1000 arrivals, 20 late (2%), 180 dropped"
        assert any(note.startswith(told) for note in notes([made]))
        assert "rate:30" in measurements([made, row()], ids=False)

    def test_with_a_time_out_tells_the_share_of_late_answers_and_its_interval(self) -> None:
        counts = {**self.COUNTS, "timeout_ns": 50 * MS}
        made = row(pattern=LoadPattern.parse("rate:30,timeout:50ms"), process={"counts": counts})
        of = made.summary.samples
        share = f"{20 / of:.1%}"
        told = f"of {of} answers later than 50.00 ms"
        assert "late is longer than the time-out" in shown(made)
        (line,) = [line for line in shown(made).splitlines() if line.startswith("late answers")]
        assert share in line
        assert told in line
        assert any(f"20 late (2%), 180 dropped (18%), 20 waiting (2%); {share} (" in note and told in note
                   for note in notes([made]))  # fmt: skip
        found = as_data(made)["late_answers"]
        assert (found["count"], found["of"]) == (20, of)  # type: ignore[index]
        assert found["low"] < 20 / of < found["high"]  # type: ignore[index]
        assert "rate:30,timeout:50ms" in measurements([made], ids=False)

    def test_without_one_has_no_such_share(self) -> None:
        made = row(pattern=LoadPattern("rate", 30.0), process={"counts": self.COUNTS})
        assert as_data(made)["late_answers"] is None
        assert "late answers" not in shown(made)

    def test_has_no_column_where_all_is_serial(self) -> None:
        assert "pattern" not in measurements([row()], ids=False)


class TestAccuracy:
    ORIGIN = {"labelled": LabelledImages("f" * 64, 60, "by the lines of classes.txt", "shorter side to 256")}

    def test_stands_beside_speed_with_its_interval(self) -> None:
        made = row(process={"accuracy": Accuracy(60, 42, 54, 1000)}, origin=self.ORIGIN)
        told = "top-1 70.0% (57.5% to 80.1%), top-5 90.0% (79.9% to 95.3%) of 60 images"
        assert told in shown(made)
        assert "classes by the lines of classes.txt; shorter side to 256" in shown(made)
        assert any(note.endswith(told) for note in notes([made, row()]))
        header, first, second, *_ = measurements([made, row()], ids=False).splitlines()
        assert "top-1" in header
        assert "70.0%" in first
        assert "%" not in second
        found = as_data(made)["accuracy"]
        assert (found["images"], found["top1"]["count"], found["top5"]["share"]) == (60, 42, 0.9)  # type: ignore[index]

    def test_of_five_classes_has_no_top_5(self) -> None:
        made = row(process={"accuracy": Accuracy(60, 42, 60, 5)}, origin=self.ORIGIN)
        assert as_data(made)["accuracy"]["top5"] is None  # type: ignore[index]
        assert "top-5" not in shown(made)

    def test_that_nobody_asked_for_is_not_shown(self) -> None:
        assert as_data(row())["accuracy"] is None
        assert "top-1" not in measurements([row()], ids=False)
        assert "accuracy" not in shown(row())


class TestASoak:
    def test_tells_burst_and_steady_wherever_its_figures_stand(self) -> None:
        slower = np.repeat([10 * MS, 13 * MS], [200, 600])
        made = row(pattern=LoadPattern("soak", soak_s=600.0), latencies=slower)
        assert "burst ms" in shown(made)
        assert "steady ms" in shown(made)
        assert "soak:10m" in measurements([made, row()], ids=False)
        assert any(
            "burst 10.00 ms, steady 13.00 ms (+30.0%), equilibrium was reached" in note for note in notes([made])
        )
        told = as_data(made)["soak"]
        assert told["burst_ns"] == 10 * MS  # type: ignore[index]
        assert len(told["curve_ns"]) == 40  # type: ignore[index]

    def test_is_none_of_another_load(self) -> None:
        assert as_data(row())["soak"] is None
        assert "burst" not in shown(row())


class TestTheTail:
    def test_is_told_with_what_the_samples_prove_of_it(self) -> None:
        made = row(latencies=np.arange(COUNT) * 1000 + 10 * MS)
        assert "p99 ms" in shown(made)
        assert "10.79; at most 10.80 at 99 % confidence" in shown(made)
        assert "p99.9 ms                    not supported by 800 samples" in shown(made)
        assert "10.40; 10.40 without a tenth at either end" in shown(made)
        data = as_data(made)
        assert set(data["bounds_ms"]) == {"p90", "p95", "p99"}  # type: ignore[call-overload]
        assert (data["p99_9_ms"], data["p99_bootstrap_ms"]) == (None, None)


class TestAFlag:
    def test_of_many_is_told_once(self) -> None:
        two = np.tile([10 * MS, 12 * MS], COUNT // 2)
        rows = [row(latencies=two, build=build) for build in (1, 2, 3)]
        (told,) = [note for note in notes(rows) if note.startswith("flag")]
        assert told.startswith(
            "flag orin-1 resnet18/pytorch fp16 batch 1 build 1 on tensorrt and 2 more: two_speeds: 50%"
        )


class TestASize:
    def test_has_a_column_where_one_was_chosen_and_stands_in_whatever_is_told(self) -> None:
        rows = [row(asked={"size": size}) for size in (None, (224, 224), (320, 512))]
        header, *lines = measurements(rows, ids=False).splitlines()
        assert header.split()[4:7] == ["precision", "batch", "size"]
        assert [line.split()[6] for line in lines[1:]] == ["224x224", "320x512"]
        assert "size" not in measurements(rows[:1], ids=False), "the model's own"
        assert "orin-1: resnet18/pytorch fp16 batch 1 at 320x512 on tensorrt, serial" in shown(rows[2])
        assert [as_data(made)["size"] for made in rows] == [
            None, {"height": 224, "width": 224}, {"height": 320, "width": 512},
        ]  # fmt: skip

    def test_that_has_no_reference_is_named_in_the_verdict(self) -> None:
        unchecked = {"parity_before": None, "parity_after": None}
        made = row(asked={"size": (320, 512)}, process=unchecked)
        (told,) = [finding.reason for finding in made.verdict.findings if finding.rule == "parity_unknown"]
        assert "the artifact has no reference for 320x512" in told


class TestUnlikeRows:
    def test_look_unlike_by_what_is_not_at_its_default(self) -> None:
        own = {"inputs": "c" * 64}
        special = row(asked={"options": {"streams": 2, "pinned": False}, "transfers": False, "hot_input": True, **own})
        bounded = row(asked={"profiles": ({"batch": DimRange(1, 8, 32)},), "engines": "per-class"}, build=2)
        text = measurements([row(), special, bounded], ids=False, width=300)
        assert "pinned=false, streams=2, own inputs, hot input, no transfers" in text
        assert "bounds 1:8:32, engines per-class, build 2" in text
        assert "with pinned=false, streams=2" in shown(special)
        assert as_data(special)["options"] == {"streams": 2, "pinned": False}
        assert "with" not in measurements([row(), row()], ids=False).split()

    def test_have_the_runtime_s_version_where_a_backend_has_several(self) -> None:
        old, new = ({"streams": 1, "runtime_version": version} for version in ("8.6.1.6", "10.3.0.30"))
        assert "8.6.1.6" not in measurements([row(switches=old)], ids=False)
        text = measurements([row(switches=old), row(switches=new)], ids=False)
        assert "tensorrt 8.6.1.6 " in text
        assert "tensorrt 10.3.0.30 " in text
        other = row(backend="onnxruntime", engine=None, switches={"runtime_version": "1.20"})
        assert "10.3" not in measurements([row(switches=new), other], ids=False), "nothing to tell apart"

    def test_of_several_sets_of_data_are_told_apart(self) -> None:
        text = measurements([row(asked={"inputs": digit * 64}) for digit in "cd"], ids=False)
        assert "own inputs cccccc" in text
        assert "own inputs dddddd" in text

    def test_in_a_narrow_terminal_lose_what_they_share_and_no_figure(self) -> None:
        rows = [row(asked={"options": {"streams": 1, "optimization_level": 5}}, build=build) for build in (1, 2)]
        text = measurements(rows, ids=True, width=90)
        table, _, told = text.partition("\n\n")
        assert max(map(len, table.splitlines())) <= 90
        assert all(word in table for word in ("orin-1", "resnet18", "10.00", "100.0", "UNJUDGED", "build 2"))
        assert "with (optimization_level=5, streams=1)" in told
        assert "--json has everything" in told

    def test_have_ids_as_short_as_results_show_takes_them(self) -> None:
        alike = [replace(made, measurement=replace(made.measurement, id=f"0123456789{end}"))
                 for made, end in ((row(), "a0"), (row(), "b0"))]  # fmt: skip
        assert "0123456789a0" in measurements(alike, ids=True)
        text = measurements(alike, ids=True, width=90)
        assert "0123456789a\n" in text + "\n"
        assert "0123456789a0" not in text


class TestSeveralStreams:
    def test_show_a_throughput_and_no_latency(self) -> None:
        made = row(switches={"streams": 4})
        header, line = measurements([made], ids=False).splitlines()
        assert line.split()[header.split().index("median")] == "-"
        assert "100.0" in line
        assert "overlap on 4 streams" in shown(made)
        assert any("several streams" in note for note in notes([made]))
        data = as_data(made)
        assert [data.get(name) for name in ("median_ms", "mean_ms", "p90_ms", "p95_ms", "p99_ms")] == [None] * 5
        assert data["throughput_per_s"] == 100.0


class TestTheEngine:
    def test_is_told_with_its_reason_and_what_it_is_made_of(self) -> None:
        text = shown(row())
        assert "reused: built here on 2026-01-01" in text
        assert "key kkkkkkkkkkkk, sha256 eeeeeeeeeeee" in text, "as `engines list` has them"
        assert "tensorrt 10.3.0.30, 50.0 MiB" in text
        assert "; seconds: parse 0.5, build 61.2" in text
        assert "batch 1:8:32" in text
        assert "30.0 MiB of device memory" in text
        assert "warning of the builder: it is slow" in text
        data = as_data(row())["engine"]
        assert data["build_seconds"] == {"parse": 0.5, "build": 61.2}  # type: ignore[index]
        assert data["reused"] is True  # type: ignore[index]
        assert data["key"] == "k" * 40  # type: ignore[index]

    def test_that_was_small_and_quick_to_build_is_not_nothing(self) -> None:
        quick = engine(seconds={"build": 0.0123, "build_total": 0.0456}, device_memory_bytes=196_864, made_of=
                       {"optimization_level": 5, "build": 2})  # fmt: skip
        text = shown(row(engine=replace(quick, reused=False, why="built: there was none")))
        assert "seconds: build 0.012, total 0.046" in text
        assert "192 KiB of device memory" in text
        assert "tensorrt 10.3.0.30, 50.0 MiB, optimization_level=5, build 2" in text
        assert "  built: there was none" in text
        assert "built for this" not in text

    def test_of_tensorrt_rtx_is_nowhere_called_tensorrt(self) -> None:
        made = row(backend="tensorrt-rtx", command="tensorrt_rtx --loadEngine=model.engine")
        for text in (shown(made), measurements([made], ids=True), "\n".join(notes([made])), dumps(as_json(made))):
            assert "tensorrt" not in text.replace("tensorrt-rtx", "").replace("tensorrt_rtx", "").lower()
        assert as_data(made)["runtime"] == "tensorrt-rtx"

    def test_of_another_runtime_than_the_backend_is_named_beside_it(self) -> None:
        assert row(backend="trtexec", engine=engine("tensorrt-rtx")).runtime == "trtexec on an engine of tensorrt-rtx"
        assert row(backend="onnxruntime", engine=None).runtime == "onnxruntime"

    def test_s_layers_are_told_by_precision_and_by_cost(self) -> None:
        text = shown(row())
        assert "fp16 93% of time (1), fp32 7% of time (1); 1 layers only move data" in text
        assert "0.7000 ms 70% fp16 conv1 + relu from Conv_0, Relu_1" in text
        data = as_data(row())
        assert [entry["layer"]["name"] for entry in data["slowest_layers"]] == ["conv1 + relu", "in", "softmax"]  # type: ignore[attr-defined]
        assert data["precision_shares"]["shares"][0]["precision"] == "fp16"  # type: ignore[index]

    def test_can_be_timed_again_by_hand(self) -> None:
        assert "trtexec --loadEngine=model.engine --useSpinWait" in shown(row())
        assert as_data(row())["command"] == "/usr/src/tensorrt/bin/trtexec --loadEngine=model.engine --useSpinWait"


class TestASecondOpinion:
    OPINION = Opinion("trtexec", "10.3", "trtexec --x", {"compute_median": 8 * MS, "h2d_median": 2 * MS}, 125.0)
    LINES = (
        "                            ours          theirs  ours/theirs",
        "  h2d median             1.00 ms         2.00 ms        0.500",
        "  compute median         8.00 ms         8.00 ms        1.000",
        "  throughput      100.0 images/s  125.0 images/s        0.800",
    )

    def test_stands_beside_ours_with_the_ratio(self) -> None:
        made = row(opinion=self.OPINION)
        text = shown(made)
        assert "trtexec 10.3: trtexec --x" in text
        for line in self.LINES:
            assert line in text
        ratios = {(one["figure"], one["unit"]): one["ratio"] for one in as_data(made)["opinion_ratios"]}  # type: ignore[attr-defined]
        assert ratios == {("h2d median", "ms"): 0.5, ("compute median", "ms"): 1.0, ("throughput", "images/s"): 0.8}

    def test_of_another_clock_gets_no_ratio(self) -> None:
        """A latency by the GPU's clock, as stored before, is no measure of one by the host's."""
        made = row(opinion=replace(self.OPINION, figures_ns={"latency_median": 8 * MS}))
        assert "latency median               -         8.00 ms            -" in shown(made)

    def test_that_failed_says_why(self) -> None:
        failed = replace(
            self.OPINION,
            figures_ns={},
            throughput_per_s=None,
            error=ErrorInfo("x", "opinion", "no trtexec", fix="install it"),
        )
        made = row(opinion=failed)
        assert "it failed: no trtexec" in shown(made)
        assert any(note.endswith("failed: no trtexec; install it") for note in notes([made]))

    def test_is_told_below_the_table(self) -> None:
        told = notes([row(opinion=self.OPINION)])
        place = told.index("trtexec 10.3 on the engine of orin-1 resnet18/pytorch fp16 batch 1 on tensorrt:")
        assert tuple(told[place + 1 : place + 5]) == self.LINES
        assert max(map(len, told)) <= 120

    def test_says_what_makes_it_less_comparable(self) -> None:
        made = row(opinion=replace(self.OPINION, version="11.4.0"), latencies=np.linspace(10, 20, COUNT) * MS)
        for text in (shown(made), "\n".join(notes([made]))):
            assert "our measurement is INVALID, so the ratios say little" in text
            assert "trtexec is of version 11.4.0, the engine of 10.3.0.30" in text
        fair = row(opinion=replace(self.OPINION, version="10.3.0"))
        assert "say little" not in shown(fair)
        assert "is of version" not in shown(fair)


def test_what_a_tool_that_times_by_itself_does_not_tell_is_no_figure() -> None:
    alone = row(process={"warmup_stable": None, "first_inference_ns": 0})
    assert "by time alone, as tensorrt does: nobody saw whether it was stable" in shown(alone)
    assert "not told" in shown(alone)
    assert as_data(alone)["first_inference_ms"] is None
    assert "ended at its cap, not yet stable, in process 0" in shown(row(process={"warmup_stable": False}))
    assert "warm-up" not in shown(row())


def test_a_tool_that_shows_its_outputs_once_is_said_to() -> None:
    assert "once, after timing" in shown(row(process={"warmup_stable": None, "parity_before": None}))
    assert "once" not in shown(row())


class TestTheOperatorsData:
    def test_is_told_with_where_its_reference_comes_from(self) -> None:
        own = OwnInputs("c" * 64, 37, "given with the data", checked=True)
        text = shown(row(origin={"inputs": own}))
        assert "37 samples of the operator's (sha256 cccccccccccc)" in text
        assert "reference: given with the data" in text
        assert "golden" not in text
        assert as_data(row(origin={"inputs": own}))["inputs"]["samples"] == 37  # type: ignore[index]

    def test_without_a_reference_does_not_pass_off_the_golden_check_as_its_own(self) -> None:
        own = OwnInputs("c" * 64, 1, "none: one sample, so an error has no scale", checked=False)
        assert "(logits) on the artifact's golden samples" in shown(row(origin={"inputs": own}))


class TestWhatWasChangedOnTheDevice:
    CHANGED = (Controlled("power_mode", "MAXN", "15W", "MAXN"), Controlled("lock_clocks", "a", "b", "", "sudo said no"))

    def test_is_shown_with_what_was_not_put_back(self) -> None:
        told = shown(row(controlled=self.CHANGED))
        assert "power_mode: MAXN; while measured 15W; afterwards MAXN" in told
        assert "lock_clocks: a; while measured b; afterwards not known (NOT PUT BACK: sudo said no)" in told
        assert "changed there" not in shown(row())

    def test_is_there_for_programs(self) -> None:
        data = as_data(row(controlled=self.CHANGED, asked={"lock_clocks": True, "power_mode": "15W"}))
        assert (data["lock_clocks"], data["power_mode"], data["shared"]) == (True, "15W", False)
        assert [one["problem"] for one in data["controlled"]] == ["", "sudo said no"]  # type: ignore[attr-defined]


def test_what_a_device_sends_moves_no_cursor_and_is_no_markup() -> None:
    evil = Layer("\x1b[2J[red]boo[/red]", "fp16", "conv", ("\x1b[1A",), 5)
    text = shown(row(layers=(evil,), engine=engine(warnings=("\x1b[2J",))))
    assert "\x1b" not in text
    assert "[red]boo[/red]" in text


def test_flags_are_shown_and_condemn_nothing() -> None:
    slow = {name: SampleRange(COUNT * 2, COUNT) for name in ("compute", "enqueue")}  # both 8 ms
    made = row(process={"parts": slow})
    assert "flag: enqueue_bound: enqueueing takes 1.00 times" in shown(made)
    assert any(note.startswith("flag orin-1 resnet18") for note in notes([made]))
    assert as_data(made)["flags"][0]["name"] == "enqueue_bound"  # type: ignore[index]
    assert "INVALID" not in measurements([made], ids=False)


def test_what_is_longer_than_the_terminal_is_folded_and_not_cut() -> None:
    made = row(command=f"trtexec --loadEngine=/{'x' * 200}/model.engine", context={"memory_bytes": Reading(22 << 20)})
    text = shown(made, 60)
    assert "…" not in text
    assert "".join(text.split()).count("x" * 200) == 1
    assert "memory = 22.0 MiB" in text


def test_an_invalid_row_is_named_once_with_all_its_reasons() -> None:
    failed = ParityCheck(0.5, 2e-2, "logits")
    made = row(latencies=np.linspace(10, 20, COUNT) * MS, process={"parity_after": failed})
    (told,) = [note for note in notes([made]) if note.startswith("INVALID")]
    assert "on tensorrt: unstable: +" in told
    assert "; parity_failed: logits is off by 0.5 after timing" in told


class TestTheBuildLottery:
    def test_sets_the_engines_beside_the_run(self) -> None:
        """Engines of 9, 10 and 11 ms, whose runs hold still: 10 % between engines, nothing within."""
        rows = [
            row(build=index, latencies=np.full(COUNT, value * MS), engine=engine(sha256=str(index) * 64))
            for index, value in ((1, 9), (2, 10), (3, 11))
        ]
        (found,) = build_lottery(rows)
        assert (found.engines, found.distinct, found.within_run, found.between_processes) == (3, 3, 0.0, None)
        assert found.between_engines == pytest.approx(0.1)
        (note,) = [note for note in notes(rows) if note.startswith("build lottery")]
        assert "3 engines, medians 9.000 to 11.000 ms; between engines 10.0%, within run 0.0%" in note
        assert lotteries_as_json(rows)[0]["slowest_ns"] == 11.0 * MS

    def test_says_when_builds_gave_the_same_file(self) -> None:
        (found,) = build_lottery([row(build=1), row(build=2)])
        assert "2 engines (1 of them different files)" in str(found)

    def test_mixes_no_requests_no_runs_and_no_engine_that_was_kept(self) -> None:
        other = row(build=2, pattern=LoadPattern("pipelined"))
        assert build_lottery([row(build=1), other, row(build=2, run="run-2"), row(build=0)]) == []
        assert build_lottery([row(build=1), row(build=1)]) == []

    def test_compares_no_invalid_measurement_and_says_so(self) -> None:
        good = [row(build=index, latencies=np.full(COUNT, (9 + index) * MS)) for index in (1, 2)]
        drifts = row(build=3, latencies=np.linspace(10, 20, COUNT) * MS)
        assert drifts.verdict.status is Status.INVALID
        (found,) = build_lottery([*good, drifts])
        assert (found.engines, found.invalid, found.slowest_ns) == (2, 1, 11 * MS)
        assert any(
            "2 engines (1 of them different files), 1 INVALID left out" in note for note in notes([*good, drifts])
        )
        alone = [good[0], drifts]
        assert (build_lottery(alone), lotteries_as_json(alone)) == ([], [])
        (told,) = [note for note in notes(alone) if "lottery" in note]
        assert told.startswith(
            "no build lottery, orin-1 resnet18/pytorch fp16 batch 1 on tensorrt: 1 of 2 measurements"
        )

    def test_is_not_hidden_by_the_noise_of_a_run(self) -> None:
        """A run whose level wanders by 10 % is said to: engines 1 % apart are then no finding."""
        levels = np.linspace(9.5, 11.5, 5)
        wander = np.repeat(np.concatenate([levels, levels[::-1]]) * MS, COUNT // 10)  # there and back: no drift
        rows = [row(build=index, latencies=wander * (1 + index / 100)) for index in (1, 2)]
        (found,) = build_lottery(rows)
        assert found.within_run is not None
        assert found.within_run > 5 * found.between_engines


def test_a_measurement_of_an_earlier_edgebench_reads_as_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stored by version 0.1, before there were engines, parts or counts."""
    store = Store(Path(__file__).parent / "stored_by_0_1")
    found = read(store, "0123456789abcdef")
    assert found.summary.median is not None
    assert found.summary.median.value_ns == pytest.approx(12.2 * MS, rel=0.02)
    assert {finding.rule for finding in found.verdict.broken} <= {"too_few_samples", "unstable"}
    assert found.runtime == "onnxruntime"
    assert as_data(found)["engine"] is None
    assert "parity on the device" in shown(found)
    assert "12." in measurements([found], ids=True)
