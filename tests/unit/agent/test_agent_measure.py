"""The clock of edgebench against a device whose speed is known: what is timed, for how long, in which order.

A busy machine can only make a sample longer, so the shortest one is held to the known delay tightly.
"""

from __future__ import annotations

import gc
import statistics
import time
from dataclasses import replace

import numpy as np
import pytest

from device_agents.backends.base import Backend, Parts
from device_agents.calibration import KnownDelay
from device_agents.contract import LoadPattern, ProcessResult, SchemaViolation, Timing
from device_agents.measure import measure, slots_needed, timer_overhead_ns
from edge.results.stats import soaked

SERIAL, PIPELINED = LoadPattern("serial"), LoadPattern("pipelined")
SHORT = Timing(processes=1, warmup_s=0.02, warmup_iterations=5, warmup_cap_s=0.2, duration_s=0.05, iterations=20)


class Recording(KnownDelay):
    """Writes down what it is asked, and whether the garbage collector might have struck meanwhile."""

    patterns = ("serial", "pipelined")

    def __init__(self, delay_ns: int = 0) -> None:
        super().__init__(delay_ns)
        self.calls: list[tuple[str, int]] = []
        self.collecting = False

    def enqueue(self, slot: int) -> None:
        self.calls.append(("enqueue", slot))
        self.collecting = self.collecting or gc.isenabled()
        super().enqueue(slot)

    def wait(self, slot: int) -> None:
        self.calls.append(("wait", slot))
        super().wait(slot)


class BusyHost(KnownDelay):
    """The host prepares each inference for as long as the device computes it."""

    def __init__(self, delay_ns: int) -> None:
        super().__init__(delay_ns)
        self._prepare_ns = delay_ns

    def enqueue(self, slot: int) -> None:
        end = time.perf_counter_ns() + self._prepare_ns
        while time.perf_counter_ns() < end:
            pass
        super().enqueue(slot)


class Heating(KnownDelay):
    """Takes longer with every inference until it is warm."""

    def __init__(self, cold_ns: int, warm_ns: int, inferences: int) -> None:
        super().__init__(cold_ns)
        self._cold_ns, self._more_ns, self._inferences, self._done = cold_ns, warm_ns - cold_ns, inferences, 0

    def enqueue(self, slot: int) -> None:
        self._done += 1
        self._delay_ns = self._cold_ns + round(self._more_ns * min(1.0, self._done / self._inferences))
        super().enqueue(slot)


class SlowStart(Backend):
    """Takes 2 ms for each of its first inferences and nothing afterwards, as a runtime that still compiles."""

    patterns = ("serial",)

    def __init__(self, slow: int) -> None:
        self._slow = slow

    def enqueue(self, slot: int) -> None:
        if self._slow:
            self._slow -= 1
            time.sleep(0.002)

    def wait(self, slot: int) -> None:
        return None


class TestALatency:
    @pytest.mark.parametrize("delay_ms", [1, 5])
    def test_is_the_known_delay(self, delay_ms: int) -> None:
        """A busy machine can only make a sample longer: one undisturbed sample of ten runs is enough. What is usual
        shows where nothing is delayed, below."""
        delay_ns = delay_ms * 1_000_000
        for _ in range(10):
            shortest = min(measure(KnownDelay(delay_ns), 2, SERIAL, replace(SHORT, duration_s=0.2)).timed)
            assert delay_ns <= shortest
            if shortest <= delay_ns * 1.005 + 5_000:
                return
        pytest.fail(f"{delay_ns} ns took {shortest} ns at least")

    def test_costs_next_to_nothing_to_take(self) -> None:
        assert 0 < timer_overhead_ns() < 20_000

    def test_of_a_pipeline_runs_from_its_enqueue(self) -> None:
        """One inference ahead on a device that is always busy: each waits for the one before."""
        samples = measure(KnownDelay(1_000_000), 2, PIPELINED, SHORT).timed
        assert min(samples[1:]) >= 1_000_000
        assert statistics.median(samples) >= 1_990_000

    def test_adds_up_to_no_more_than_the_time_that_passed(self) -> None:
        found = measure(KnownDelay(1_000_000), 2, SERIAL, SHORT)
        assert sum(found.timed) <= found.elapsed_ns
        assert sum(found.timed) >= 0.5 * found.elapsed_ns


