"""What crosses the boundary to a device: it comes back as it went, and everything else is refused by its place."""

from __future__ import annotations

from typing import Any

import pytest

from device_agents.codec import MAX_ITEMS, MAX_STRING
from device_agents.contract import (
    SCHEMA,
    ErrorInfo,
    FileEntry,
    JobResult,
    JobSpec,
    JobStatus,
    LoadPattern,
    ParityCheck,
    Precision,
    ProcessResult,
    Reading,
    SampleRange,
    SchemaViolation,
    TensorSpec,
    Timing,
    dumps,
    from_json,
    loads,
    to_json,
)

MODEL = FileEntry("model.onnx", 46_000_000, "0" * 64)
GOLDEN = FileEntry("golden.npz", 5_000_000, "f" * 64)
IMAGES = TensorSpec("images", "float32", (8, 3, 224, 224), low=-2.1, high=2.6)
SPEC = JobSpec(
    schema=SCHEMA,
    job="c0ffee-run1-1",
    backend="onnxruntime",
    artifact="a" * 64,
    files=(MODEL, GOLDEN),
    model_file="model.onnx",
    precision=Precision.FP16,
    inputs=(IMAGES,),
    outputs=(TensorSpec("logits", "float32", ("batch", 1000)),),
    batch=8,
    pattern=LoadPattern("pipelined"),
    timing=Timing.quick(),
    golden_file="golden.npz",
    parity_limit=1e-3,
    options={"threads": 4, "graph": True, "scale": 0.5, "provider": "cpu"},
)
PROCESS = ProcessResult(
    index=0,
    import_ns=200_000_000,
    load_ns=90_000_000,
    first_inference_ns=30_000_000,
    warmup=SampleRange(0, 50),
    timed=SampleRange(50, 150),
    elapsed_ns=4_000_000_000,
    warmup_stable=True,
    timer_overhead_ns=120,
    peak_rss_bytes=300_000_000,
    seconds={"load": 0.09},
    parity_before=ParityCheck(1e-6, 1e-3, "logits"),
    state={"governor": Reading("performance", "sysfs"), "power_mw": Reading(unknown="no sensor")},
)
RESULT = JobResult(
    schema=SCHEMA,
    job=SPEC.job,
    artifact=SPEC.artifact,
    backend="onnxruntime",
    started_at="2026-01-01T00:00:00Z",
    switches={"spin": True},
    identity={"cpu": Reading("Cortex-A78AE", "/proc/cpuinfo")},
    context={"load": Reading(0.1, "/proc/loadavg")},
    processes=(PROCESS,),
    samples_count=200,
    samples_sha256="0" * 64,
    seconds={"total": 5.0},
)
STATUS = JobStatus(SPEC.job, "failed", pid=4711, error=ErrorInfo("run", "load", "no such provider", fix="--backend"))


def changed(value: Any, **changes: Any) -> dict[str, Any]:
    return {**to_json(value), **changes}


def refusal(kind: type, data: Any) -> SchemaViolation:
    with pytest.raises(SchemaViolation) as caught:
        from_json(kind, data)
    return caught.value


class TestRoundTrip:
    @pytest.mark.parametrize("value", [SPEC, RESULT, STATUS, Timing(), IMAGES], ids=lambda value: type(value).__name__)
    def test_what_goes_out_comes_back_equal(self, value: Any) -> None:
        assert from_json(type(value), loads(dumps(value))) == value

    def test_equal_values_give_equal_bytes(self) -> None:
        turned = JobStatus(error=STATUS.error, pid=4711, state="failed", job=SPEC.job)
        assert dumps(turned) == dumps(STATUS)
        assert dumps({"b": 1, "a": 2}) == '{"a":2,"b":1}'

    def test_what_is_none_is_left_out(self) -> None:
        assert "error" not in to_json(JobStatus(SPEC.job, "done"))

    def test_types_survive_that_python_takes_for_one_another(self) -> None:
        options = from_json(JobSpec, loads(dumps(SPEC))).options
        assert {name: type(value) for name, value in options.items()} == {
            "threads": int,
            "graph": bool,
            "scale": float,
            "provider": str,
        }

    def test_a_whole_number_is_a_number(self) -> None:
        duration = from_json(Timing, {"duration_s": 3}).duration_s
        assert (duration, type(duration)) == (3.0, float)

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    def test_no_nan_is_written(self, value: float) -> None:
        with pytest.raises(ValueError, match="JSON compliant"):
            dumps(ParityCheck(value, 1.0, "logits"))


