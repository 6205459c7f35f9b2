"""What is written for other tools: by the rules of their formats, with our figures, whatever a model is called."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markdown_it import MarkdownIt

from device_agents.contract import LoadPattern, Precision
from edge.results.interop import (
    FORMATS,
    chrome_trace,
    github_benchmark,
    loadgen,
    markdown,
    optimum_benchmark,
    samples_csv,
    samples_parquet,
    trtexec_profile,
    writer,
)
from edge.results.interop.sample_table import COLUMNS
from edge.results.stats import percentile
from edge.results.verdict import Finding, Status, Verdict
from profiles.errors import ConfigError
from tests.interop_lab import COUNT, given, named, nasty_texts, pipelined, strict_json

RECORDED = Path(__file__).parent / "recorded" / "optimum-benchmark-0.6.0.json"
BROKEN = Verdict(Status.INVALID, (Finding("unstable", True, "it wandered"), Finding("too_hot", False, "nobody looked")))


def test_every_format_is_there_and_writes() -> None:
    for name in FORMATS:
        if name != "samples-parquet":
            assert writer(name)([given()]), name
    with pytest.raises(ConfigError, match=r"unknown format 'trtexec-time' \(did you mean 'trtexec-times'"):
        writer("trtexec-time")


class TestOptimumBenchmark:
    def test_read_back_has_the_same_figures(self) -> None:
        one = given()
        found = optimum_benchmark.read(optimum_benchmark.write([one]).decode())
        assert list(found.latencies_ns) == one.timed().tolist()
        assert found.images_per_s == one.summary.throughput_per_s
        assert (found.load_ns, found.first_inference_ns) == (one.summary.load_ns, one.summary.first_inference_ns)
        assert (found.peak_rss_bytes, found.batch, found.precision) == (90_000_000, 8, one.measurement.cell.precision)
        assert (found.model, found.backend, found.pattern) == ("resnet18", "tensorrt", LoadPattern())
        assert found.switches == {"runtime_version": "10.3"}
        assert (found.tool.split()[0], found.context["verdict"].value) == ("edgebench", "UNJUDGED")
        assert optimum_benchmark.read(optimum_benchmark.write([pipelined()]).decode()).pattern == LoadPattern(
            "pipelined"
        )

    def test_statistics_are_made_by_their_rules(self) -> None:
        """numpy's percentiles lie between samples, a deviation is over n, `stdev_` is in percent of the mean."""
        one = given()
        latency = strict_json(optimum_benchmark.write([one]))["report"]["forward"]["latency"]
        values = one.timed() / 1e9
        assert latency["p99"] == pytest.approx(np.percentile(values, 99))
        assert latency["stdev"] == pytest.approx(values.std())
        assert latency["stdev_"] == pytest.approx(100 * values.std() / values.mean())
        assert (latency["count"], latency["unit"]) == (2 * COUNT, "s")
        assert latency["total"] == pytest.approx(values.sum())

    def test_a_step_that_nobody_timed_is_null(self) -> None:
        one = given()
        bare = tuple(replace(process, first_inference_ns=0, peak_rss_bytes=0) for process in one.processes)
        result = replace(one.measurement.result, processes=bare)
        report = strict_json(
            optimum_benchmark.write([replace(one, measurement=replace(one.measurement, result=result))])
        )
        assert report["report"]["first_forward"] is None
        assert report["report"]["forward"]["memory"] is None

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("{", "is cut or garbled"),
            ("[1]", "no report.forward.latency"),
            ('{"forward": {"latency": {"unit": "ms", "values": [1]}}}', "latencies in 'ms', not in 's'"),
            ('{"forward": {"latency": {"unit": "s", "values": []}}}', "keeps no values"),
            ('{"forward": {"latency": {"unit": "s", "values": ["1"]}}}', "is no number: '1'"),
            ('{"forward": {"latency": {"unit": "s", "values": [true]}}}', "is no number"),
            ('{"forward": {"latency": {"unit": "s", "values": [NaN]}}}', "cannot be: nan"),
            ('{"forward": {"latency": {"unit": "s", "values": [-1]}}}', "cannot be: -1"),
            ('{"forward": {"latency": {"unit": "s", "values": [1e12]}}}', "a latency of 1e[+]12 s"),
        ],
    )
    def test_what_is_none_is_refused(self, text: str, said: str) -> None:
        with pytest.raises(ValueError, match=said):
            optimum_benchmark.read(text)

    def test_what_it_wrote_itself_is_read(self) -> None:
        text = RECORDED.read_text()
        found, theirs = optimum_benchmark.read(text), json.loads(text)["report"]
        assert found.tool == "optimum-benchmark 0.6.0"
        assert (found.model, found.framework, found.backend, found.batch) == ("vit", "pytorch", "pytorch", 2)
        assert found.precision == Precision.FP32
        assert (found.load_ns, found.first_inference_ns) == (97_516_646, 393_359_137)
        assert found.images_per_s == theirs["forward"]["throughput"]["value"]
        assert sum(found.latencies_ns) / 1e9 == pytest.approx(theirs["forward"]["latency"]["total"])
        assert found.peak_rss_bytes == 1_408_442_368
        assert found.context["warm-up runs"].value == 3

    @pytest.mark.parametrize(("key", "dtype"), [("torch_dtype", "bfloat16"), ("dtype", "bfloat16"), ("dtype", "q4_0")])
    def test_of_a_dtype_that_we_have_not_is_refused(self, key: str, dtype: str) -> None:
        with pytest.raises(ValueError, match=f"is of {dtype}, which is none of fp32, fp16, int8"):
            optimum_benchmark.read(self.of_dtype(**{key: dtype}))

    @pytest.mark.parametrize("dtype", [None, "", "auto"])
    def test_whose_dtype_is_not_told_has_no_precision(self, dtype: str | None) -> None:
        assert optimum_benchmark.read(self.of_dtype(torch_dtype=dtype)).precision is None

    def of_dtype(self, **backend: str | None) -> str:
        told = json.loads(RECORDED.read_text())
        told["config"]["backend"].update({"torch_dtype": None, **backend})
        return json.dumps(told)

    def test_what_we_write_has_the_fields_of_what_it_writes(self) -> None:
        ours, theirs = strict_json(optimum_benchmark.write([given()])), json.loads(RECORDED.read_text())
        assert set(ours["config"]) <= set(theirs["config"])
        for target in ("load_model", "first_forward", "forward"):
            one, other = ours["report"][target], theirs["report"][target]
            assert set(one) == set(other)
            assert set(one["latency"]) == set(other["latency"])
        for part in ("memory", "throughput"):
            assert set(ours["report"]["forward"][part]) == set(theirs["report"]["forward"][part])

    def test_a_report_alone_is_read(self) -> None:
        found = optimum_benchmark.read('{"forward": {"latency": {"unit": "s", "values": [0.002, 0.004]}}}')
        assert (list(found.latencies_ns), found.elapsed_ns, found.batch) == ([2_000_000, 4_000_000], 6_000_000, None)


