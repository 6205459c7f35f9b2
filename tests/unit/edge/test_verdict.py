"""VALID, INVALID with reasons, UNJUDGED: every rule that has data is shown to bite."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from device_agents.contract import (
    SCHEMA,
    Controlled,
    EngineReport,
    EngineUse,
    FileEntry,
    JobResult,
    Layer,
    LoadPattern,
    ParityCheck,
    Precision,
    ProcessResult,
    Reading,
    SampleRange,
    Series,
    Watch,
    dumps,
    from_json,
    loads,
)
from device_agents.kinds import cpu
from device_agents.system import System
from edge.planning.plan import Cell
from edge.results.stats import summarise
from edge.results.store import Measurement, Origin, OwnInputs
from edge.results.verdict import ADVICE, MENDED_BY_REPEATING, Status, Verdict, judge
from edge.results.verdict.completeness import NEEDED, WISHED
from edge.results.watched import Watched
from profiles.load import device_profile_names
from profiles.schema import DeviceProfile, Thresholds

PASSED = ParityCheck(1e-6, 1e-3, "logits")
IDLE = {"busy_share_idle_window_before": Reading(0.01, "/proc/stat")}


def measurement(
    *, precision: Precision = Precision.FP32, power_mode: str | None = None, **changes: object
) -> Measurement:
    part = ProcessResult(
        0, 1, 1, 1, SampleRange(0, 0), SampleRange(0, 100), 10**9, True, 150, 1, {}, PASSED, PASSED, IDLE
    )
    identity = {"power_mode": Reading("MAXN", "nvpmodel -q")} if power_mode else {}
    result = JobResult(
        SCHEMA, "job-1", "a" * 64, "onnxruntime", "2026-01-01T00:00:00Z", {}, identity, {},
        (replace(part, **changes),), 300, "0" * 64, {},
    )  # fmt: skip
    cell = Cell("local", "resnet18", "pytorch", "onnxruntime", precision, 1)
    origin = Origin("local", power_mode, Thresholds(), "a" * 64, "random", "b" * 64, "0")
    return Measurement("job-1", "run-1", cell, origin, "now", result)


def verdict(found: Measurement, samples: object = None) -> Verdict:
    values = np.full(100, 10_000_000) if samples is None else np.asarray(samples)
    return judge(found, summarise(found.result, values, 1), Watched(found.result, values))


def broken(found: Verdict) -> list[str]:
    return [finding.rule for finding in found.broken]


def unjudged(found: Verdict) -> list[str]:
    return [finding.rule for finding in found.unjudged]


def test_a_quiet_measurement_breaks_nothing_and_names_what_was_not_watched() -> None:
    found = verdict(measurement())
    assert found.status is Status.UNJUDGED
    assert unjudged(found) == ["throttled", "clocks_floating", "too_hot", "incomplete_state"]


def test_ten_samples_do_not_support_a_median() -> None:
    found = verdict(measurement(timed=SampleRange(0, 10)))
    assert broken(found) == ["too_few_samples"]
    assert "10 samples" in found.broken[0].reason


def test_a_drift_over_the_threshold_is_unstable() -> None:
    found = verdict(measurement(), np.linspace(10_000_000, 12_000_000, 100))
    assert (found.status, broken(found)) == (Status.INVALID, ["unstable"])


def test_a_share_that_is_hardly_over_its_threshold_is_told_from_it() -> None:
    made = measurement()
    limits = Thresholds(drift=0.1, foreign_work=0.1)
    made = replace(made, origin=replace(made.origin, thresholds=limits))
    hardly = np.repeat([10_000_000, 11_002_000], 50)
    (told,) = verdict(made, hardly).broken
    assert told.reason == "+10.02% from the first to the last quarter of a process, over 10%"
    assert verdict(made, np.repeat([10_000_000, 10_998_000], 50)).broken == ()
    (told,) = verdict(made, np.repeat([10_000_000, 8_000_000], 50)).broken
    assert told.reason.startswith("-20.0% from"), "no more decimals than it takes"
    busy = {"busy_share_idle_window_before": Reading(0.1004, "/proc/stat")}
    process = replace(made.result.processes[0], state=busy)
    (told,) = verdict(replace(made, result=replace(made.result, processes=(process,)))).broken
    assert told.reason == "the device was 10.04% busy before timing, over 10%"


@pytest.mark.parametrize("when", ["parity_before", "parity_after"])
def test_outputs_that_are_off_before_or_after_timing_fail_parity(when: str) -> None:
    found = verdict(measurement(**{when: ParityCheck(0.5, 1e-3, "logits")}))
    assert broken(found) == ["parity_failed"]
    assert when.removeprefix("parity_") in found.broken[0].reason


@pytest.mark.parametrize("silent", [("parity_before", "parity_after"), ("parity_before",), ("parity_after",)])
def test_outputs_that_nobody_compared_leave_parity_unknown(silent: tuple[str, ...]) -> None:
    found = verdict(measurement(**dict.fromkeys(silent)))
    assert "parity_unknown" in unjudged(found)
    assert "parity_failed" not in unjudged(found)
    assert broken(found) == []


def test_a_tool_that_times_by_itself_is_judged_by_the_one_check_that_it_allows() -> None:
    """And so is one whose result an earlier edgebench stored, with that check in both places."""
    alone = {"warmup_stable": None, "parity_before": None}
    failed = ParityCheck(0.5, 1e-3, "logits")
    assert "parity_unknown" not in unjudged(verdict(measurement(**alone)))
    assert "parity_unknown" not in unjudged(verdict(measurement(warmup_stable=None)))
    assert "parity_unknown" in unjudged(verdict(measurement(**alone, parity_after=None)))
    assert broken(verdict(measurement(**alone, parity_after=failed))) == ["parity_failed"]
    both = {"warmup_stable": None, "parity_before": failed, "parity_after": failed}
    assert "after timing" in verdict(measurement(**both)).broken[0].reason


def test_why_parity_is_unknown_is_told_as_well_as_it_is_known() -> None:
    bare = measurement(parity_before=None, parity_after=None)

    def reason(found: Measurement) -> str:
        return next(f.reason for f in verdict(found).unjudged if f.rule == "parity_unknown")

    assert "onnxruntime shows no outputs" in reason(bare)
    own = OwnInputs("c" * 64, 1, "none: one sample, so an error has no scale", checked=False)
    assert "one sample, so an error has no scale" in reason(replace(bare, origin=replace(bare.origin, inputs=own)))
    told = {"parity": Reading(unknown="trtexec 8.5 writes no outputs")}
    assert reason(replace(bare, result=replace(bare.result, context=told))) == "trtexec 8.5 writes no outputs"


def test_a_slow_clock_counts_only_when_it_is_both_long_and_a_large_share() -> None:
    assert broken(verdict(measurement(timer_overhead_ns=5_000))) == []  # 0.05 % of 10 ms
    fast = np.full(100, 20_000)
    assert broken(verdict(measurement(timer_overhead_ns=1_900), fast)) == []
    assert broken(verdict(measurement(timer_overhead_ns=2_100), fast)) == ["timer_overhead"]


def test_a_busy_device_is_foreign_work_and_an_unread_one_is_unjudged() -> None:
    busy = {"busy_share_idle_window_before": Reading(0.4, "/proc/stat")}
    unread = {"busy_share_idle_window_before": Reading(unknown="/proc/stat: Permission denied")}
    assert broken(verdict(measurement(state=busy))) == ["foreign_work"]
    assert "foreign_work" in unjudged(verdict(measurement(state=unread)))


def test_another_power_mode_than_the_profile_s_is_wrong() -> None:
    assert broken(verdict(measurement(power_mode="MAXN"))) == []
    assert broken(verdict(measurement(power_mode="15W"))) == ["wrong_power_mode"]


def test_at_a_rate_waking_late_counts_as_the_clock_s_cost() -> None:
    """The interval begins with the arrival: 100 ns of the loop and 3 us of waking are 3.1 us inside it."""
    fast = np.full(100, 20_000)
    assert broken(verdict(measurement(timer_overhead_ns=100, counts={"wake_lag_ns": 500}), fast)) == []
    found = verdict(measurement(timer_overhead_ns=100, counts={"wake_lag_ns": 3_000}), fast)
    assert broken(found) == ["timer_overhead"]
    assert "3100 ns" in found.broken[0].reason


@pytest.mark.parametrize(("waited", "wanted"), [(False, ["not_waited"]), (True, [])])
def test_a_call_that_nobody_waited_for_is_no_latency(waited: bool, wanted: list[str]) -> None:
    made = measurement()
    assert broken(verdict(replace(made, result=replace(made.result, switches={"waited": waited})))) == wanted


LEFT = "the device worked for 8.00 ms more after the wait had returned, which had taken 0.2 ms"
CHANGED = "outputs changed after they had been awaited"


@pytest.mark.parametrize(
    ("left_ns", "awaited_ns", "outputs", "wanted"),
    [
        (8_000_000, 200_000, "settled", LEFT),
        (8_000_000, 200_000, "changed", LEFT),
        (None, None, "changed", CHANGED),
        (30_000, 10_000_000, "settled", ""),
        (15_000, 40_000, "settled", ""),
        (None, None, "settled", ""),
    ],
)
def test_a_wait_that_returned_early_is_told_by_the_first_use(
    left_ns: int | None, awaited_ns: int | None, outputs: str, wanted: str
) -> None:
    left = Reading(unknown="no other way") if left_ns is None else Reading(left_ns, "device")
    state = {"left_after_wait_ns": left, "outputs_after_wait": Reading(outputs, "read twice")}
    found = verdict(measurement(state={**state, **({} if awaited_ns is None else {"awaited_ns": Reading(awaited_ns)})}))
    told = [finding.reason for finding in found.broken if finding.rule == "not_waited"]
    assert [reason.startswith(wanted) for reason in told] == ([True] if wanted else [])
    assert ("not_waited" in [held.rule for held in found.held]) == (not wanted)


@pytest.mark.parametrize("name", ["recompiles", "retraces"])
def test_what_was_compiled_while_it_was_timed_is_flagged(name: str) -> None:
    made = measurement()
    for count, wanted in ((0, []), (2, [name])):
        result = replace(made.result, context={name: Reading(count, "its counters")})
        flags = [flag.name for flag in verdict(replace(made, result=result)).flags]
        assert [flag for flag in flags if flag == name] == wanted


class TestFp16:
    def judged(self, *layers: Layer, backend: str = "tensorrt", built: tuple[Layer, ...] = ()) -> Verdict:
        made = measurement(precision=Precision.FP16)
        report = EngineReport(
            1, "k" * 40, "a" * 64, FileEntry("model.engine", 1, "0" * 64), backend, "10.3.0", Precision.FP16, "now", {},
            layers=built,
        )  # fmt: skip
        result = replace(made.result, layers=layers, engine=EngineUse(report, False, "there was none"))
        return verdict(replace(made, result=result, cell=replace(made.cell, backend=backend)))

    def test_is_not_proved_by_a_runtime_that_does_not_tell(self) -> None:
        found = verdict(measurement(precision=Precision.FP16))
        assert "not_fp16" in unjudged(found)
        assert "onnxruntime does not tell the precision of its layers" in [f.reason for f in found.unjudged]
        assert "not_fp16" in unjudged(self.judged(Layer("a", "unknown", "Convolution")))

    def test_is_proved_by_a_framework_that_computes_in_the_type_of_its_tensors(self) -> None:
        made = measurement(precision=Precision.FP16)
        found = verdict(replace(made, result=replace(made.result, switches={"dtype": "float16"})))
        assert "not_fp16" in [one.rule for one in found.held]
        other = verdict(replace(made, result=replace(made.result, switches={"dtype": "float32"})))
        assert "not_fp16" in unjudged(other)

    def test_is_proved_by_layers_that_compute_in_it(self) -> None:
        found = self.judged(Layer("conv", "fp16", "CaskConvolution"), Layer("softmax", "fp32", "SoftMax"))
        assert "not_fp16" not in [finding.rule for finding in found.findings]

    def test_is_disproved_by_a_silent_fp32_engine_with_its_shares_told(self) -> None:
        """The engine reads and writes FP16, by reformatting layers that do not count."""
        found = self.judged(
            Layer("in", "fp16", "Reformat", time_ns=900), Layer("out", "fp16", "Reformat", time_ns=900),
            Layer("conv", "fp32", "CaskConvolution", time_ns=90), Layer("gemm", "fp16", "MatrixMultiply", time_ns=10),
        )  # fmt: skip
        assert broken(found) == ["not_fp16"]
        assert "fp32 90% of time (1), fp16 10% of time (1)" in found.broken[0].reason

    def test_goes_by_time_where_layers_were_timed(self) -> None:
        """Nine small FP32 layers beside the one that does the work, and the other way round."""
        small = [Layer(f"norm{index}", "fp32", "Normalization", time_ns=1) for index in range(9)]
        assert broken(self.judged(*small, Layer("conv", "fp16", "Convolution", time_ns=91))) == []
        untimed = [replace(layer, time_ns=None) for layer in small]
        assert broken(self.judged(*untimed, Layer("conv", "fp16", "Convolution"))) == ["not_fp16"]

    @pytest.mark.parametrize(("fp16", "mixed", "fp32", "found"), [
        (50, 0, 50, "proved"), (49, 0, 51, "broken"), (10, 60, 30, "unclear"), (10, 39, 51, "broken"),
        (60, 40, 0, "proved"), (0, 99, 1, "unclear"),
    ])  # fmt: skip
    def test_is_unclear_only_where_the_unclear_layers_decide(
        self, fp16: int, mixed: int, fp32: int, found: str
    ) -> None:
        layers = (
            Layer("a", "fp16", "conv", time_ns=fp16), Layer("b", "mixed", "myelin", time_ns=mixed),
            Layer("c", "fp32", "conv", time_ns=fp32),
        )  # fmt: skip
        judged = self.judged(*layers)
        assert ("not_fp16" in broken(judged)) == (found == "broken")
        assert ("not_fp16" in unjudged(judged)) == (found == "unclear")

    def test_is_judged_by_the_inspector_where_no_profile_was_made(self) -> None:
        assert broken(self.judged(built=(Layer("conv", "fp32", "Convolution"),))) == ["not_fp16"]

    def test_is_nobody_s_business_where_fp32_was_asked_for(self) -> None:
        made = measurement()
        result = replace(made.result, layers=(Layer("conv", "fp32", "Convolution"),))
        assert "not_fp16" not in [finding.rule for finding in verdict(replace(made, result=result)).findings]


class TestEnqueueBound:
    def judged(self, enqueue_ns: int, compute_ns: int) -> Verdict:
        samples = np.concatenate([np.full(100, 10_000_000), np.full(100, enqueue_ns), np.full(100, compute_ns)])
        parts = {"enqueue": SampleRange(100, 100), "compute": SampleRange(200, 100)}
        return verdict(measurement(parts=parts), samples)

    def test_is_a_flag_and_no_finding(self) -> None:
        found = self.judged(900_000, 1_000_000)
        assert [flag.name for flag in found.flags] == ["enqueue_bound"]
        assert "0.90 times" in found.flags[0].reason
        assert "enqueue_bound" not in [finding.rule for finding in found.findings]
        assert broken(found) == []

    def test_is_not_raised_below_the_line_nor_without_a_compute_time(self) -> None:
        assert self.judged(800_000, 1_000_000).flags == ()
        assert self.judged(5, 0).flags == ()
        assert verdict(measurement()).flags == ()


def test_several_streams_are_judged_without_a_latency() -> None:
    made = measurement(timer_overhead_ns=10**9)
    found = verdict(replace(made, result=replace(made.result, switches={"streams": 2})))
    assert broken(found) == []


QUIET: dict[str, object] = {
    "cpu_busy": 0.5, "cpu_foreign": 0.01, "cpu_steal": 0.0, "cpu_clock": 3e9, "temperature": 50.0, "memory_used": 1e9,
    "throttled_limit": 2.0, "gpu_clock": 1.3e9, "memory_clock": 3e9, "power": 20.0, "energy": 5.0,
    "throttled_thermal": 0.0, "throttled_power": 0.0, "throttled_other": 0.0, "gpu_foreign_processes": 0.0,
}  # fmt: skip
"""A quiet device: each series at one value, or a list of twenty of them, in the ten timed seconds."""

PER_UNIT = 1_000


def watched(
    *,
    kind: str = "local",
    limits: Thresholds = Thresholds(),  # noqa: B008 - frozen
    without: tuple[str, ...] = (),
    began_ns: int = 10**9,
    process: dict[str, object] | None = None,
    result: dict[str, object] | None = None,
    pattern: LoadPattern = LoadPattern(),  # noqa: B008 - frozen
    latencies: object = None,
    **series: object,
) -> Verdict:
    """The verdict on a measurement with these series, watched twice a second."""
    from device_agents.contract import QUANTITIES

    samples = [np.full(100, 10_000_000) if latencies is None else np.asarray(latencies)]
    times = 10**9 + np.arange(20) * 500_000_000
    told, place = [], 100
    for name, value in {**QUIET, **series}.items():
        if name in without:
            continue
        samples += [times, np.round(np.broadcast_to(np.asarray(value), 20) * PER_UNIT).astype(np.int64)]
        ranges = SampleRange(place, 20), SampleRange(place + 20, 20)
        told.append(Series(name, QUANTITIES[name], f"/sys/{name}", PER_UNIT, *ranges))
        place += 40
    data = np.concatenate(samples)
    watch = Watch(tuple(told), 2.0, 0.001, unknown={name: f"no {name} there" for name in without})
    made = measurement(elapsed_ns=10**10, began_ns=began_ns, **(process or {}))
    found = replace(made.result, watch=watch, samples_count=len(data), **(result or {}))
    origin = replace(made.origin, thresholds=limits, device_profile=kind)
    made = replace(made, result=found, origin=origin, cell=replace(made.cell, pattern=pattern))
    return judge(made, summarise(found, data, 1), Watched(found, data))


class TestADeviceThatWasWatched:
    @pytest.mark.parametrize("profile", device_profile_names())
    def test_and_was_quiet_is_valid_and_every_rule_says_what_held(self, profile: str) -> None:
        found = watched(kind=profile)
        assert (found.status, found.findings, found.flags) == (Status.VALID, (), ())
        assert {held.rule for held in found.held} >= {
            "too_few_samples", "unstable", "parity_failed", "timer_overhead", "foreign_work", "throttled",
            "clocks_floating", "incomplete_state",
        }  # fmt: skip
        assert all(held.source and held.figure for held in found.held)

    @pytest.mark.parametrize(
        ("rule", "reason", "series"),
        [
            ("throttled", "heat held its clocks back for 10.0% of the timed part, over 2%",
             {"throttled_thermal": [1.0] * 2 + [0.0] * 18}),
            ("throttled", "the power limit held", {"throttled_power": 1.0}),
            ("throttled", "something else held", {"throttled_other": 1.0}),
            ("throttled", "a cgroup's CPU limit stopped its processes for 20.0% of the timed part, over 1%",
             {"throttled_limit": np.linspace(3.0, 4.9, 20)}),
            ("foreign_work", "other processes took 30.0% of the processors during timing, over 5%",
             {"cpu_foreign": 0.3}),
            ("foreign_work", "the hypervisor took 2.0% of the processors", {"cpu_steal": 0.02}),
            ("foreign_work", "up to 1 other processes used the GPU", {"gpu_foreign_processes": [1.0] + [0.0] * 19}),
        ],
    )  # fmt: skip
    def test_and_was_disturbed_is_invalid(self, rule: str, reason: str, series: dict[str, object]) -> None:
        found = watched(**series)
        assert broken(found) == [rule]
        assert reason in found.broken[0].reason
        assert found.broken[0].source

    @pytest.mark.parametrize(
        "series",
        [
            {"throttled_thermal": [0.0] * 20}, {"cpu_foreign": 0.049}, {"cpu_steal": 0.009},
            {"throttled_limit": np.linspace(3.0, 3.09, 20)}, {"temperature": 94.0},
        ],
    )  # fmt: skip
    def test_and_stayed_below_its_thresholds_is_valid(self, series: dict[str, object]) -> None:
        assert watched(limits=Thresholds(temperature_c=95.0), **series).status is Status.VALID

    def test_is_judged_by_the_thresholds_that_came_with_it(self) -> None:
        assert broken(watched(cpu_foreign=0.3, limits=Thresholds(foreign_work=0.4))) == []
        assert broken(watched(temperature=[50.0] * 19 + [80.0], limits=Thresholds(temperature_c=79.0))) == ["too_hot"]
        assert broken(watched(temperature=80.0)) == [], "no limit is set"

    def test_is_too_hot_where_the_device_slows_itself_down(self) -> None:
        told = {"context": {"temperature_limit_c": Reading(87.0, "nvidia-smi")}}
        found = watched(temperature=88.0, result=told)
        assert broken(found) == ["too_hot"]
        assert "it reached 88.0 C, over 87 C, where it slows itself down" in found.broken[0].reason
        assert broken(watched(temperature=86.0, result=told)) == []
        assert broken(watched(temperature=80.0, result=told, limits=Thresholds(temperature_c=79.0))) == ["too_hot"]
        silent = {"context": {"temperature_limit_c": Reading(unknown="not told")}}
        assert broken(watched(temperature=88.0, result=silent)) == []

    def test_with_floating_clocks_is_flagged_and_invalid_only_where_they_were_to_be_locked(self) -> None:
        floating = {"gpu_clock": np.linspace(1.0e9, 1.3e9, 20)}
        found = watched(**floating)
        assert (found.status, [flag.name for flag in found.flags]) == (Status.VALID, ["clocks_floating"])
        assert "the gpu clock varied by" in found.flags[0].reason
        assert "1000 to 1300 MHz" in found.flags[0].reason
        assert broken(watched(limits=Thresholds(locked_clocks=True), **floating)) == ["clocks_floating"]
        locked = (Controlled("lock_clocks", "floating", "1300 MHz", "floating"),)
        assert broken(watched(result={"controlled": locked}, **floating)) == ["clocks_floating"]

    def test_whose_governor_changed_has_floating_clocks(self) -> None:
        state = {**IDLE, "cpu_governor_before": Reading("powersave", "/sys/g")}
        other = {**state, "cpu_governor_after": Reading("performance", "/sys/g")}
        found = watched(process={"state": other})
        assert broken(found) == ["clocks_floating"]
        assert found.broken[0].reason == "the governor was powersave before and performance after timing"
        same = {**state, "cpu_governor_after": Reading("powersave", "/sys/g")}
        assert watched(process={"state": same}).findings == ()

    @pytest.mark.parametrize(("profile", "kind"), [("local", "cpu"), ("t4-16gb", "nvidia_gpu"),
                                                   ("jetson-agx-orin-64gb", "jetson")])  # fmt: skip
    def test_without_what_every_user_can_read_is_unjudged(self, profile: str, kind: str) -> None:
        for name in NEEDED[kind]:
            found = watched(kind=profile, without=(name,))
            assert unjudged(found) == ["incomplete_state"]
            assert f"{name} (no {name} there)" in found.unjudged[0].reason

    @pytest.mark.parametrize(("profile", "kind"), [("local", "cpu"), ("t4-16gb", "nvidia_gpu"),
                                                   ("jetson-agx-orin-64gb", "jetson")])  # fmt: skip
    def test_without_what_root_alone_can_read_is_valid_with_a_flag(self, profile: str, kind: str) -> None:
        found = watched(kind=profile, without=WISHED[kind])
        assert found.status is Status.VALID
        assert [flag.name for flag in found.flags] == ["not_read"]
        assert all(name in found.flags[0].reason for name in WISHED[kind])

    def test_has_a_table_for_every_kind(self) -> None:
        assert set(NEEDED) == set(WISHED) == set(DeviceProfile.KINDS)

    def test_by_a_tool_that_hides_its_timed_part_is_unjudged(self) -> None:
        found = watched(began_ns=0)
        assert unjudged(found) == ["incomplete_state"]
        assert "does not tell when its timed part began" in found.unjudged[0].reason

    def test_and_timed_its_processor_is_judged_as_one_whatever_gpu_it_has(self) -> None:
        gpu = ("gpu_clock", "power", "throttled_thermal", "throttled_power", "throttled_other")
        found = watched(kind="a100-80gb", without=gpu, result={"switches": {"provider": "cpu"}})
        assert "incomplete_state" not in unjudged(found)

    def test_under_a_cpu_limit_below_its_threads_is_told(self) -> None:
        """Where the limit's strikes are counted they are judged, else nobody knows."""
        told = {
            "switches": {"provider": "cpu", "threads": 0},
            "identity": {"cpus": Reading(2, "sched_getaffinity")},
            "context": {"cgroup_cpu_limit": Reading(0.5, "cpu.max")},
        }
        found = watched(result=told)
        assert (found.status, [flag.name for flag in found.flags]) == (Status.VALID, ["cpu_limit"])
        assert found.flags[0].reason == "the cgroup's CPU limit is 0.5 processors, the runtime uses 2"
        assert unjudged(watched(result=told, without=("throttled_limit",))) == ["throttled"]
        enough = {**told, "context": {"cgroup_cpu_limit": Reading("none", "cpu.max")}}
        assert watched(result=enough).flags == ()

    @pytest.mark.parametrize(
        ("said", "limit"), [("50000 100000\n", "0.5"), ("100000 100000\n", "1"), ("200000 100000\n", ""), ("max 1", "")]
    )
    def test_under_a_cpu_limit_is_judged_by_what_its_agent_reads(self, tmp_path: Path, said: str, limit: str) -> None:
        """From the kernel's file, through the result as it comes home, to the verdict."""
        (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
        (tmp_path / "sys/fs/cgroup/cpu.max").write_text(said)
        reading = from_json(Reading, loads(dumps(cpu.context(System(tmp_path))["cgroup_cpu_limit"])))
        told = {
            "switches": {"provider": "cpu", "threads": 2},
            "context": {"cgroup_cpu_limit": reading},
        }
        reasons = [f"the cgroup's CPU limit is {limit} processors, the runtime uses 2"] if limit else []
        assert [flag.reason for flag in watched(result=told).flags] == reasons


class TestASoak:
    def test_may_get_slower_and_a_serial_load_may_not(self) -> None:
        slower = np.linspace(10_000_000, 14_000_000, 100)
        assert broken(watched(latencies=slower)) == ["unstable"]
        assert watched(latencies=slower, pattern=LoadPattern("soak", soak_s=60.0)).status is Status.VALID


class TestTwoSpeeds:
    def test_are_a_flag(self) -> None:
        found = watched(latencies=np.tile([10_000_000, 12_000_000, 12_010_000, 10_010_000, 12_020_000], 20))
        assert [flag.name for flag in found.flags] == ["two_speeds"]
        assert "40% of the inferences take 10.01 ms and 60% take 12.01 ms" in found.flags[0].reason
        assert found.status is Status.VALID


def test_every_rule_has_an_advice_of_one_sentence() -> None:
    assert all(advice and "\n" not in advice and not advice.endswith(".") for advice in ADVICE.values())
    assert set(ADVICE) > MENDED_BY_REPEATING
    assert not MENDED_BY_REPEATING & {"parity_failed", "not_fp16", "wrong_power_mode", "timer_overhead"}