class TestASoak:
    def test_shows_how_a_device_gets_slower_and_settles(self) -> None:
        """0.2 ms at first, 0.4 ms after 1,500 inferences and from there on; the least disturbed of several tries."""
        pattern = LoadPattern("soak", soak_s=1.2)
        timing = replace(SHORT, warmup_s=0.0, warmup_cap_s=0.01).for_pattern(pattern)
        for _ in range(8):
            found = measure(Heating(200_000, 400_000, 1_500), 2, pattern, timing)
            assert found.elapsed_ns >= 1.2e9
            soak = soaked([np.array(found.timed)], found.elapsed_ns / 1e9, 0.05)
            if soak.equilibrium and soak.change > 0.7:
                break
        assert 200_000 <= soak.burst_ns < 240_000
        assert soak.steady_ns == pytest.approx(400_000, rel=0.05)
        assert soak.equilibrium

    def test_lasts_as_long_as_asked_whatever_the_timing_says_and_takes_one_process(self) -> None:
        timing = Timing().for_pattern(LoadPattern("soak", soak_s=90.0))
        assert (timing.processes, timing.duration_s, timing.cap_s, timing.iterations) == (1, 90.0, 90.0, 1)
        assert Timing().for_pattern(LoadPattern("soak", soak_s=90.0), 3).processes == 3
        assert Timing().for_pattern(SERIAL) == Timing()
        assert Timing().for_pattern(SERIAL, 2) == replace(Timing(), processes=2)

    def test_ends_where_its_samples_would_fill_the_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("device_agents.measure._MOST", 1_000)
        pattern = LoadPattern("soak", soak_s=60.0)
        found = measure(KnownDelay(), 1, pattern, SHORT.for_pattern(pattern))
        assert len(found.timed) >= 1_000
        assert found.elapsed_ns < 10e9

    @pytest.mark.parametrize(
        "text", ["soak", "soak:", "soak:10", "soak:10d", "soak:0s", "soak:25h", "soak:m", "soak:1m,2"]
    )
    def test_of_another_length_is_refused_in_one_sentence(self, text: str) -> None:
        with pytest.raises(SchemaViolation, match="soak"):
            LoadPattern.parse(text)


class TestWarmingUp:
    def test_keeps_its_samples_apart(self) -> None:
        """Slow first inferences stay in the warm-up, all of them, and none is timed."""
        found = measure(SlowStart(10), 1, SERIAL, replace(SHORT, warmup_s=0.1, warmup_cap_s=1.0))
        assert sum(sample >= 2_000_000 for sample in found.warmup) >= 10
        assert min(found.warmup[:10]) >= 2_000_000
        assert statistics.median(found.timed) < 100_000

    def test_lasts_as_long_as_asked_however_stable(self) -> None:
        timing = replace(SHORT, warmup_s=0.6, warmup_iterations=1, warmup_cap_s=5.0)
        assert measure(KnownDelay(1_000_000), 1, SERIAL, timing).warmup_ns >= 600_000_000

    def test_runs_as_often_as_asked_however_stable(self) -> None:
        timing = replace(SHORT, warmup_s=0.0, warmup_iterations=600, warmup_cap_s=5.0)
        assert len(measure(KnownDelay(1_000_000), 1, SERIAL, timing).warmup) >= 600

    def test_ends_at_its_cap_however_many_inferences_were_asked(self) -> None:
        timing = replace(SHORT, warmup_s=10.0, warmup_iterations=1_000_000, warmup_cap_s=0.1)
        found = measure(KnownDelay(1_000_000), 1, SERIAL, timing)
        assert 100_000_000 <= found.warmup_ns < 500_000_000

    def test_that_ended_early_is_not_called_stable(self) -> None:
        assert not measure(KnownDelay(1_000_000), 1, SERIAL, replace(SHORT, warmup_cap_s=0.02)).warmup_stable

    def test_of_a_steady_device_is_stable_after_three_windows(self) -> None:
        found = measure(KnownDelay(5_000_000), 1, SERIAL, replace(SHORT, warmup_cap_s=5.0))
        assert found.warmup_stable
        assert found.warmup_ns >= 250_000_000


