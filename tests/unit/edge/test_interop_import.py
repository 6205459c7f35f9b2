"""Other tools' results beside ours: what a file tells and no more, marked as foreign where it is shown, never VALID."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from device_agents.contract import SCHEMA, JobResult, Precision, SchemaViolation, dumps, from_json, to_json
from edge.report.row_json import as_json
from edge.report.rows import Row, read
from edge.report.table import measurements, notes
from edge.results.columns import record
from edge.results.interop import optimum_benchmark, writer
from edge.results.interop.importing import Asked, measurement_of
from edge.results.sides import side
from edge.results.store import Measurement, Store
from edge.results.verdict import Status
from profiles.errors import ConfigError
from tests.interop_lab import given
from tests.made import shown

RECORDED = Path(__file__).parents[1] / "agent" / "recorded"
STORED = Path(__file__).parent / "stored_by_0_1"
ASKED = Asked("orin-1", "resnet50", 4, Precision.FP16)
FILES = {
    "trtexec-times": "times-derived.json",
    "trtexec-profile": "profile-8.6.json",
    "trtexec-stdout": "trtexec-10.3.0-orin-summary.txt",
}


def imported(store: Store, path: Path, form: str, asked: Asked = ASKED) -> Row:
    measurement, samples = measurement_of(path, form, asked)
    store.add(measurement, samples)
    return read(store, measurement.id)


def recorded(tmp_path: Path, form: str) -> Row:
    return imported(Store(tmp_path), RECORDED / FILES[form], form)


@pytest.mark.parametrize("form", FILES)
def test_none_is_ever_judged_and_each_is_shown_as_foreign(tmp_path: Path, form: str) -> None:
    row = recorded(tmp_path, form)
    assert row.verdict.status is Status.UNJUDGED
    assert [(finding.rule, finding.broken) for finding in row.verdict.findings] == [("foreign", False)]
    assert "trtexec (foreign)" in measurements([row], ids=True)
    assert any(f"read from {FILES[form]}" in note for note in notes([row]))
    sha256 = hashlib.sha256((RECORDED / FILES[form]).read_bytes()).hexdigest()
    text = shown(row)
    assert f"from {FILES[form]} (SHA-256 {sha256[:12]}), read as {form}" in text
    told = json.loads(dumps(as_json(row)))
    assert (told["foreign"]["sha256"], told["foreign"]["read_as"], told["verdict"]) == (sha256, form, "UNJUDGED")
    assert (told["device"], told["model"], told["batch"], told["precision"]) == ("orin-1", "resnet50", 4, "fp16")
    assert told["framework"] == "unknown"


@pytest.mark.parametrize("form", ["trtexec-profile", "trtexec-stdout"])
def test_figures_without_samples_are_compared_with_nothing(tmp_path: Path, form: str) -> None:
    row = recorded(tmp_path, form)
    with pytest.raises(ConfigError, match="has figures and no samples"):
        side([row], [Store(tmp_path).samples_ns(row.measurement)])


class TestTimes:
    def test_keep_the_samples(self, tmp_path: Path) -> None:
        row = recorded(tmp_path, "trtexec-times")
        assert (row.summary.samples, row.summary.processes, row.processes) == (3, 1, 1)
        assert row.summary.parts["compute"] == 3_140_620
        assert row.summary.p99 is None
        assert as_json(row)["load_ms"] is None, "a trace does not tell how long loading took"
        assert "load ms" in shown(row)
        assert "0.00" not in shown(row).partition("load ms")[2].splitlines()[0]


class TestStdout:
    def test_gives_the_figures_of_trtexec_as_far_as_they_are_supported(self, tmp_path: Path) -> None:
        told = as_json(recorded(tmp_path, "trtexec-stdout"))
        assert (told["median_ms"], told["p99_ms"], told["samples"]) == (3.14062, 3.15039, 956)
        assert told["throughput_per_s"] == pytest.approx(4 * 318.007)
        assert (told["drift"], told["spread"], told["median_half_width_ms"]) == (None, None, None)

    def test_has_no_load_pattern_where_the_text_does_not_tell(self, tmp_path: Path) -> None:
        row = recorded(tmp_path, "trtexec-stdout")
        assert as_json(row)["pattern"] is None
        assert "serial" not in shown(row)
        told = imported(Store(tmp_path), RECORDED / "trtexec-11.1.0-derived.txt", "trtexec-stdout")
        assert as_json(told)["pattern"] == "pipelined"

    def test_began_at_the_time_that_it_prints_as_if_that_were_utc(self, tmp_path: Path) -> None:
        row = recorded(tmp_path, "trtexec-stdout")
        assert row.measurement.result.started_at == "2025-05-13T10:36:46"
        assert record(row, 0)["started_at"] == "2025-05-13T10:36:46.000000Z"

    def test_of_31_inferences_has_no_tail(self, tmp_path: Path) -> None:
        row = imported(Store(tmp_path), RECORDED / "trtexec-8.6.3-v100-summary.txt", "trtexec-stdout")
        assert row.summary.samples == 31
        assert (row.summary.p90_ns, row.summary.p95_ns, row.summary.p99) == (None, None, None)
        assert row.summary.median is not None

    def test_has_no_samples_to_write(self, tmp_path: Path) -> None:
        row = recorded(tmp_path, "trtexec-stdout")
        bare = replace(given(), measurement=row.measurement, summary=row.summary, verdict=row.verdict)
        for form in ("trtexec-times", "optimum-benchmark", "loadgen", "samples-csv"):
            with pytest.raises(ConfigError, match="has figures and no samples"):
                writer(form)([bare])
        for form in ("markdown", "github-smaller", "github-bigger"):
            assert b"resnet50" in writer(form)([bare])


class TestAProfile:
    def test_has_layers_and_no_latency(self, tmp_path: Path) -> None:
        row = recorded(tmp_path, "trtexec-profile")
        told = as_json(row)
        assert (told["median_ms"], told["mean_ms"], told["throughput_per_s"]) == (None, None, None)
        assert told["slowest_layers"]
        assert "latency  " in shown(row)
        assert "streams" not in "".join(notes([row])), "nothing is said of streams that nobody saw"


class TestOptimumBenchmark:
    def export(self, folder: Path) -> Path:
        path = folder / "benchmark.json"
        path.write_bytes(optimum_benchmark.write([given()]))
        return path

    def test_ours_to_theirs_to_ours_keeps_the_figures(self, tmp_path: Path) -> None:
        one = given()
        row = imported(Store(tmp_path), self.export(tmp_path), "optimum-benchmark", Asked("orin-1"))
        kept = ("samples", "mean_ns", "p90_ns", "p95_ns", "load_ns", "first_inference_ns")
        assert [getattr(row.summary, name) for name in kept] == [getattr(one.summary, name) for name in kept]
        assert row.summary.throughput_per_s == pytest.approx(one.summary.throughput_per_s, rel=1e-9)
        assert row.summary.p99 is not None
        assert one.summary.p99 is not None
        assert row.summary.p99.value_ns == one.summary.p99.value_ns
        assert row.measurement.cell.batch == 8
        assert row.processes is None, "their file does not tell"
        assert as_json(row)["processes"] is None
        assert "how many processes is not told" in shown(row)

    def test_what_the_file_tells_is_not_told_otherwise(self, tmp_path: Path) -> None:
        path = self.export(tmp_path)
        with pytest.raises(ConfigError, match="says that the batch is 8, not 4; leave out --batch"):
            measurement_of(path, "optimum-benchmark", Asked("orin-1", batch=4))

    def test_a_model_has_the_name_that_the_operator_gives_it(self, tmp_path: Path) -> None:
        measurement, _ = measurement_of(self.export(tmp_path), "optimum-benchmark", Asked("orin-1", "mine"))
        assert measurement.cell.model == "mine"
        assert measurement.result.context["model"].value == "resnet18"


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("asked", "said"),
        [
            (replace(ASKED, model=""), "does not tell the model; say it with --model"),
            (replace(ASKED, batch=None), "does not tell the batch; say it with --batch"),
            (replace(ASKED, precision=None), "does not tell the precision; say it with --precision"),
            (replace(ASKED, device=""), "--device: '' is no name"),
            (replace(ASKED, model="a\nb"), "--model: .* is no name"),
        ],
    )
    def test_what_nobody_told(self, asked: Asked, said: str) -> None:
        with pytest.raises(ConfigError, match=said):
            measurement_of(RECORDED / "times-derived.json", "trtexec-times", asked)

    @pytest.mark.parametrize("form", [*FILES, "optimum-benchmark"])
    @pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"[]", b"{}", b"null", b"[" * 100_000, b'[{"latencyMs": 1}]'])
    def test_a_file_that_is_none(self, tmp_path: Path, form: str, data: bytes) -> None:
        path = tmp_path / "file"
        path.write_bytes(data)
        with pytest.raises(ConfigError, match=f"is it of the form {form}"):
            measurement_of(path, form, ASKED)

    def test_a_latency_that_is_none(self, tmp_path: Path) -> None:
        path = tmp_path / "times.json"
        path.write_text(
            (RECORDED / "times-derived.json").read_text().replace('"latencyMs" : 3.1936', '"latencyMs" : 0')
        )
        with pytest.raises(ConfigError, match="a sample is not positive"):
            measurement_of(path, "trtexec-times", ASKED)

    def test_a_file_that_is_not_there_and_a_form_that_is_not(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="cannot be read"):
            measurement_of(tmp_path / "none", "trtexec-times", ASKED)
        with pytest.raises(ConfigError, match="unknown format 'trtexec'"):
            measurement_of(RECORDED / "times-derived.json", "trtexec", ASKED)


def test_the_same_file_is_the_same_measurement_and_another_description_is_another() -> None:
    path = RECORDED / "times-derived.json"
    ids = [measurement_of(path, "trtexec-times", asked)[0].id for asked in (ASKED, ASKED, replace(ASKED, batch=8))]
    assert ids[0] == ids[1] != ids[2]


def test_a_measurement_stored_before_is_not_foreign() -> None:
    row = read(Store(STORED), "0123456789abcdef")
    assert row.foreign is None
    assert from_json(Measurement, to_json(row.measurement)) == row.measurement


def test_a_result_without_processes_is_that_of_another_tool_alone() -> None:
    fields = (SCHEMA, "job-1", "", "trtexec", "", {}, {}, {}, (), 0, hashlib.sha256(b"").hexdigest(), {})
    assert JobResult(*fields, task="foreign").processes == ()  # type: ignore[arg-type]
    with pytest.raises(SchemaViolation, match="nothing was measured"):
        JobResult(*fields)  # type: ignore[arg-type]