class TestText:
    @pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
    def test_a_constant_that_json_lacks(self, constant: str) -> None:
        with pytest.raises(SchemaViolation, match=f"{constant} is not a number"):
            loads(f'{{"duration_s": {constant}}}')

    @pytest.mark.parametrize("text", ["", "{", "{} {}", "{'a': 1}", b"\xff{}", b'{"a": "\xc3"}', '{"a": "\n"}'])
    def test_what_is_no_json(self, text: str | bytes) -> None:
        with pytest.raises(SchemaViolation, match=r"result\.json: not valid JSON"):
            loads(text, "result.json")

    @pytest.mark.parametrize(("left", "right"), [("[", "]"), ('{"a":', "}")])
    def test_nesting_that_exhausts_the_stack(self, left: str, right: str) -> None:
        depth = 1_000_000
        with pytest.raises(SchemaViolation, match="not valid JSON"):
            loads(left * depth + "0" + right * depth)

    def test_an_integer_that_takes_minutes_to_read(self) -> None:
        with pytest.raises(SchemaViolation):
            from_json(Timing, loads('{"iterations": 1' + "0" * 100_000 + "}"))


class TestRefusals:
    """The place is the path of the value, the sentence says what was expected."""

    @pytest.mark.parametrize(
        ("data", "where", "message"),
        [
            ([], "", "expected a table, got []"),
            (None, "", "expected a table, got None"),
            (changed(SPEC, batch="8"), "batch", "expected an integer, got '8'"),
            (changed(SPEC, batch=True), "batch", "expected an integer, got True"),
            (changed(SPEC, batch=8.0), "batch", "expected an integer, got 8.0"),
            (changed(SPEC, batch=0), "batch", "0 is not positive"),
            (changed(SPEC, hot_input=1), "hot_input", "expected true or false, got 1"),
            (changed(SPEC, precision="fp8"), "precision", "'fp8' is not one of fp32, fp16, int8"),
            (changed(SPEC, precision=["fp16"]), "precision", "['fp16'] is not one of fp32, fp16, int8"),
            (
                changed(SPEC, pattern={"kind": "burst"}),
                "pattern.kind",
                "unknown load pattern 'burst'; allowed: serial, pipelined, rate:FPS, soak:DURATION, sizes:LEAST-MOST",
            ),
            (changed(SPEC, files={}), "files", "expected a list, got {}"),
            (
                changed(SPEC, options={"a": None}),
                "options.a",
                "expected true or false or an integer or a number or text, got None",
            ),
            (
                changed(SPEC, options={"a": [1]}),
                "options.a",
                "expected true or false or an integer or a number or text, got [1]",
            ),
            (changed(SPEC, schema=SCHEMA + 1), "schema", f"version {SCHEMA + 1}; this agent reads {SCHEMA}"),
            (changed(SPEC, model_file="other.onnx"), "files", "'other.onnx' is not among the artifact's files"),
            (changed(SPEC, golden_file="other.npz"), "files", "'other.npz' is not among the artifact's files"),
            (changed(SPEC, timing={"processes": 0}), "timing.processes", "0 is not between 1 and 1000"),
            (changed(SPEC, timing={"warmup_s": -1.0}), "timing.warmup_s", "negative"),
            (changed(SPEC, timing={"cap_s": 0}), "timing.cap_s", "0 is not between 0 and 86,400 seconds"),
            (
                changed(SPEC, inputs=[changed(IMAGES, shape=[1, None])]),
                "inputs[0].shape[1]",
                "expected an integer or text, got None",
            ),
        ],
    )
    def test_a_job_names_the_place(self, data: Any, where: str, message: str) -> None:
        error = refusal(JobSpec, data)
        assert (error.where, error.message) == (where, message)

    def test_a_missing_key(self) -> None:
        data = changed(SPEC)
        del data["backend"]
        assert str(refusal(JobSpec, data)) == "the key 'backend' is missing"

    def test_an_unknown_key_gets_the_nearest_and_the_list(self) -> None:
        assert "unknown key 'duration' (did you mean 'duration_s'?); allowed: cap_s, " in str(
            refusal(Timing, {"duration": 1.0})
        )

    @pytest.mark.parametrize("key", ["KINDS", "__class__", "__dict__", "__post_init__"])
    def test_only_fields_can_be_set(self, key: str) -> None:
        assert f"unknown key '{key}'" in str(refusal(LoadPattern, {"kind": "serial", key: ["x"]}))

    @pytest.mark.parametrize("data", [{}, {"value": 1, "source": "x", "unknown": "no sensor"}])
    def test_a_reading_is_known_or_says_why_not(self, data: dict[str, Any]) -> None:
        assert "or the reason why it is unknown" in refusal(Reading, data).message

    def test_samples_past_the_last_one(self) -> None:
        error = refusal(JobResult, changed(RESULT, samples_count=199))
        assert (error.where, error.message) == ("samples_count", "process 0 points past the last sample")

    def test_samples_before_the_first_one(self) -> None:
        assert refusal(SampleRange, {"offset": -1, "count": 5}).message == "a sample range has no negative numbers"

    def test_a_state_that_no_job_has(self) -> None:
        assert refusal(JobStatus, {"job": SPEC.job, "state": "x" * 1000}).message.startswith("'xxx")


