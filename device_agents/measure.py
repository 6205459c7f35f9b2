"""Warm-up and the timed loop, in integer nanoseconds of a monotonic clock. No I/O happens in here.

Inferences are timed in windows of about 100 ms; what decides whether to go on runs between windows, never between the
two clock readings of a sample.
"""

from __future__ import annotations

import gc
import statistics
import time
from array import array
from dataclasses import dataclass
from typing import Callable, Dict, List

from device_agents.backends.base import Backend
from device_agents.calibration import KnownDelay
from device_agents.contract import LoadPattern, Timing

Samples = array  # of "q": one latency in nanoseconds each
Window = Callable[[int], "Samples[int]"]

_WINDOW_NS = 100_000_000
_STABLE_WINDOWS = 3
_STABLE_SPREAD = 0.05


@dataclass(frozen=True)
class Timed:
    """Samples in ns in order, none dropped. `elapsed_ns` is the wall time of the timed part, for the throughput."""

    warmup: Samples[int]
    timed: Samples[int]
    elapsed_ns: int
    warmup_ns: int
    warmup_stable: bool


def measure(backend: Backend, slots: int, pattern: LoadPattern, timing: Timing) -> Timed:
    """Warm up, then time. Slots 0 to `slots - 1` are bound and taken in turn."""
    window = _PATTERNS[pattern.kind](backend, slots)
    gc.collect()
    gc.disable()
    try:
        warmup, warmup_ns, stable, typical_ns = _warm_up(window, timing)
        timed: Samples[int] = array("q")
        begin = time.perf_counter_ns()
        elapsed = 0
        while not _enough(timed, elapsed, timing):
            timed.extend(window(_window_size(typical_ns, _remaining_ns(timed, elapsed, timing, typical_ns))))
            elapsed = time.perf_counter_ns() - begin
    finally:
        gc.enable()
    return Timed(warmup, timed, elapsed, warmup_ns, stable)


def timer_overhead_ns(inferences: int = 2_000) -> int:
    """Median cost in ns inside the timed interval: the serial loop around a backend that does nothing."""
    window = _serial(KnownDelay(), 1)
    window(inferences // 10)
    return round(statistics.median(window(inferences)))


def _serial(backend: Backend, slots: int) -> Window:
    """A closed loop: the next inference starts when the last one has finished."""
    clock, enqueue, wait = time.perf_counter_ns, backend.enqueue, backend.wait
    position = [0]

    def window(inferences: int) -> Samples[int]:
        samples = array("q", bytes(8 * inferences))
        slot = position[0]
        for index in range(inferences):
            begin = clock()
            enqueue(slot)
            wait(slot)
            samples[index] = clock() - begin
            slot = slot + 1 if slot + 1 < slots else 0
        position[0] = slot
        return samples

    return window


def _pipelined(backend: Backend, slots: int) -> Window:
    """One inference ahead: the next is enqueued before the last one is awaited; a latency runs from its enqueue.

    The pipeline is filled and drained within a window, so nothing is in flight while the loop decides.
    """
    if slots < 2:
        raise ValueError("the pipelined pattern needs two bound slots")
    clock, enqueue, wait = time.perf_counter_ns, backend.enqueue, backend.wait

    def window(inferences: int) -> Samples[int]:
        samples = array("q", bytes(8 * inferences))
        slot, begin = 0, clock()
        enqueue(slot)
        for index in range(inferences):
            previous, previous_begin = slot, begin
            if index + 1 < inferences:
                slot = slot + 1 if slot + 1 < slots else 0
                begin = clock()
                enqueue(slot)
            wait(previous)
            samples[index] = clock() - previous_begin
        return samples

    return window


_PATTERNS: Dict[str, Callable[[Backend, int], Window]] = {"serial": _serial, "pipelined": _pipelined}


def _warm_up(window: Window, timing: Timing) -> tuple[Samples[int], int, bool, float]:
    """Run until long enough, often enough and stable; at most the cap. Returns samples, ns, stable?, a typical ns."""
    samples = window(1)
    typical_ns = float(samples[0])
    medians: List[float] = []
    begin, elapsed = time.perf_counter_ns(), 0
    while elapsed < timing.warmup_cap_s * 1e9:
        stable = _stable(medians)
        if stable and elapsed >= timing.warmup_s * 1e9 and len(samples) >= timing.warmup_iterations:
            break
        left_ns = timing.warmup_cap_s * 1e9 - elapsed
        latest = window(_window_size(typical_ns, left_ns))
        samples.extend(latest)
        medians.append(statistics.median(latest))
        typical_ns = max(medians[-1], 1.0)
        elapsed = time.perf_counter_ns() - begin
    return samples, elapsed, _stable(medians), typical_ns


def _stable(medians: List[float]) -> bool:
    last = medians[-_STABLE_WINDOWS:]
    return len(last) == _STABLE_WINDOWS and max(last) - min(last) <= _STABLE_SPREAD * min(last)


def _window_size(typical_ns: float, left_ns: float) -> int:
    """Inferences that fill a window, or what is left of the time, at the typical pace; at least 1, at most 100,000."""
    return max(1, min(100_000, round(min(_WINDOW_NS, left_ns) / typical_ns)))


def _enough(timed: Samples[int], elapsed_ns: int, timing: Timing) -> bool:
    if elapsed_ns >= timing.cap_s * 1e9:
        return True
    return elapsed_ns >= timing.duration_s * 1e9 and len(timed) >= timing.iterations


def _remaining_ns(timed: Samples[int], elapsed_ns: int, timing: Timing, typical_ns: float) -> float:
    """Time to the end of the timed part at the typical pace, so that the last window does not overshoot."""
    wanted = max(timing.duration_s * 1e9 - elapsed_ns, (timing.iterations - len(timed)) * typical_ns)
    return min(wanted, timing.cap_s * 1e9 - elapsed_ns)
