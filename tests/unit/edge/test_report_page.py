"""The report's page: what it holds of measurements, how large it gets, and that no name in it is ever markup."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_agents.contract import Accuracy, LoadPattern, Precision
from edge.report.page.cells import Detail
from edge.report.page.distribution import percentiles, quantiles_ms
from edge.report.page.document import MOST, MOST_LIVE, Reader
from edge.report.page.html import offline
from edge.report.page.numbers import in_script
from edge.report.page.packing import packed, table
from edge.report.page.timeline import timeline
from edge.results.scrubbing import scrubbed
from edge.results.store import Imported, Measurement
from edge.results.watched import Watched
from export.artifact import Store
from profiles.errors import ConfigError
from tests import free_sizes
from tests.made import drawn, measured
from tests.report_lab import Made, S, add, answered, many_like, rows

MB = 1_000_000
DRAWN = LoadPattern.parse("sizes:224-256/32")
HOSTILE = '</script><img src=x onerror="window.broken=1"><!-- \u2028 {{data}}'


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path / "results", tmp_path / "artifacts")


def document(reader: Reader, *made: Made) -> dict[str, Any]:
    add(reader.results, *made)
    return reader.document([one.measurement.id for one in made], ["edgebench", "report", "--html", "r.html"])


def imported(found: Measurement) -> Measurement:
    return replace(scrubbed(found), imported=Imported("theirs.tar.gz", "0" * 64, "now"))


def bundled(made: Made) -> Made:
    made.measurement = imported(made.measurement)
    return made


class Markup(HTMLParser):
    """What a browser makes of it: the tags, and the text of the data."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.data = ""
        self._within = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._within = dict(attrs).get("id") == "data"

    def handle_data(self, data: str) -> None:
        if self._within:
            self.data += data
            self._within = False


class TestDistribution:
    def test_holds_the_least_and_the_most_however_few_points_there_are(self) -> None:
        samples = np.arange(1, 100_001, dtype=np.int64)[::-1] * 1000
        found = quantiles_ms(samples, 64)
        assert (found[0], found[-1], len(found)) == (0.001, 100.0, 64)

    def test_of_few_samples_holds_them_all(self) -> None:
        assert quantiles_ms(np.array([3, 1, 2]) * 1_000_000, 64) == [1.0, 2.0, 3.0]

    def test_gives_no_percentile_that_the_samples_do_not_support(self) -> None:
        found = {one["p"]: one["ms"] for one in percentiles(np.full(100, 2_000_000))}
        assert found == {50.0: 2.0, 90.0: 2.0, 95.0: None, 99.0: None, 99.9: None}


class TestTimeline:
    def test_has_latencies_and_clocks_on_one_clock(self) -> None:
        made = Made("m1", ms=5.0, processes=2)
        found = timeline(
            made.measurement.result.processes, made.samples, Watched(made.measurement.result, made.samples)
        )
        first, second = found["processes"]
        assert (first["from"], first["to"]) == (1.0, 2.0)  # a second of idling before it
        assert second["from"] == pytest.approx(first["to"] + 1.0, abs=0.01)
        tracks = {track["name"]: track for track in found["tracks"]}
        assert (tracks["gpu_clock"]["from"], tracks["gpu_clock"]["unit"]) == (0.0, "MHz")
        assert tracks["temperature"]["values"][0] == pytest.approx(51.5, rel=0.01)

    def test_loses_no_outlier(self) -> None:
        made = Made("m1", count=5000, processes=1)
        samples = made.samples
        samples[3_333] = 9 * S
        found = timeline(made.measurement.result.processes, samples, Watched(made.measurement.result, samples))
        assert max(found["processes"][0]["most"]) == 9000.0

    def test_says_that_nobody_knows_when_processes_began(self) -> None:
        made = Made("m1", began=False)
        found = timeline(
            made.measurement.result.processes, made.samples, Watched(made.measurement.result, made.samples)
        )
        assert (found["began"], found["tracks"], len(found["processes"])) == (False, [], 5)


