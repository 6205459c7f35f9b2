"""Arrivals at a rate against independent models of a queue, on a made-up clock; on the real one, how late we are.

The camera is checked against a simulation event by event, requests against Lindley's recursion and the mean wait that
Pollaczek and Khinchine give for constant service.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from device_agents import arrivals, loops, measure
from device_agents.backends.base import Backend
from device_agents.calibration import KnownDelay
from device_agents.codec import SchemaViolation
from device_agents.contract import LoadPattern, Timing

TICK_NS = 500
CLOSE_NS = 4 * TICK_NS  # an arrival is seen at one of the first readings after it, and times are whole nanoseconds
MS = 1_000_000


class Clock:
    """Time that passes when somebody sleeps or works, and by TICK_NS a reading for who does nothing but read it."""

    def __init__(self) -> None:
        self.ns = 10**12
        self._idle = 0

    def perf_counter_ns(self) -> int:
        self._idle += 1
        if self._idle > 10:
            self.ns += TICK_NS
        return self.ns

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.work(round(seconds * 1e9) + 60_000)  # as late as Linux wakes a process

    def work(self, ns: int) -> None:
        self._idle = 0
        self.ns += ns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(arrivals, "time", made)
    monkeypatch.setattr(loops, "time", made)
    monkeypatch.setattr(measure, "time", made)
    return made


class Device(Backend):
    """Serves one inference in the time that `service_ns` gives for it; notes when each began."""

    patterns = ("rate",)

    def __init__(self, clock: Clock, service_ns: Callable[[int], int]) -> None:
        self._clock = clock
        self._service_ns = service_ns
        self.begun: list[int] = []
        self.services: list[int] = []

    def enqueue(self, slot: int) -> None:
        self.begun.append(self._clock.ns)
        self.services.append(self._service_ns(len(self.begun)))

    def wait(self, slot: int) -> None:
        self._clock.work(self.services[-1])


NO_WARMUP = Timing(processes=1, warmup_s=0, warmup_iterations=0, warmup_cap_s=0, duration_s=2.0, iterations=1)


def camera_model(services: Sequence[int], period: float, end: int) -> tuple[list[int], int, int, int]:
    """(latencies, arrivals, dropped, waiting): every arrival and every end of service is an event."""
    latencies: list[int] = []
    waiting: int | None = None
    free_at, arrivals, dropped, upcoming = 0, 0, 0, iter(services)
    while True:
        due = round(arrivals * period)
        if waiting is not None and free_at <= due:  # the device is free before the next frame comes
            if free_at >= end:
                break
            free_at += next(upcoming)
            latencies.append(free_at - waiting)
            waiting = None
            continue
        if due >= max(end, free_at if latencies and free_at > end else 0):
            break
        arrivals += 1
        if due >= free_at and waiting is None:
            free_at = due + next(upcoming)
            latencies.append(free_at - due)
            continue
        dropped += waiting is not None
        waiting = due
    return latencies, arrivals, dropped, int(waiting is not None)


class TestACamera:
    @pytest.mark.parametrize("seed", range(12))
    def test_drops_and_waits_as_a_simulation_of_its_events_does(self, clock: Clock, seed: int) -> None:
        chance = random.Random(seed)
        per_s = chance.choice([15, 30, 60, 240])
        mean_ms = chance.choice([0.2, 0.7, 1.5]) * 1e3 / per_s
        device = Device(clock, lambda _: round(chance.uniform(0.3, 2.5) * mean_ms * MS))
        found = measure.measure(device, 2, LoadPattern("rate", per_s), replace(NO_WARMUP, duration_s=3.0))
        services = device.services[len(found.warmup) :]
        latencies, arrivals, dropped, waiting = camera_model([*services, 0, 0], 1e9 / per_s, 3_000 * MS)
        assert len(found.timed) == len(latencies)
        assert all(0 <= sample - wanted <= CLOSE_NS for sample, wanted in zip(found.timed, latencies, strict=True))
        assert (found.counts["arrivals"], found.counts["dropped"], found.counts["waiting"]) == (
            arrivals, dropped, waiting,
        )  # fmt: skip
        assert found.counts["late"] == sum(sample > 1e9 / per_s for sample in found.timed)

    def test_that_is_slower_than_the_device_sees_the_bare_latency_and_its_own_rate(self, clock: Clock) -> None:
        device = Device(clock, lambda _: 5 * MS)
        found = measure.measure(device, 1, LoadPattern("rate", 30.0), Timing(processes=1))
        assert len(found.timed) == 150
        assert found.elapsed_ns == pytest.approx(5e9, rel=1e-5)
        assert max(found.timed) <= 5 * MS + CLOSE_NS
        assert found.warmup_stable
        lag = found.counts.pop("wake_lag_ns")
        assert 0 <= lag <= 10 * TICK_NS
        assert found.counts == {"arrivals": 150, "late": 0, "dropped": 0, "waiting": 0}

    def test_that_is_faster_than_the_device_gets_what_the_device_can_do(self, clock: Clock) -> None:
        """10 ms an inference at 250 frames a second: the newest frame is at most 4 ms old when it is taken."""
        found = measure.measure(Device(clock, lambda _: 10 * MS), 1, LoadPattern("rate", 250.0), NO_WARMUP)
        assert len(found.timed) / found.elapsed_ns * 1e9 == pytest.approx(100, rel=0.01)
        assert all(10 * MS <= sample <= 14 * MS + CLOSE_NS for sample in found.timed)
        assert found.counts["late"] == len(found.timed)
        assert found.counts["dropped"] == pytest.approx(0.6 * found.counts["arrivals"], rel=0.02)
        assert found.counts["arrivals"] == len(found.timed) + found.counts["dropped"] + found.counts["waiting"]

    def test_begins_no_inference_before_its_frame_is_there(self, clock: Clock) -> None:
        device = Device(clock, lambda _: 3 * MS)
        found = measure.measure(device, 1, LoadPattern("rate", 30.0), NO_WARMUP)
        begun = device.begun[len(found.warmup) :]
        first = begun[0]
        for frame, at in enumerate(begun):
            assert -CLOSE_NS <= at - (first + frame * 1e9 / 30) <= CLOSE_NS

    @pytest.mark.parametrize("per_s", [7.0, 24.0, 29.97, 30.0, 59.94, 144.0, 997.0])
    def test_counts_the_frames_before_a_moment_although_periods_are_no_whole_nanoseconds(
        self, clock: Clock, per_s: float
    ) -> None:
        """Before the n-th frame comes there were n, and a nanosecond later there is one more."""
        camera = arrivals.Camera(KnownDelay(), 1, LoadPattern("rate", per_s))
        begin = camera.restart()
        for frame in range(1, 5_000):
            due = begin + round(frame * 1e9 / per_s)
            assert camera._arrived(due)[0] == frame
            assert camera._arrived(due + 1)[0] == frame + 1

    @pytest.mark.parametrize(
        ("per_s", "cap_s", "samples", "seconds"), [(30.0, 4.0, 120, 4.0), (1.0, 4.0, 4, 4.0), (0.01, 4.0, 1, 4.0)]
    )
    def test_never_keeps_a_run_beyond_its_cap(
        self, clock: Clock, per_s: float, cap_s: float, samples: int, seconds: float
    ) -> None:
        timing = Timing(processes=1, warmup_cap_s=2.0, cap_s=cap_s)
        found = measure.measure(Device(clock, lambda _: 5 * MS), 1, LoadPattern("rate", per_s), timing)
        assert len(found.timed) == samples
        assert found.elapsed_ns == pytest.approx(seconds * 1e9, rel=1e-4)
        assert found.warmup_ns <= 2.001e9

    def test_has_one_sample_of_a_device_slower_than_the_cap(self, clock: Clock) -> None:
        timing = replace(NO_WARMUP, cap_s=0.5)
        found = measure.measure(Device(clock, lambda _: 1_200 * MS), 1, LoadPattern("rate", 10.0), timing)
        assert len(found.timed) == 1
        assert {**found.counts, "late": 0} == {"arrivals": 12, "late": 0, "dropped": 10, "waiting": 1}

    def test_that_came_while_the_host_slept_too_long_is_told(
        self, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A machine that wakes us 5 ms late: the latency has it, and the lag says whose it is."""
        monkeypatch.setattr(Clock, "sleep", lambda self, seconds: self.work(round(seconds * 1e9) + 5 * MS))
        found = measure.measure(Device(clock, lambda _: MS), 1, LoadPattern("rate", 30.0), NO_WARMUP)
        assert found.counts["wake_lag_ns"] == pytest.approx(4.8 * MS, rel=0.02)

    def test_drops_what_came_and_went_while_the_host_slept(self, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        """As while the device computes: whoever wakes takes the newest frame, never one that another has replaced."""
        monkeypatch.setattr(Clock, "sleep", lambda self, seconds: self.work(round(seconds * 1e9) + 5 * MS))
        found = measure.measure(Device(clock, lambda _: MS), 1, LoadPattern("rate", 240.0), NO_WARMUP)
        assert max(found.timed) <= 1e9 / 240 + MS + CLOSE_NS
        assert found.counts["dropped"] > 0.2 * found.counts["arrivals"]
        assert found.counts["wake_lag_ns"] == pytest.approx(4.8 * MS, rel=0.02)


class TestRequests:
    @pytest.mark.parametrize("seed", range(6))
    @pytest.mark.parametrize("load", [0.3, 0.8, 1.3])
    def test_wait_as_lindley_says(self, clock: Clock, seed: int, load: float) -> None:
        chance = random.Random(100 + seed)
        device = Device(clock, lambda _: round(chance.uniform(0.5, 1.5) * load * 10 * MS))
        pattern = LoadPattern.parse("rate:100,poisson")
        found = measure.measure(device, 3, pattern, NO_WARMUP, seed)
        gaps, due = random.Random(seed), 0
        free_at, arrivals, latencies = 0, [0], []
        for service in device.services[len(found.warmup) :]:
            start = max(due, free_at)
            free_at = start + service
            latencies.append(free_at - due)
            due += round(gaps.expovariate(1.0) * 10 * MS)
            arrivals.append(due)
        assert all(0 <= sample - wanted <= CLOSE_NS for sample, wanted in zip(found.timed, latencies, strict=True))
        assert found.counts["dropped"] == 0
        assert found.counts["seed"] == seed
        assert found.counts["arrivals"] == len(found.timed) + found.counts["waiting"]
        assert (found.counts["waiting"] > 10) == (load > 1)

    def test_of_constant_service_wait_as_long_as_pollaczek_and_khinchine_say(self, clock: Clock) -> None:
        """M/D/1 at half load: on average a request waits half its own service time."""
        pattern = LoadPattern.parse("rate:500,poisson")
        found = measure.measure(Device(clock, lambda _: MS), 1, pattern, replace(NO_WARMUP, duration_s=100.0), 7)
        assert len(found.timed) == pytest.approx(50_000, rel=0.02)
        assert statistics.mean(found.timed) == pytest.approx(1.5 * MS, rel=0.03)
        assert found.counts["late"] == sum(sample > 2 * MS for sample in found.timed)

    def test_are_the_same_for_the_same_seed_however_long_the_warm_up(self, clock: Clock) -> None:
        pattern = LoadPattern.parse("rate:50,poisson")

        def begun(seed: int, warmup_s: float) -> list[int]:
            device = Device(clock, lambda _: MS)
            timing = replace(NO_WARMUP, warmup_s=warmup_s, warmup_cap_s=2 * warmup_s)
            found = measure.measure(device, 1, pattern, timing, seed)
            times = device.begun[len(found.warmup) :]
            return [at - times[0] for at in times]

        assert begun(3, 0.0) == pytest.approx(begun(3, 1.0), abs=CLOSE_NS)
        assert begun(3, 0.0) != pytest.approx(begun(4, 0.0), abs=CLOSE_NS)


class TestOnTheRealClock:
    def test_our_own_waking_is_no_part_of_a_latency(self) -> None:
        """The kernel wakes a sleeper some 60 us late; the last 200 us before an arrival are spun."""
        timing = Timing(processes=1, warmup_s=0, warmup_iterations=5, warmup_cap_s=0.3, duration_s=0.5, iterations=20)
        shortest = 1000 * MS
        for _ in range(10):  # a busy machine can only make a sample longer: one undisturbed one is enough
            found = measure.measure(KnownDelay(2 * MS), 2, LoadPattern("rate", 100.0), timing)
            shortest = min(shortest, *found.timed)
            if shortest <= 2.02 * MS:
                break
        assert 2 * MS <= shortest <= 2.02 * MS
        assert found.counts["wake_lag_ns"] >= 0
        assert found.counts["arrivals"] == len(found.timed) + found.counts["dropped"] + found.counts["waiting"]
        assert found.elapsed_ns >= 0.5e9


class TestATimeOut:
    @pytest.mark.parametrize(("arrivals", "service_ms", "timeout_ms"), [("", 40, 45), (",poisson", 20, 50)])
    def test_counts_the_answers_after_it_and_keeps_them_all(
        self, clock: Clock, arrivals: str, service_ms: int, timeout_ms: int
    ) -> None:
        """Of a camera whose frames wait, and of requests that queue: some are in time and some are not."""
        pattern = LoadPattern.parse(f"rate:30{arrivals},timeout:{timeout_ms}ms")
        long = replace(NO_WARMUP, duration_s=20)
        found, plain = (
            measure.measure(Device(clock, lambda _: service_ms * MS), 1, one, long)
            for one in (pattern, replace(pattern, timeout_s=0.0))
        )
        late = sum(sample > timeout_ms * MS for sample in found.timed)
        assert found.counts["late"] == late
        assert 0 < late < len(found.timed)
        assert found.counts["timeout_ns"] == timeout_ms * MS
        assert len(found.timed) == found.counts["arrivals"] - found.counts["dropped"] - found.counts["waiting"]
        assert len(found.timed) == len(plain.timed), "the load is the same, late or not"
        assert plain.counts["late"] == sum(sample > 1e9 / 30 for sample in plain.timed)
        assert "timeout_ns" not in plain.counts

    @pytest.mark.parametrize(
        ("text", "timeout_s"),
        [
            ("rate:30,timeout:50ms", 0.05),
            ("rate:30,poisson,timeout:1.5s", 1.5),
            ("rate:0.5,timeout:250us", 250e-6),
            ("rate:5,timeout:1234.5678ms", 1.2345678),
        ],
    )
    def test_is_read_and_written(self, text: str, timeout_s: float) -> None:
        pattern = LoadPattern.parse(text)
        assert pattern.timeout_s == pytest.approx(timeout_s)
        assert LoadPattern.parse(str(pattern)) == pattern

    @pytest.mark.parametrize(
        "text", ["rate:30,timeout:50", "rate:30,timeout:ms", "rate:30,timeout:50ms,poisson", "rate:30,timeout:0ms!",
                 "rate:30,late:50ms", "rate:30,timeout:2h"]
    )  # fmt: skip
    def test_that_is_none_is_refused_in_a_sentence(self, text: str) -> None:
        with pytest.raises(SchemaViolation, match="is no rate; write rate:30, rate:30,poisson or rate:30,timeout:50ms"):
            LoadPattern.parse(text)

    def test_belongs_to_a_rate_and_ends_within_an_hour(self) -> None:
        for wrong in ({"kind": "serial", "timeout_s": 0.05}, {"kind": "rate", "per_s": 30.0, "timeout_s": 4000.0}):
            with pytest.raises(SchemaViolation, match="a time-out is that of a rate"):
                LoadPattern(**wrong)  # type: ignore[arg-type]