class TestLoadGen:
    LINE = re.compile(
        r':::MLLOG \{"key": "[a-z0-9_.]+", "value": .+, "time_ms": [\d.e+]+, "namespace": "mlperf::logging", '
        r'"event_type": "POINT_IN_TIME", '
        r'"metadata": \{"is_error": (true|false), "is_warning": (true|false), "file": "edgebench", '
        r'"line_no": 0, "pid": 0, "tid": 0\}\}'
    )

    def facts(self, **fields: Any) -> dict[str, Any]:
        lines = loadgen.write([given(**fields)]).decode().splitlines()
        assert all(self.LINE.fullmatch(line) for line in lines)
        return {entry["key"]: entry["value"] for entry in (self.entry(line) for line in lines)}

    def entry(self, line: str) -> dict[str, Any]:
        found: dict[str, Any] = strict_json(line.removeprefix(":::MLLOG ").encode())
        return found

    def test_has_the_keys_and_figures_of_a_detail_log(self) -> None:
        one, facts = given(), self.facts()
        assert facts["result_99.00_percentile_latency_ns"] == percentile(one.timed(), 99.0)
        assert facts["result_mean_latency_ns"] == round(one.timed().mean())
        assert facts["result_query_count"] == 2 * COUNT
        assert 8 * facts["result_qps_with_loadgen_overhead"] == pytest.approx(one.summary.throughput_per_s)
        assert (facts["effective_scenario"], facts["effective_samples_per_query"]) == ("SingleStream", 8)

    def test_a_percentile_that_is_not_supported_and_a_validity_are_left_out(self) -> None:
        facts = self.facts()
        assert "result_99.90_percentile_latency_ns" not in facts
        assert "result_validity" not in facts

    def test_a_load_that_loadgen_has_not_is_no_scenario(self) -> None:
        assert "effective_scenario" not in self.facts(pattern=LoadPattern("rate", 30.0))
        assert self.facts(pattern=LoadPattern("rate", 30.0, True))["effective_scenario"] == "Server"

    def test_findings_are_errors_and_warnings(self) -> None:
        lines = loadgen.write([replace(given(), verdict=BROKEN)]).decode().splitlines()
        entries = [self.entry(line) for line in lines]
        found = {one["value"]: one["metadata"] for one in entries if one["key"] == "edgebench_finding"}
        assert found["unstable: it wandered"]["is_error"] is True
        assert found["too_hot: nobody looked"]["is_warning"] is True
        assert sum(one["metadata"]["is_error"] for one in entries) == entries[-1]["value"] == 1