class TestHostileData:
    @pytest.mark.parametrize(
        "name",
        [
            *(
                "",
                ".",
                "..",
                "../model.onnx",
                "/etc/passwd",
                "a/b",
                "a\\b",
                ".ssh",
                "-rf",
                "a\x00b",
                "model.onnx\n",
                "a b",
            ),
            *("modèle.onnx", "\u202exnno", "x" * 129),
        ],
    )
    def test_a_file_name_is_one_plain_component(self, name: str) -> None:
        error = refusal(FileEntry, changed(MODEL, name=name))
        assert (error.where, error.message) == ("name", f"{name[:60]!r} is no plain file name")

    @pytest.mark.parametrize("name", ["model.onnx", "model.onnx.data", "_weights-1", "x" * 128, "a..b"])
    def test_ordinary_file_names_pass(self, name: str) -> None:
        assert from_json(FileEntry, changed(MODEL, name=name)).name == name

    @pytest.mark.parametrize("key", ["job", "artifact"])
    @pytest.mark.parametrize(
        "value", ["", "abc", "../../etc", "A" * 64, "a/b/c/d", "-rf-", "abcd\n", "a" * 129, "ab cd"]
    )
    def test_an_id_names_no_path(self, key: str, value: str) -> None:
        error = refusal(JobSpec, changed(SPEC, **{key: value}))
        assert (error.where, error.message) == (key, f"{value[:60]!r} is no id")

    @pytest.mark.parametrize("digest", ["", "0" * 63, "0" * 65, "g" * 64, "A" * 64, "0" * 64 + "\n", "../" + "0" * 61])
    def test_a_hash_is_64_hexadecimal_digits(self, digest: str) -> None:
        assert refusal(FileEntry, changed(MODEL, sha256=digest)).where == "sha256"

    def test_a_size_is_not_negative(self) -> None:
        assert refusal(FileEntry, changed(MODEL, size=-1)).where == "size"

    def test_a_huge_string_is_not_kept_and_not_repeated(self) -> None:
        error = refusal(ErrorInfo, {"code": "x" * (MAX_STRING + 1), "stage": "", "message": ""})
        assert (error.where, error.message) == (
            "code",
            f"a string of {MAX_STRING + 1} characters; at most {MAX_STRING} are read",
        )

    def test_a_huge_list(self) -> None:
        error = refusal(TensorSpec, changed(IMAGES, shape=[1] * (MAX_ITEMS + 1)))
        assert (error.where, error.message) == ("shape", f"{MAX_ITEMS + 1} items; at most {MAX_ITEMS} are read")

    def test_a_huge_table(self) -> None:
        error = refusal(JobSpec, changed(SPEC, options={str(i): 0 for i in range(MAX_ITEMS + 1)}))
        assert (error.where, error.message) == ("options", f"{MAX_ITEMS + 1} entries; at most {MAX_ITEMS} are read")

    def test_a_refusal_is_short_however_large_the_data(self) -> None:
        assert len(str(refusal(JobSpec, changed(SPEC, batch=["x" * 10_000] * 100)))) < 200

    @pytest.mark.parametrize("text", ["1e999", "-1e999"])
    def test_a_float_that_overflows(self, text: str) -> None:
        error = refusal(Timing, loads(f'{{"duration_s": {text}}}'))
        assert (error.where, error.message) == ("duration_s", "not a finite number")

    def test_deep_data_where_text_belongs(self) -> None:
        """At some depth the parser still reads what can no longer be shown: refused all the same."""
        for depth in range(100, 1200):
            text = '{"code": ' + "[" * depth + "]" * depth + ', "stage": "", "message": ""}'
            with pytest.raises(SchemaViolation):
                from_json(ErrorInfo, loads(text))

    def test_an_integer_that_no_float_holds(self) -> None:
        assert refusal(Timing, loads('{"duration_s": 1' + "0" * 400 + "}")).where == "duration_s"

    def test_an_integer_of_more_than_64_bits(self) -> None:
        assert refusal(FileEntry, changed(MODEL, size=2**64)).where == "size"

    def test_text_that_no_utf8_can_hold(self) -> None:
        assert refusal(ErrorInfo, loads('{"code": "\\ud800", "stage": "", "message": ""}')).where == "code"
