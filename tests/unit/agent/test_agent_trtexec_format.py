"""What trtexec prints and writes: recorded output of 8.5 to 10.16, and the shape of 11 (see recorded/README.md)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from device_agents.formats import trtexec, trtexec_exports
from device_agents.formats.trtexec import Settings

RECORDED = Path(__file__).parent / "recorded"
LOGS = sorted(path.name for path in RECORDED.glob("trtexec-*.txt"))


def text_of(name: str) -> str:
    return (RECORDED / name).read_text()


class TestVersion:
    @pytest.mark.parametrize(
        ("banner", "version"),
        [
            ("&&&& RUNNING TensorRT.trtexec [TensorRT v8502] # trtexec --help", "8.5.2"),
            ("&&&& RUNNING TensorRT.trtexec [TensorRT v8602]", "8.6.2"),
            ("&&&& RUNNING TensorRT.trtexec [TensorRT v100300] # /usr/src/tensorrt/bin/trtexec", "10.3.0"),
            ("&&&& PASSED TensorRT.trtexec [TensorRT v100300] [b17] # trtexec", "10.3.0.17"),
            ("&&&& RUNNING TensorRT.trtexec [TensorRT v101602] [b10] # trtexec", "10.16.2.10"),
            ("&&&& RUNNING TensorRT.trtexec [TensorRT v110100] [b106] # trtexec --help", "11.1.0.106"),
            ("&&&& RUNNING TensorRT.trtexec [TensorRT v11.1.0.106] [b48] # trtexec", "11.1.0.106"),
        ],
    )
    def test_to_the_build_number_where_it_is_told(self, banner: str, version: str) -> None:
        assert trtexec.parse_version(f"some library's chatter\n{banner}\n=== Model Options ===\n") == version

    @pytest.mark.parametrize("text", ["", "bash: trtexec: command not found\n", "&&&& RUNNING something else\n"])
    def test_another_program_has_no_banner(self, text: str) -> None:
        with pytest.raises(ValueError, match="no banner"):
            trtexec.parse_version(text)


class TestVerdict:
    def test_passed_and_failed(self) -> None:
        assert trtexec.parse_verdict(text_of("trtexec-10.3.0-orin-summary.txt")) is True
        assert trtexec.parse_verdict(text_of("trtexec-10.8.0-failed-builder.txt")) is False

    def test_a_run_that_was_killed_did_neither(self) -> None:
        with pytest.raises(ValueError, match="without PASSED or FAILED"):
            trtexec.parse_verdict(text_of("trtexec-8.5.2-xavier-nx-head.txt"))


class TestSettings:
    @pytest.mark.parametrize("name", ["trtexec-8.5.2-xavier-nx-head.txt", "trtexec-11.1.0-derived.txt"])
    def test_what_a_run_set(self, name: str) -> None:
        assert trtexec.parse_settings(text_of(name)) == Settings(1, False, True, False, False)

    def test_every_switch_is_read(self) -> None:
        text = text_of("trtexec-11.1.0-derived.txt")
        for before, after in (
            ("Inference Streams: 1", "Inference Streams: 2"),
            ("ExposeDMA: Disabled", "ExposeDMA: Enabled"),
            ("Data transfers: Enabled", "Data transfers: Disabled"),
            ("Spin-wait: Disabled", "Spin-wait: Enabled"),
            ("CUDA Graph: Disabled", "CUDA Graph: Enabled"),
        ):
            text = text.replace(before, after)
        assert trtexec.parse_settings(text) == Settings(2, True, False, True, True)

    def test_a_setting_that_is_not_told_is_named(self) -> None:
        with pytest.raises(ValueError, match="CUDA Graph"):
            trtexec.parse_settings(text_of("trtexec-10.3.0-orin-nx-head.txt"))


class TestSummary:
    def test_of_8_6(self) -> None:
        found = trtexec.parse_summary(text_of("trtexec-8.6.3-v100-summary.txt"))
        assert found.throughput_per_s == 9.56737
        assert found.latency.median_ns == 105_593_000
        assert found.latency.percentiles_ns == {90.0: 106_558_000, 95.0: 106_747_000, 99.0: 106_878_000}
        assert found.enqueue.max_ns == 105_498_000
        assert found.h2d.min_ns == 438_232
        assert found.compute.mean_ns == 104_457_000
        assert found.d2h.median_ns == 668_213
        assert found.walltime_s == 3.24018

    def test_of_10_without_transfers(self) -> None:
        found = trtexec.parse_summary(text_of("trtexec-10.3.0-orin-summary.txt"))
        assert found.h2d.max_ns == found.d2h.max_ns == 0
        assert found.latency == found.compute

    def test_of_10_with_a_cuda_graph(self) -> None:
        text = text_of("trtexec-10.7.0-rtx4090-run.txt")
        assert trtexec.parse_summary(text).enqueue.median_ns == 3_601
        assert trtexec.parse_load_s(text) == 0.212037
        assert trtexec.parse_device_memory(text) == round(1024.62 * 2**20)

    def test_loading_is_more_than_reading_the_file(self) -> None:
        """8.5 read the file in 37 ms and took two seconds more to make an engine of it."""
        assert trtexec.parse_load_s(text_of("trtexec-8.5.2-xavier-nx-load.txt")) == pytest.approx(1.9288776)

    def test_what_is_not_told_is_none(self) -> None:
        text = text_of("trtexec-8.6.3-v100-summary.txt")
        assert trtexec.parse_load_s(text) is None
        assert trtexec.parse_device_memory(text) is None

    @pytest.mark.parametrize("metric", ["Latency", "Enqueue Time", "H2D Latency", "GPU Compute Time", "D2H Latency"])
    def test_a_summary_that_lacks_a_metric_names_it(self, metric: str) -> None:
        lines = text_of("trtexec-10.3.0-orin-summary.txt").splitlines()
        kept = "\n".join(line for line in lines if f"[I] {metric}:" not in line)
        with pytest.raises(ValueError, match=metric):
            trtexec.parse_summary(kept)


class TestWarnings:
    def test_those_that_matter_each_once(self) -> None:
        found = trtexec.parse_warnings(text_of("trtexec-8.4-failed-static-shapes.txt"))
        assert [warn.kind for warn in found] == ["enqueue_bound", "unstable"]
        assert found[1].text == "GPU compute time is unstable, with coefficient of variance = 4.60091%."

    @pytest.mark.parametrize(
        ("line", "kind"),
        [
            (
                "* Throughput may be bound by host-to-device transfers for the inputs rather than GPU Compute",
                "h2d_bound",
            ),
            ("* Throughput may be bound by device-to-host transfers for the outputs", "d2h_bound"),
            (
                "* Multiple inference streams are used. Latencies may not be accurate since inferences may",
                "several_streams",
            ),
            (
                "The built TensorRT engine contains operations that are not permitted under CUDA graph capture mode.",
                "no_cuda_graph",
            ),
        ],
    )
    def test_kinds(self, line: str, kind: str) -> None:
        assert [warn.kind for warn in trtexec.parse_warnings(f"[08/12/2026-12:34:56] [W] {line}\n")] == [kind]

    def test_a_good_run_has_none(self) -> None:
        assert trtexec.parse_warnings(text_of("trtexec-10.7.0-rtx4090-run.txt")) == ()


class TestFailure:
    def test_an_operator_that_is_unknown(self) -> None:
        found = trtexec.parse_failure(text_of("trtexec-8.6.1-failed-operator.txt"))
        assert found.kind == "operator"
        assert "Plugin not found" in found.message

    def test_a_node_without_an_implementation(self) -> None:
        found = trtexec.parse_failure(text_of("trtexec-8.5.1-failed-implementation.txt"))
        assert found.kind == "implementation"
        assert found.node == "ConvTranspose_56 + BatchNormalization_57 + Relu_58"

    def test_shapes_for_a_static_model(self) -> None:
        found = trtexec.parse_failure(text_of("trtexec-8.4-failed-static-shapes.txt"))
        assert found.kind == "shapes"
        assert found.message.startswith("Static model does not take explicit shapes")

    def test_an_error_of_another_kind_is_told_as_it_is(self) -> None:
        found = trtexec.parse_failure(text_of("trtexec-10.8.0-failed-builder.txt"))
        assert found.kind == "other"
        assert found.message == "Error Code 2: Internal Error (Assertion validateCaskKLibSize(buffer.size) failed. )"

    @pytest.mark.parametrize(
        ("lines", "kind", "node", "operator"),
        [
            # NVIDIA/TensorRT issues and forums, one message each
            (["Unknown option: --fp16 "], "option", "", ""),
            (["Error[1]: [defaultAllocator.cpp::allocate::19] Error Code 1: Cuda Runtime (out of memory)"],
             "memory", "", ""),
            (["[TRT] 2: [virtualMemoryBuffer.cpp::resizePhysical::160] Error Code 2: OutOfMemory (no further)"],
             "memory", "", ""),
            (["[TRT] 6: The engine plan file is not compatible with this version of TensorRT, please rebuild.",
              "Engine set up failed"], "engine", "", ""),
            (["Error[1]: [stdArchiveReader.cpp::40] Error Code 1: Serialization (Version tag does not match.)"],
             "engine", "", ""),
            (["[TRT] ModelImporter.cpp:726: While parsing node number 12 [DCNv2 -> \"531\"]:",
              "[TRT] ModelImporter.cpp:727: --- Begin node ---",
              "[TRT] ModelImporter.cpp:732: ERROR: builtin_op_importers.cpp:5428 In function importFallback:"],
             "operator", "531", "DCNv2"),
            (["In node 1481 with name: 2569 and operator: RoiAlign (importRoiAlign): UNSUPPORTED_NODE: Assertion"],
             "operator", "2569", "RoiAlign"),
        ],
    )  # fmt: skip
    def test_kinds(self, lines: list[str], kind: str, node: str, operator: str) -> None:
        text = "".join(f"[09/09/2025-10:24:51] [E] {line}\n" for line in lines)
        found = trtexec.parse_failure(f"[09/09/2025-10:24:51] [E] Engine set up failed\n{text}")
        assert (found.kind, found.node, found.operator) == (kind, node, operator)

    def test_the_help_that_follows_a_bad_option_is_no_reason(self) -> None:
        """8.5 prints it behind the error; the words in it are those of other failures."""
        told = "[10/21/2025-15:16:09] [E] Negative memory pool size: -1.0"
        help_text = "=== Model Options ===\n  --uff=<file>  UFF model\n\n=== Inference Options ===\n  --timeDeserialize"
        found = trtexec.parse_failure(f"{told}\n{help_text}\n&&&& FAILED TensorRT.trtexec [TensorRT v8502] # x\n")
        assert (found.kind, found.message) == ("other", "Negative memory pool size: -1.0")

    def test_no_error_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="no error"):
            trtexec.parse_failure(text_of("trtexec-10.7.0-rtx4090-run.txt"))


class TestTimes:
    def test_an_inference_taken_apart_in_whole_nanoseconds(self) -> None:
        trace = trtexec_exports.parse_times(text_of("times-derived.json"))
        first = trace[0]
        assert len(trace) == 3
        assert (first.latency_ns, first.h2d_ns, first.compute_ns, first.d2h_ns) == (3_193_600, 48_096, 3_140_620, 4_883)
        assert first.enqueue_ns == 911_000
        assert all(type(value) is int for value in first)

    def test_the_wall_time_is_trtexec_s(self) -> None:
        trace = trtexec_exports.parse_times(text_of("times-derived.json"))
        assert trtexec_exports.walltime_ns(trace) == 3_012_629_000

    @pytest.mark.parametrize(("count", "step_ns"), [(1, 1_000), (2, 10_000), (3, 10_000)])
    def test_points_in_time_lose_digits_as_the_run_goes_on(self, count: int, step_ns: int) -> None:
        trace = trtexec_exports.parse_times(text_of("times-derived.json"))[:count]
        assert trtexec_exports.enqueue_step_ns(trace) == step_ns

    def test_is_held_against_what_trtexec_sums_up(self) -> None:
        """The trace was made after this summary: its median, and three seconds from first to last."""
        trace = trtexec_exports.parse_times(text_of("times-derived.json"))
        told = trtexec.parse_summary(text_of("trtexec-10.3.0-orin-summary.txt"))
        assert trtexec_exports.unlike_summary(trace, told) == ""
        with_warm_up = [trace[0]._replace(begin_ns=0), *trace]
        assert trtexec_exports.unlike_summary(with_warm_up, told).startswith("wall time 3212.64 ms, not 30")
        in_us = [one._replace(compute_ns=one.compute_ns // 1000) for one in trace]
        assert trtexec_exports.unlike_summary(in_us, told).startswith("median compute time 0.00314")

    def test_fields_of_older_and_newer_versions_are_passed_over(self) -> None:
        text = text_of("times-derived.json").replace('"latencyMs"', '"endToEndMs" : 9, "new" : [1], "latencyMs"')
        assert len(trtexec_exports.parse_times(text)) == 3

    @pytest.mark.parametrize(
        ("before", "after", "told"),
        [
            ('"computeMs" : 3.14771', '"computeMs" : "fast"', "entry 1 lacks the number 'computeMs'"),
            ('"computeMs" : 3.14771', '"computeMs" : -1', "entry 1 has a negative 'computeMs'"),
            ('"computeMs" : 3.14771', '"computeMs" : nan', "entry 1 has nan for 'computeMs'"),
            ('"computeMs" : 3.14771', '"computeMs" : 1e999', "entry 1 has inf for 'computeMs'"),
            ('"endEnqMs" : 1211.12', '"endEnqMs" : 211.12', "record 1 ends before it begins"),
        ],
    )
    def test_a_record_that_cannot_be_is_named(self, before: str, after: str, told: str) -> None:
        with pytest.raises(ValueError, match=told):
            trtexec_exports.parse_times(text_of("times-derived.json").replace(before, after))

    @pytest.mark.parametrize("text", ["[]", "{}", "null", "[1]", "[" * 100_000])
    def test_what_is_no_trace(self, text: str) -> None:
        with pytest.raises(ValueError, match="the trace of trtexec"):
            trtexec_exports.parse_times(text)


class TestProfile:
    def test_of_8_4_without_medians(self) -> None:
        found = trtexec_exports.parse_profile(text_of("profile-8.4.json"))
        assert len(found) == 6
        assert found[1] == ("Conv_0 + PWN(Clip_3)", 66_277, None, 1.36062)
        assert found[3].mean_ns == 0

    def test_of_8_6(self) -> None:
        found = trtexec_exports.parse_profile(text_of("profile-8.6.json"))
        assert found == [("/conv1/Conv + /act1/Relu", 28_038, 27_872, 100.0)]

    def test_a_layer_that_never_ran_has_no_mean(self) -> None:
        text = text_of("profile-8.6.json").replace("0.0280382", "-nan").replace("0.027872", "inf")
        found = trtexec_exports.parse_profile(text)[0]
        assert (found.mean_ns, found.median_ns) == (0, 0)

    def test_names_go_out_unescaped(self) -> None:
        text = text_of("profile-8.6.json").replace("/conv1/Conv", "nan\tinf /conv1/Conv")
        assert trtexec_exports.parse_profile(text)[0].name == "nan\tinf /conv1/Conv + /act1/Relu"

    def test_a_profile_without_layers(self) -> None:
        with pytest.raises(ValueError, match="holds no layer"):
            trtexec_exports.parse_profile('[ { "count" : 625 } ]')


class TestOutput:
    def test_values_by_tensor(self) -> None:
        found = trtexec_exports.parse_output(text_of("output-derived.json"))
        assert found["logits"].shape == (2, 3)
        assert found["logits"].values[:3] == [-0.124387, 1.5, 3e-05]
        assert str(found["logits"].values[3:]) == "[nan, inf, -inf]"
        assert found["count"] == ((), [7])

    @pytest.mark.parametrize(
        ("before", "after", "told"),
        [
            ('"2x3"', '"2x4"', "has 6 values"),
            ('"2x3"', '"2x"', "no dimensions"),
            ('"2x3"', "6", "no dimensions"),
            ("1.5", '"1.5"', "no number"),
            ('"name" : "logits"', '"called" : "logits"', "lacks its name"),
        ],
    )
    def test_what_does_not_fit_is_named(self, before: str, after: str, told: str) -> None:
        with pytest.raises(ValueError, match=told):
            trtexec_exports.parse_output(text_of("output-derived.json").replace(before, after))


LOG_READERS: tuple[Callable[[str], Any], ...] = (
    trtexec.parse_version, trtexec.parse_verdict, trtexec.parse_settings, trtexec.parse_summary,
    trtexec.parse_load_s, trtexec.parse_device_memory, trtexec.parse_warnings, trtexec.parse_failure,
)  # fmt: skip
FILE_READERS = (
    (trtexec_exports.parse_times, "times-derived.json"),
    (trtexec_exports.parse_profile, "profile-8.4.json"),
    (trtexec_exports.parse_profile, "profile-8.6.json"),
    (trtexec_exports.parse_output, "output-derived.json"),
)


class TestCut:
    """Wherever a text ends: the value, or a ValueError in words, and nothing else."""

    @pytest.mark.parametrize("name", LOGS)
    @pytest.mark.parametrize("read", LOG_READERS, ids=lambda read: read.__name__)
    def test_a_log(self, name: str, read: Callable[[str], Any]) -> None:
        for text in _cut(text_of(name)):
            _value_or_words(read, text)

    @pytest.mark.parametrize(("read", "name"), FILE_READERS, ids=lambda value: getattr(value, "__name__", value))
    def test_a_file_is_whole_or_refused(self, read: Callable[[str], Any], name: str) -> None:
        for text in _cut(text_of(name).strip()):
            with pytest.raises(ValueError, match="of trtexec is cut or garbled"):
                read(text)

    @pytest.mark.parametrize("name", ["trtexec-8.6.3-v100-summary.txt", "trtexec-10.7.0-rtx4090-run.txt"])
    def test_a_cut_summary_is_never_read_as_another(self, name: str) -> None:
        whole = text_of(name)
        told = trtexec.parse_summary(whole)
        for text in _cut(whole):
            found = _value_or_words(trtexec.parse_summary, text)
            assert found is None or found == told


def _cut(text: str) -> list[str]:
    return [text[:end] for end in range(0, len(text), 37)]


def _value_or_words(read: Callable[[str], Any], text: str) -> Any:
    try:
        return read(text)
    except ValueError as error:
        words = str(error)
    assert len(words) > 10
    return None