class TestTheTimedPart:
    def test_lasts_as_long_as_asked_and_little_longer(self) -> None:
        found = measure(KnownDelay(1_000_000), 1, SERIAL, replace(SHORT, duration_s=0.3, iterations=1))
        assert 300_000_000 <= found.elapsed_ns < 600_000_000

    def test_goes_on_until_there_are_enough_samples(self) -> None:
        found = measure(KnownDelay(1_000_000), 1, SERIAL, replace(SHORT, duration_s=0.0, iterations=200))
        assert 200 <= len(found.timed) < 300

    def test_ends_at_its_cap_with_fewer(self) -> None:
        found = measure(KnownDelay(1_000_000), 1, SERIAL, replace(SHORT, iterations=1_000_000, cap_s=0.1))
        assert 100_000_000 <= found.elapsed_ns < 500_000_000
        assert 1 <= len(found.timed) <= 200

    def test_of_a_slow_model_has_one_sample_at_least(self) -> None:
        timing = Timing(warmup_s=0, warmup_iterations=0, warmup_cap_s=0, duration_s=0, iterations=1, cap_s=0.001)
        found = measure(KnownDelay(20_000_000), 1, SERIAL, timing)
        assert (len(found.warmup), len(found.timed)) == (1, 1)


class TestTheSerialPattern:
    def test_waits_for_each_inference_before_the_next(self) -> None:
        backend = Recording()
        measure(backend, 3, SERIAL, SHORT)
        pairs = list(zip(backend.calls[::2], backend.calls[1::2], strict=True))
        assert all(
            first == ("enqueue", slot) and second == ("wait", slot) for first, second in pairs for slot in [first[1]]
        )

    def test_takes_the_slots_in_turn_across_windows(self) -> None:
        backend = Recording(200_000)
        measure(backend, 3, SERIAL, replace(SHORT, duration_s=0.3))
        slots = [slot for call, slot in backend.calls if call == "enqueue"]
        assert slots == [index % 3 for index in range(len(slots))]


class TestThePipelinedPattern:
    def test_enqueues_the_next_inference_before_it_waits_for_the_last(self) -> None:
        backend = Recording(1_000_000)
        found = measure(backend, 2, PIPELINED, replace(SHORT, warmup_s=0, warmup_iterations=0, warmup_cap_s=0))
        calls = backend.calls[4:]  # two inferences of warm-up come first: the pipeline fills and drains
        assert calls[:5] == [("enqueue", 0), ("enqueue", 1), ("wait", 0), ("enqueue", 0), ("wait", 1)]
        assert len(calls) == 2 * len(found.timed)

    @pytest.mark.parametrize(("depth", "slots"), [(2, 2), (2, 7), (4, 4), (6, 7)])
    def test_keeps_as_many_under_way_as_the_backend_says_until_it_drains(self, depth: int, slots: int) -> None:
        """Across windows too: 20 ms an inference leave five to a window."""
        backend = Recording(20_000_000)
        backend.in_flight = depth
        timing = replace(SHORT, warmup_cap_s=0, duration_s=0.4, iterations=1)
        found = measure(backend, slots, PIPELINED, timing)
        calls = backend.calls[2 * depth :]
        under_way: list[int] = []
        after_waits = []
        for call, slot in calls:
            if call == "enqueue":
                assert slot not in under_way
                under_way.append(slot)
            else:
                assert slot == under_way.pop(0)
                after_waits.append(len(under_way))
            assert len(under_way) <= depth
        assert after_waits == [depth - 1] * (len(found.timed) - depth + 1) + [*reversed(range(depth - 1))]
        taken = [slot for call, slot in backend.calls if call == "enqueue"]
        assert taken == [index % slots for index in range(len(taken))]

    def test_hides_the_work_of_the_host_behind_that_of_the_device(self) -> None:
        timing = replace(SHORT, duration_s=0.2)
        each = {}
        for pattern in (SERIAL, PIPELINED):
            found = measure(BusyHost(1_000_000), 2, pattern, timing)
            each[pattern] = found.elapsed_ns / len(found.timed)
        assert each[SERIAL] >= 2_000_000
        assert each[PIPELINED] < 0.75 * each[SERIAL]

    def test_takes_as_long_as_all_that_it_counts_the_last_ones_too(self) -> None:
        """The device works at one inference at a time, so that none can have come for nothing."""
        backend = KnownDelay(20_000_000)
        backend.in_flight = 6
        found = measure(backend, 6, PIPELINED, replace(SHORT, warmup_cap_s=0, duration_s=0.2, iterations=1))
        assert found.elapsed_ns >= 20_000_000 * len(found.timed)

    def test_needs_as_many_slots_as_are_under_way(self) -> None:
        backend = KnownDelay()
        backend.in_flight = 4
        assert (slots_needed(backend, PIPELINED), slots_needed(backend, SERIAL)) == (4, 1)
        measure(backend, 4, PIPELINED, SHORT)
        with pytest.raises(ValueError, match="keeps 4 inferences under way and needs as many slots, got 3"):
            measure(backend, 3, PIPELINED, SHORT)

    def test_costs_its_own_interval_what_is_calibrated(self) -> None:
        assert 0 < timer_overhead_ns("pipelined", 4) < 100_000