class TestGitHubBenchmark:
    """README of benchmark-action/github-action-benchmark: name, unit and value, range and extra where there are any."""

    def entries(self, data: bytes) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = strict_json(data)
        for entry in found:
            assert set(entry) <= {"name", "unit", "value", "range", "extra"}
            assert all(isinstance(entry[key], str) for key in ("name", "unit", "extra"))
            assert isinstance(entry["value"], float)
        assert max(Counter(entry["name"] for entry in found).values()) == 1
        return found

    def test_latencies_are_smaller_better(self) -> None:
        one = given()
        median, p99 = self.entries(github_benchmark.smaller_is_better([one]))
        assert one.summary.median is not None
        assert (median["unit"], median["value"]) == ("ms", one.summary.median.value_ns / 1e6)
        assert median["name"] == "orin-1 resnet18/pytorch fp16 batch 8 on tensorrt: median"
        assert re.fullmatch(r"± [\d.e-]+", median["range"])
        assert p99["name"].endswith("p99")

    def test_names_tell_cells_apart(self) -> None:
        asked: list[dict[str, Any]] = [
            {},
            {"options": {"threads": 1}},
            {"options": {"threads": 2}},
            {"hot_input": True},
        ]
        found = self.entries(github_benchmark.bigger_is_better([given(processes=1, **its) for its in asked]))
        assert found[1]["name"] == "orin-1 resnet18/pytorch fp16 batch 8 on tensorrt, with threads=1: throughput"

    def test_throughput_is_bigger_better(self) -> None:
        (entry,) = self.entries(github_benchmark.bigger_is_better([given(processes=1)]))
        assert (entry["unit"], "range" in entry) == ("images/s", False)

    def test_no_alarm_comes_of_an_invalid_measurement(self) -> None:
        invalid = replace(given(), verdict=BROKEN)
        sound = given(model="resnet50")
        assert len(self.entries(github_benchmark.bigger_is_better([invalid, sound]))) == 1
        with pytest.raises(ConfigError, match="is not INVALID"):
            github_benchmark.bigger_is_better([invalid])