class TestDocument:
    def test_keeps_an_invalid_measurement_with_its_reason(self, reader: Reader) -> None:
        (cell,) = document(reader, Made("bad1", slower=0.5))["cells"]
        assert cell["verdict"] == "INVALID"
        assert [one["rule"] for one in cell["findings"] if one["broken"]] == ["unstable"]

    def test_compares_what_differs_in_its_framework_or_its_backend_alone(self, reader: Reader) -> None:
        found = document(
            reader,
            Made("aaaa1", ms=2.0),
            Made("aaaa2", ms=3.0, framework="tensorflow"),
            Made("aaaa3", ms=4.0, backend="onnxruntime"),
            Made("aaaa4", ms=8.0, batch=8),
        )["ratios"]
        assert [(one["axis"], one["a"], one["b"], one["finding"]) for one in found] == [
            ("framework", "pytorch", "tensorflow", "slower"),
            ("backend", "onnxruntime", "tensorrt", "faster"),
        ]
        assert found[0]["time"]["low"] < found[0]["time"]["value"] == pytest.approx(1.5, rel=1e-3)
        assert found[0]["command"] == "edgebench compare aaaa1 aaaa2 --across framework"

    def test_has_accuracy_and_late_answers_where_they_are_known(self, reader: Reader) -> None:
        made = answered(Made("aaaa1"), Accuracy(60, 42, 54, 1000), 20, 50_000_000)
        one, other = document(reader, made, Made("aaaa2"))["cells"]
        assert (one["top1"]["share"], one["top5"]["share"], one["late"]["share"]) == (0.7, 0.9, 0.02)
        assert one["top1"]["told"].startswith("top-1 70.0% (57.5% to 80.1%), top-5 90.0%")
        assert one["late"]["told"] == "2.0% (1.3% to 3.1%) of 1000 answers later than 50.00 ms"
        assert (other["top1"], other["top5"], other["late"]) == (None, None, None)

    def test_compares_no_invalid_measurement(self, reader: Reader) -> None:
        assert document(reader, Made("aaaa1"), Made("aaaa2", framework="tensorflow", slower=0.5))["ratios"] == []

    def test_says_why_what_is_alike_was_not_compared(self, reader: Reader) -> None:
        other = Made("aaaa2", framework="tensorflow", identity={"l4t": "36.4.4"})
        found = document(reader, Made("aaaa1"), other)
        assert found["ratios"] == []
        assert "l4t is 36.4.3 and 36.4.4" in found["not_compared"][0]

    def test_marks_what_changed_on_a_device_and_what_is_unlike_between_devices(self, reader: Reader) -> None:
        made = [
            Made("aaaa1"),
            Made("aaaa2", identity={"l4t": "36.4.4"}, batch=8),
            Made("aaaa3", device="orin-2", identity={"power_mode": "15W", "serial": "2"}),
        ]
        lines = {one["name"]: one for one in document(reader, *made)["environment"]}
        assert lines["l4t"]["changed"] == ["orin-1"]
        assert (lines["power_mode"]["changed"], lines["power_mode"]["unlike"]) == ([], True)
        assert not lines["serial"]["unlike"]

    def test_compares_what_came_in_a_bundle_with_what_was_measured_here(self, reader: Reader) -> None:
        found = document(reader, Made("aaaa1", ms=2.0), bundled(Made("aaaa2", ms=3.0, framework="tensorflow")))
        assert [(one["axis"], one["finding"]) for one in found["ratios"]] == [("framework", "slower")]
        assert found["not_compared"] == []
        assert len(found["matrices"]) == 1
        serial = next(one for one in found["environment"] if one["name"] == "serial")
        assert (len(serial["devices"]["orin-1"]), serial["changed"]) == (1, [])

    def test_holds_drawn_sizes_that_came_in_a_bundle_against_what_was_measured_here(self, reader: Reader) -> None:
        dynamic, samples = drawn([{224: (100, 11.0), 256: (100, 22.0)}], name="aaaa1", pattern=DRAWN)
        store = add(reader.results)
        store.add(imported(dynamic.measurement), samples.astype("<i8").tobytes())
        for size, ms in ((224, 10.0), (256, 20.0)):
            row, samples = measured(ms, name=f"bbbb{size}", size=(size, size))
            store.add(row.measurement, samples.astype("<i8").tobytes())
        (found,) = reader.document(["aaaa1", "bbbb224", "bbbb256"], [])["overheads"]
        assert found["missing"] == []
        assert found["overall"]["value"] == pytest.approx(1.1)

    def test_has_the_command_that_measures_again(self, reader: Reader) -> None:
        (cell,) = document(reader, Made("aaaa1", batch=8))["cells"]
        assert cell["again"].startswith("edgebench deploy resnet18 --device orin-1 ")
        assert "--batch 8" in cell["again"]

    def test_has_shares_of_precision_by_time(self, reader: Reader) -> None:
        (cell,) = document(reader, Made("aaaa1"))["cells"]
        assert cell["layers"]["by_time"]
        assert {one["precision"]: one["share"] for one in cell["layers"]["shares"]} == {"fp16": 0.75, "fp32": 0.25}

    def test_names_what_is_damaged_and_shows_the_rest(self, reader: Reader) -> None:
        broken = Made("bbbb1")
        add(reader.results, broken).folder("bbbb1").joinpath("samples.i64le").write_bytes(b"short")
        reader.results.joinpath("x").write_text("")
        found = reader.document(["bbbb1", *_ids(reader, Made("aaaa1"))], [])
        assert [cell["id"] for cell in found["cells"]] == ["aaaa1"]
        assert "bbbb1" in found["damaged"][0]

    @pytest.mark.parametrize(("live", "most"), [(False, MOST), (True, MOST_LIVE)])
    def test_of_more_than_a_page_holds_is_refused(self, reader: Reader, live: bool, most: int) -> None:
        with pytest.raises(ConfigError, match=f"{most + 1:,} measurements are more than the {most:,}"):
            reader.document(["x"] * (most + 1), [], live=live)

    def test_says_how_many_pairs_it_left_out(self, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("edge.report.page.document._DETAILS", {3: Detail(64, whole=False)})
        monkeypatch.setattr("edge.report.page.document._PAIRS", 1)
        made = [Made(f"aaaa{number}", framework=name) for number, name in enumerate(("onnx", "pytorch", "tensorflow"))]
        found = document(reader, *made)
        assert len(found["ratios"]) == 1
        assert found["not_compared"] == ["2 pairs beyond the first 1: choose fewer measurements"]

    def test_of_another_size_than_operations_were_counted_at_has_no_floor(self, reader: Reader) -> None:
        there = free_sizes.adopted(Store(reader.artifacts))
        sized = [Made("aaaa1", artifact=there.id, size=(96, 96)), Made("aaaa2", artifact=there.id, size=(48, 64))]
        floors = [cell["floor"] for cell in document(reader, *sized)["cells"]]
        assert floors[0] == {"why": "its operations were counted at 48x64"}
        assert floors[1]["ms"] > 0

    def test_of_an_artifact_that_is_gone_says_why_there_is_no_floor(self, reader: Reader) -> None:
        (cell,) = document(reader, Made("aaaa1", precision=Precision.FP32))["cells"]
        assert cell["floor"] == {"why": "the artifact, which tells its operations, is not here any more"}


def _ids(reader: Reader, *made: Made) -> list[str]:
    add(reader.results, *made)
    return [one.measurement.id for one in made]


class TestPage:
    def test_has_no_markup_of_names(self, reader: Reader) -> None:
        found = document(reader, Made("aaaa1", device=HOSTILE, model=HOSTILE, identity={"l4t": HOSTILE}))
        plain = Markup(offline(document(reader, Made("aaaa2"))))
        hostile = Markup(offline(found))
        assert hostile.tags == plain.tags
        assert rows(json.loads(hostile.data)["cells"])[0]["device"] == HOSTILE

    def test_needs_nothing_from_elsewhere(self, reader: Reader) -> None:
        page = offline(document(reader, Made("aaaa1")))
        assert page.count("default-src 'none'") == 1
        assert "<!--{" not in page.partition("<script")[0]
        assert Markup(page).tags.count("script") == 3

    def test_of_a_hundred_measurements_is_six_megabytes_at_most(self, reader: Reader) -> None:
        found = document(reader, Made("aaaa1", count=2000))
        assert len(offline(many_like(found, 100)).encode()) <= 6 * MB

    def test_of_a_thousand_is_twenty_five_at_most(self, reader: Reader) -> None:
        add(reader.results, Made("aaaa1", count=2000))
        coarse = reader.document(["aaaa1"] * 101, [])
        assert len(coarse["cells"][0]["quantiles"]) == 64
        assert coarse["cells"][0]["time"]
        assert len(offline(many_like(coarse, 1000)).encode()) <= 25 * MB

    def test_of_ten_thousand_is_no_larger_and_has_no_time_lines(self, reader: Reader) -> None:
        add(reader.results, Made("aaaa1", count=2000))
        coarse = reader.document(["aaaa1"] * 1001, [])
        assert not coarse["whole"]
        cell = coarse["cells"][0]
        assert (len(cell["quantiles"]), cell["time"], cell["slowest"]) == (64, None, [])
        assert len(offline(many_like(coarse, 10_000)).encode()) <= 25 * MB


class TestPacked:
    def test_names_stand_once_and_so_does_what_repeats(self) -> None:
        found = table([{"id": f"{number:04}", "device": "orin"} for number in range(1000)])
        text = json.dumps(found)
        assert (text.count("id"), text.count("orin")) == (1, 1)
        assert rows(found) == [{"id": f"{number:04}", "device": "orin"} for number in range(1000)]

    def test_keeps_apart_what_python_takes_for_equal(self) -> None:
        told = [{"value": value} for value in (1, True, 1.0, None, 0, False, [], {}, "1", "") * 3]
        assert [repr(row) for row in rows(table(told))] == [repr(row) for row in told]

    def test_takes_objects_apart_where_all_have_the_same_names(self) -> None:
        told = [{"one": {"a": number, "b": [{"c": number + at} for at in range(number % 3)]}} for number in range(9)]
        assert rows(table(told)) == told
        assert json.dumps(table(told)).count('"c"') == 1
        odd = [{"one": {"a": 1}}, {"one": {}}, {"one": None}, {"one": [{"a": 1}, {"b": 2}]}, {"one": []}]
        assert rows(table(odd)) == odd

    def test_is_the_document(self, reader: Reader) -> None:
        made = (Made("aaaa1"), Made("bbbb1", device="orin-2", identity={"power_mode": "15W"}))
        found = document(reader, *made)
        sent = packed(found)
        assert rows(sent["cells"]) == json.loads(json.dumps(found["cells"]))
        (one, two) = rows(sent["environment"]["devices"])
        assert (one["name"], two["name"]) == ("orin-1", "orin-2")
        lines = [
            {**line, "devices": {its["name"]: its[str(at)] for its in (one, two) if its[str(at)]}}
            for at, line in enumerate(rows(sent["environment"]["rows"]))
        ]
        assert lines == found["environment"]

    def test_of_nothing_is_nothing(self) -> None:
        assert rows(table([])) == []


def test_json_in_a_script_ends_no_script() -> None:
    text = in_script({"name": HOSTILE})
    assert "<" not in text
    assert "\u2028" not in text
    assert json.loads(text) == {"name": HOSTILE}
