"""trtexec's files, written as trtexec writes them, and read back with the figures that they came from."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from device_agents.contract import Layer, LoadPattern
from device_agents.formats import trtexec_exports
from edge.results.interop import trtexec_profile, trtexec_stdout, trtexec_times
from profiles.errors import ConfigError
from tests.interop_lab import COUNT, given, pipelined, strict_json

RECORDED = Path(__file__).parents[1] / "agent" / "recorded"
_NUMBER = re.compile(r"(?<= : )-?[\d.e+-]+")
_NAME = re.compile(r'(?<="name" : )"(?:[^"\\]|\\.)*"')


def shape_of(text: str) -> list[str]:
    """The lines without their numbers and names, each kind once, in the order in which it first comes."""
    lines = (_NAME.sub("NAME", _NUMBER.sub("NUMBER", line)) for line in text.strip().splitlines())
    return list(dict.fromkeys(line.rstrip() for line in lines))


class TestTimes:
    def test_have_the_layout_and_the_fields_of_a_file_of_trtexec(self) -> None:
        recorded = (RECORDED / "times-derived.json").read_text()
        assert shape_of(trtexec_times.write([given()]).decode()) == shape_of(recorded)

    def test_hold_every_timed_inference_of_every_process_with_its_parts(self) -> None:
        one = given()
        trace = trtexec_exports.parse_times(trtexec_times.write([one]).decode())
        assert len(trace) == 2 * COUNT
        for name in ("h2d", "compute", "d2h", "enqueue"):
            kept = np.concatenate([one.of(process.parts[name]) for process in one.processes])
            assert [getattr(inference, f"{name}_ns") for inference in trace] == kept.tolist()
        assert all(
            inference.latency_ns == inference.h2d_ns + inference.compute_ns + inference.d2h_ns for inference in trace
        )
        begins = [inference.begin_ns for inference in trace]
        assert begins == sorted(begins)

    @pytest.mark.parametrize("make", [given, pipelined])
    def test_read_back_have_the_load_pattern_and_the_throughput(self, make: object) -> None:
        one = make()  # type: ignore[operator]
        found = trtexec_times.read(trtexec_times.write([one]).decode())
        assert found.pattern == one.measurement.cell.pattern
        per_s = len(found.latencies_ns) / (found.elapsed_ns / 1e9)
        assert 8 * per_s == pytest.approx(one.summary.throughput_per_s, rel=0.003)

    def test_without_parts_all_of_a_latency_counts_as_computing(self) -> None:
        one = given(parts=False)
        trace = trtexec_exports.parse_times(trtexec_times.write([one]).decode())
        assert [inference.compute_ns for inference in trace] == one.timed().tolist()
        assert {inference.h2d_ns for inference in trace} == {0}

    def test_of_several_measurements_or_streams_are_refused(self) -> None:
        with pytest.raises(ConfigError, match="trtexec-times holds one measurement, 2 were given"):
            trtexec_times.write([given(), given()])
        with pytest.raises(ConfigError, match="overlap on 2 streams"):
            trtexec_times.write([given(switches={"streams": 2})])

    def test_are_read_as_trtexec_writes_them(self) -> None:
        found = trtexec_times.read((RECORDED / "times-derived.json").read_text())
        assert found.latencies_ns == [3_193_600, 3_202_880, 3_189_700]
        assert found.parts_ns["compute"] == [3_140_620, 3_147_710, 3_137_210]
        assert (found.pattern, found.processes) == (LoadPattern("serial"), 1)
        assert not found.context

    def test_of_an_early_version_may_hold_its_warm_up(self) -> None:
        text = (RECORDED / "times-derived.json").read_text().replace(" }", ', "endToEndMs" : 3.3 }')
        assert "before 8.5" in str(trtexec_times.read(text).context["warm-up left out"].unknown)


class TestAProfile:
    def test_has_the_layout_of_a_file_of_trtexec(self) -> None:
        recorded = (RECORDED / "profile-8.4.json").read_text()
        assert shape_of(trtexec_profile.write([given()]).decode()) == shape_of(recorded)

    def test_read_back_has_the_layers_with_their_times(self) -> None:
        awkward = (
            Layer('a "quoted" \\ name\n', "fp16", time_ns=123_457),
            Layer("b", "fp32", time_ns=1),
            Layer("c", "fp32"),
        )
        text = trtexec_profile.write([given(layers=awkward)]).decode()
        assert [(one.name, one.mean_ns) for one in trtexec_exports.parse_profile(text)] == [
            (awkward[0].name, 123_457), ("b", 1),
        ]  # fmt: skip
        assert sum(entry.get("percentage", 0) for entry in strict_json(text.encode())) == pytest.approx(100)

    def test_of_layers_without_times_is_refused(self) -> None:
        with pytest.raises(ConfigError, match=r"no layer of orin-1 .* was timed"):
            trtexec_profile.write([given(layers=(Layer("conv1", "fp16"),))])

    def test_is_read_as_layers_and_no_latency(self) -> None:
        found = trtexec_profile.read((RECORDED / "profile-8.6.json").read_text())
        assert [(one.name, one.time_ns) for one in found.layers] == [("/conv1/Conv + /act1/Relu", 28_038)]
        assert found.told is not None
        assert (found.told.inferences, found.told.latencies_ns, found.told.throughput_per_s) == (41_400, {}, None)


class TestStdout:
    def test_of_10_3(self) -> None:
        found = trtexec_stdout.read((RECORDED / "trtexec-10.3.0-orin-summary.txt").read_text())
        assert (found.tool, found.started_at) == ("trtexec 10.3.0", "2025-05-13T10:36:46")
        assert found.command.startswith("/usr/src/tensorrt/bin/trtexec --onnx=")
        assert found.told is not None
        assert found.told.inferences == 956, "318.007 a second for 3.00622 s"
        assert found.told.latencies_ns == {
            "mean": 3_140_680, "median": 3_140_620, "p90": 3_145_870, "p95": 3_147_710, "p99": 3_150_390,
        }  # fmt: skip
        assert found.pattern is None
        assert "streams, transfers" in found.context

    def test_of_10_7_and_of_11_tell_their_settings_and_their_load(self) -> None:
        found = trtexec_stdout.read((RECORDED / "trtexec-11.1.0-derived.txt").read_text())
        assert (found.tool, found.pattern) == ("trtexec 11.1.0.106", LoadPattern("pipelined"))
        assert (found.switches["streams"], found.switches["cuda_graph"]) == (1, False)
        loaded = trtexec_stdout.read((RECORDED / "trtexec-10.7.0-rtx4090-run.txt").read_text())
        assert loaded.told is not None
        assert loaded.tool == "trtexec 10.7.0"
        assert loaded.told.load_ns == 212_037_000
        assert "engine_device_bytes" in loaded.context

    def test_that_went_through_a_windows_machine_is_the_same(self) -> None:
        text = (RECORDED / "trtexec-10.3.0-orin-summary.txt").read_text()
        assert trtexec_stdout.read(text.replace("\n", "\r\n")) == trtexec_stdout.read(text)

    def test_of_several_streams_have_no_latency(self) -> None:
        text = (
            (RECORDED / "trtexec-11.1.0-derived.txt")
            .read_text()
            .replace("Inference Streams: 1", "Inference Streams: 2")
        )
        found = trtexec_stdout.read(text)
        assert found.told is not None
        assert found.told.latencies_ns == {}
        assert found.told.throughput_per_s

    def test_of_a_run_that_failed_is_refused_with_its_reason(self) -> None:
        with pytest.raises(ValueError, match=r"trtexec failed in this run: .+"):
            trtexec_stdout.read((RECORDED / "trtexec-10.8.0-failed-builder.txt").read_text())

    @pytest.mark.parametrize(
        "name", ["trtexec-11.1.0-derived.txt", "trtexec-10.3.0-orin-summary.txt", "trtexec-10.7.0-rtx4090-run.txt"]
    )
    def test_of_several_runs_is_none(self, name: str) -> None:
        with pytest.raises(ValueError, match="it holds 3 runs of trtexec; cut it into one file each"):
            trtexec_stdout.read(3 * (RECORDED / name).read_text())

    def test_after_that_of_a_build_is_refused_as_its_options_are_of_either(self) -> None:
        built = (RECORDED / "trtexec-10.3.0-orin-nx-head.txt").read_text()
        with pytest.raises(ValueError, match="it holds 2 runs of trtexec"):
            trtexec_stdout.read(built + (RECORDED / "trtexec-11.1.0-derived.txt").read_text())

    @pytest.mark.parametrize(
        ("told", "typed", "batch"),
        [
            ("Batch: 8", "--deploy=net.prototxt --batch=8", 8),
            ("Batch: 8", "--deploy=net.prototxt", 8),
            ("Batch: 1", "--loadEngine=net.engine", None),
            ("Batch: Explicit", "--onnx=net.onnx --shapes=x:8x3x8x8 --batch=8", None),
            ("", "--deploy=net.prototxt --batch=8", 8),
            ("", "--deploy=net.prototxt --maxBatch=8", None),
        ],
    )
    def test_of_an_implicit_batch_has_the_throughput_of_inferences(
        self, told: str, typed: str, batch: int | None
    ) -> None:
        """samples/common/sampleReporting.cpp of TensorRT 8: batchSize * timings.size() / walltime."""
        head = (RECORDED / "trtexec-8.5.2-xavier-nx-head.txt").read_text().replace("Batch: 1\n", f"{told}\n")
        if not told:
            head = head.partition("\n")[0] + "\n"
        typed_head = re.sub(r"--loadEngine=.*", typed, head)
        summary = (RECORDED / "trtexec-8.6.3-v100-summary.txt").read_text()
        found = trtexec_stdout.read(typed_head + summary)
        assert found.told is not None
        assert found.told.throughput_per_s is not None
        assert (found.batch, found.told.inferences) == (batch, 31 if batch is None else round(31 / batch))
        assert found.told.throughput_per_s == pytest.approx(9.56737 / (batch or 1))

    def test_that_is_cut_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no 'Performance summary'"):
            trtexec_stdout.read((RECORDED / "trtexec-10.3.0-orin-nx-head.txt").read_text())