class TestChromeTrace:
    def events(self, *made: Any) -> list[dict[str, Any]]:
        trace = strict_json(chrome_trace.write(made))
        assert trace["displayTimeUnit"] in ("ms", "ns")
        for event in trace["traceEvents"]:
            self.check(event)
        found: list[dict[str, Any]] = trace["traceEvents"]
        return found

    def check(self, event: dict[str, Any]) -> None:
        """The fields that the format's description demands of each phase."""
        needed = {"X": {"dur", "cat"}, "M": {"args"}, "C": {"args"}, "b": {"id", "cat"}, "e": {"id", "cat"}}
        assert {"name", "ph", "ts", "pid", "tid"} | needed[event["ph"]] <= set(event)
        assert isinstance(event["ts"], (int, float))
        assert event["ts"] >= 0
        assert event.get("dur", 0) >= 0
        if event["ph"] == "C":
            assert all(isinstance(value, float) for value in event["args"].values())

    def test_inferences_of_a_closed_loop_lie_one_after_another_in_the_timed_part(self) -> None:
        one = given()
        events = [event for event in self.events(one) if event["name"] in ("inference", "timed") and event["tid"] == 1]
        (timed,) = [event for event in events if event["name"] == "timed"]
        inferences = [event for event in events if event["name"] == "inference"]
        assert [round(event["dur"] * 1e3) for event in inferences] == one.of(one.processes[0].timed).tolist()
        assert timed["ts"] == one.processes[0].began_ns / 1e3
        ends = [event["ts"] + event["dur"] for event in inferences]
        assert all(end <= after["ts"] + 1e-3 for end, after in zip(ends, inferences[1:], strict=False))
        assert ends[-1] <= timed["ts"] + timed["dur"] + 1e-3

    def test_phases_come_before_it(self) -> None:
        phases = [event for event in self.events(given()) if event.get("cat") == "phase" and event["tid"] == 1]
        assert [event["name"] for event in phases] == ["import", "load", "first_inference", "warmup", "timed"]
        assert all(
            before["ts"] + before["dur"] == pytest.approx(after["ts"]) for before, after in itertools.pairwise(phases)
        )

    def test_parts_have_a_lane_of_their_own(self) -> None:
        lanes = {event["tid"] for event in self.events(given(processes=1)) if event.get("cat") == "part"}
        assert lanes == {2}

    def test_inferences_that_overlap_are_asynchronous(self) -> None:
        events = self.events(pipelined(processes=1))
        begins = {event["id"]: event["ts"] for event in events if event["ph"] == "b"}
        ends = {event["id"]: event["ts"] for event in events if event["ph"] == "e"}
        assert set(begins) == set(ends)
        assert len(begins) == COUNT
        assert not [event for event in events if event["ph"] == "X" and event["name"] == "inference"]

    def test_series_are_counters(self) -> None:
        counters = [event for event in self.events(given(watched=True)) if event["ph"] == "C"]
        assert [event["args"]["power"] for event in counters] == [15.0, 15.5, 16.0, 15.75, 15.25]
        assert counters[0]["name"] == "power (W)"
        assert counters[0]["ts"] == 10**12 / 1e3

    def test_each_measurement_is_a_process(self) -> None:
        assert {event["pid"] for event in self.events(given(), given(model="resnet50"))} == {1, 2}

    def test_without_a_beginning_processes_lie_one_after_another(self) -> None:
        one = given()
        unknown = tuple(replace(process, began_ns=0) for process in one.processes)
        result = replace(one.measurement.result, processes=unknown)
        events = self.events(replace(one, measurement=replace(one.measurement, result=result)))
        first, second = [event for event in events if event["name"] == "timed"]
        assert first["ts"] + first["dur"] < second["ts"]


class TestSamplesCsv:
    def rows(self, *made: Any) -> list[list[str]]:
        return list(csv.reader(io.StringIO(samples_csv.write(made).decode(), newline=""), strict=True))

    def test_holds_every_sample_with_warm_up_marked(self) -> None:
        one = given()
        header, *rows = self.rows(one)
        assert tuple(header) == COLUMNS
        told = [dict(zip(header, row, strict=True)) for row in rows]
        assert Counter(row["phase"] for row in told) == {"warmup": 6, "timed": 2 * COUNT}
        assert [int(row["latency_ns"]) for row in told if row["phase"] == "timed"] == one.timed().tolist()
        assert {row["compute_ns"] for row in told if row["phase"] == "warmup"} == {""}
        assert [int(row["index"]) for row in told][:4] == [0, 1, 2, 0]

    def test_a_name_is_no_formula(self) -> None:
        assert self.rows(given(model="=1+1"))[1][COLUMNS.index("model")] == "'=1+1"

    @pytest.mark.parametrize("text", nasty_texts(60))
    def test_any_name_comes_back(self, text: str) -> None:
        found = self.rows(named(text))[1][COLUMNS.index("model")]
        assert found == (f"'{text}" if text[0] in "=+-@\t\r" else text)