class Telling(Recording):
    """Tells four numbers of every inference, each of them the inference's own."""

    patterns = ("serial", "pipelined", "rate")

    def __init__(self, delay_ns: int, *, telling_ns: int = 0, forgets_after: int = 1 << 60) -> None:
        super().__init__(delay_ns)
        self._telling_ns = telling_ns
        self._forgets_after = forgets_after
        self._inferences = 0
        self._of_slot: dict[int, int] = {}

    def enqueue(self, slot: int) -> None:
        super().enqueue(slot)
        self._of_slot[slot] = self._inferences
        self._inferences += 1

    def parts(self, slot: int) -> Parts | None:
        self.calls.append(("parts", slot))
        end = time.perf_counter_ns() + self._telling_ns
        while time.perf_counter_ns() < end:
            pass
        index = self._of_slot[slot]
        return (
            Parts(index, 10**6 + index, 2 * 10**6 + index, 3 * 10**6 + index) if index < self._forgets_after else None
        )


class TestTheParts:
    @pytest.mark.parametrize(
        "pattern", [SERIAL, PIPELINED, LoadPattern.parse("rate:500"), LoadPattern.parse("rate:500,poisson")], ids=str
    )
    def test_are_those_of_each_timed_inference_in_order(self, pattern: LoadPattern) -> None:
        found = measure(Telling(300_000), 3, pattern, replace(SHORT, duration_s=0.25))
        warmed = len(found.warmup)
        indices = range(warmed, warmed + len(found.timed))
        assert len(found.timed) >= 20
        for order, name in enumerate(ProcessResult.PARTS):
            assert list(found.parts[name]) == [order * 10**6 + index for index in indices]

    def test_are_asked_for_after_the_interval_and_cost_it_nothing(self) -> None:
        backend = Telling(1_000_000, telling_ns=2_000_000)
        found = measure(backend, 2, SERIAL, replace(SHORT, duration_s=0.2))
        assert min(found.timed) <= 1_100_000
        assert statistics.median(found.timed) <= 1_500_000
        assert found.elapsed_ns / len(found.timed) >= 3_000_000
        timed = backend.calls[backend.calls.index(("parts", 0)) + 1 :]
        assert {call for call, _ in timed[0::3]} == {"enqueue"}
        assert {call for call, _ in timed[1::3]} == {"wait"}
        assert {call for call, _ in timed[2::3]} == {"parts"}

    def test_are_not_there_where_the_backend_does_not_tell(self) -> None:
        assert measure(KnownDelay(100_000), 2, SERIAL, SHORT).parts == {}

    def test_that_stop_in_mid_run_are_an_error_and_no_zeros(self) -> None:
        with pytest.raises(RuntimeError, match="parts of earlier inferences"):
            measure(Telling(1_000_000, forgets_after=40), 2, SERIAL, replace(SHORT, duration_s=0.2))


class TestTheGarbageCollector:
    def test_never_strikes_while_time_is_taken_and_is_back_afterwards(self) -> None:
        backend = Recording()
        measure(backend, 1, SERIAL, SHORT)
        assert not backend.collecting
        assert gc.isenabled()

    def test_is_back_when_the_device_fails(self) -> None:
        class Failing(KnownDelay):
            def wait(self, slot: int) -> None:
                raise RuntimeError("an illegal memory access was encountered")

        with pytest.raises(RuntimeError, match="illegal memory access"):
            measure(Failing(), 1, SERIAL, SHORT)
        assert gc.isenabled()