class TestSamplesParquet:
    def test_hold_every_sample(self, tmp_path: Path) -> None:
        duckdb = pytest.importorskip("duckdb", reason="Parquet is written by DuckDB: pip install 'edgebench[query]'")
        one, file = given(), tmp_path / "samples.parquet"
        file.write_bytes(samples_parquet.write([one, given(parts=False, model="é|\n")]))
        found = duckdb.sql(f"SELECT * FROM '{file}'")
        assert tuple(found.columns) == COLUMNS
        rows = [dict(zip(COLUMNS, row, strict=True)) for row in found.fetchall()]
        mine = [row["latency_ns"] for row in rows if row["model"] == "resnet18" and row["phase"] == "timed"]
        assert mine == one.timed().tolist()
        assert {row["compute_ns"] for row in rows if row["model"] == "é|\n"} == {None}

    def test_without_duckdb_it_is_a_sentence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "duckdb", None)  # which is how Python says that there is none
        with pytest.raises(ConfigError, match=r"DuckDB cannot be imported .*; pip install 'edgebench\[query\]'"):
            samples_parquet.write([given()])


class TestMarkdown:
    PARSER = MarkdownIt("commonmark", {"html": True}).enable("table").enable("strikethrough")

    def cells(self, data: bytes) -> list[list[str]]:
        """The text of each cell, row by row, as a reader of it sees it. Anything but text in a cell fails, and so does
        a mention or a reference: GitHub looks for them in texts that no comment parts."""
        rows: list[list[str]] = []
        for token in self.PARSER.parse(data.decode()):
            if token.type == "tr_open":
                rows.append([])
            if token.type == "inline":
                children = [child for child in token.children or () if child.content != "<!-- -->"]
                kinds = {child.type for child in children} - {"text", "s_open", "s_close", "text_special"}
                assert not kinds, (token.content, kinds)
                parted = "".join(child.content for child in token.children or ()).split("<!-- -->")
                assert not any(re.search(r"[@#]\w", text) for text in parted)
                rows[-1].append("".join(child.content for child in children))
        return rows

    def test_is_a_table_with_our_figures(self) -> None:
        header, row = self.cells(markdown.write([given()]))
        told = dict(zip(header, row, strict=True))
        assert told["device"] == "orin-1"
        assert re.fullmatch(r"10\.0\d ± [\d.e-]+", told["median ms"])
        assert told["verdict"] == "UNJUDGED"

    def test_an_invalid_row_is_struck_out(self) -> None:
        line = markdown.write([replace(given(), verdict=BROKEN)]).decode().splitlines()[-1]
        assert "~~resnet18~~" in line
        assert "| ~~INVALID unstable~~ |" in line

    @pytest.mark.parametrize("text", nasty_texts())
    def test_any_name_is_shown_as_it_is_and_does_nothing(self, text: str) -> None:
        _, row = self.cells(markdown.write([named(f"x{text}x")]))
        assert len(row) == 12
        assert row[1] == " ".join(f"x{''.join(c if c.isprintable() else ' ' for c in text)}x".split())
        assert "\n" not in markdown.escape(text)


@pytest.mark.parametrize("text", nasty_texts(40))
@pytest.mark.parametrize("name", ["optimum-benchmark", "github-smaller", "chrome-trace", "loadgen"])
def test_any_name_comes_back_from_json(name: str, text: str) -> None:
    data = writer(name)([named(text)])
    if name != "loadgen":
        assert text in _texts(strict_json(data))
        return
    lines = data.decode().split("\n")[:-1]
    assert all(line.startswith(":::MLLOG {") and line.count(":::") == 1 for line in lines)
    assert text in "".join(_texts([strict_json(line.removeprefix(":::MLLOG ").encode()) for line in lines]))


def test_a_layer_of_any_name_comes_back() -> None:
    one = given()
    for text in nasty_texts(40):
        layers = tuple(replace(layer, name=text) for layer in one.measurement.result.layers)
        named = replace(
            one, measurement=replace(one.measurement, result=replace(one.measurement.result, layers=layers))
        )
        found = trtexec_profile.read(trtexec_profile.write([named]).decode())
        assert {layer.name for layer in found.layers} == {text}


def _texts(value: Any) -> str:
    """All texts in a value, one after another."""
    if isinstance(value, dict):
        return "".join([*map(_texts, value), *map(_texts, value.values())])
    if isinstance(value, list):
        return "".join(map(_texts, value))
    return value if isinstance(value, str) else ""
