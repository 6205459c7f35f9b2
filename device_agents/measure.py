"""Warm-up and the timed part, in integer nanoseconds of a monotonic clock. No I/O happens in here.

Inferences are timed in windows of about 100 ms; what decides whether to go on runs between windows, never between the
two clock readings of a sample.
"""

from __future__ import annotations

import gc
import statistics
import time
from array import array
from collections import deque
from dataclasses import dataclass, field
from typing import Deque, Dict, List, Optional, Tuple

from device_agents import patterns
from device_agents.backends.base import Backend
from device_agents.calibration import KnownDelay
from device_agents.contract import LoadPattern, ProcessResult, Timing
from device_agents.loops import Loop, Samples, Tape
from device_agents.patterns import slots_needed

__all__ = ["Samples", "Timed", "measure", "slots_needed", "timer_overhead_ns"]

_STABLE_WINDOWS = 3
_STABLE_SPREAD = 0.05
_RECENT_WINDOWS = 20
_MOST = 10_000_000  # samples of a process: 80 MB, and 400 with the parts of each. A soak ends there


def _none() -> Samples[int]:
    return array("q")


@dataclass(frozen=True)
class Timed:
    """Samples in ns in order, none dropped. `elapsed_ns` is the wall time of the timed part, for the throughput;
    `began_ns` of the same clock is when it began, 0 where a tool with a loop of its own does not tell.

    `warmup_stable` is None where a tool warmed up by itself and nobody looked.

    `parts` holds as many samples as `timed` under each of ProcessResult.PARTS, or nothing where the backend does not
    tell them. `counts` are those of a rate: `arrivals`, `late` (latency above the time-out or, without one,
    the period or mean gap), `dropped`, `waiting` at the end, `wake_lag_ns` (median; where an arrival met an idle
    device), the `seed` of requests, and the `timeout_ns` that was given. `sizes` are those of the timed inferences,
    one each, where the load pattern draws them.
    """

    warmup: Samples[int]
    timed: Samples[int]
    elapsed_ns: int
    warmup_ns: int
    warmup_stable: Optional[bool]
    parts: Dict[str, Samples[int]] = field(default_factory=dict)
    counts: Dict[str, int] = field(default_factory=dict)
    began_ns: int = 0
    sizes: Samples[int] = field(default_factory=_none)


def measure(backend: Backend, slots: int, pattern: LoadPattern, timing: Timing, seed: int = 0) -> Timed:
    """Warm up, then time. Slots 0 to `slots - 1` are bound and taken in turn; `seed` is that of a poisson rate and of
    drawn sizes, of which each has as many slots, the lowest size first.

    Errors: ValueError for fewer than `slots_needed(backend, pattern)`.
    """
    loop = patterns.create(backend, slots, pattern, seed)
    gc.collect()
    gc.disable()
    try:
        warmup, warmup_ns, stable = _warm_up(loop, backend, timing)
        tapes: Deque[Tape] = deque()
        count = elapsed = 0
        begin = loop.restart()
        while not count or not _enough(count, elapsed, timing):
            tapes.append(loop.window(_end_ns(loop, begin, count, timing)))
            count += len(tapes[-1].samples)
            elapsed = time.perf_counter_ns() - begin
        tapes.append(loop.finish())
        elapsed = time.perf_counter_ns() - begin
    finally:
        gc.enable()
    whole = _joined(tapes, loop.tells)
    parts = dict(zip(ProcessResult.PARTS, whole.parts))
    counts = loop.counts(whole.samples)
    return Timed(warmup, whole.samples, elapsed, warmup_ns, stable, parts, counts, begin, loop.drawn())


def _joined(tapes: Deque[Tape], parts: bool) -> Tape:
    """After timing, as copying takes time; each is let go as it is copied."""
    whole = Tape(0, parts)
    while tapes:
        whole.extend(tapes.popleft())
    return whole


def timer_overhead_ns(kind: str = "serial", in_flight: int = 2, inferences: int = 2_000) -> int:
    """Median cost in ns inside the timed interval: the loop around a backend that does nothing, with `in_flight`
    inferences under way where the pattern's kind is pipelined. What a rate adds to it is its `wake_lag_ns`; drawn
    sizes add nothing."""
    nothing = KnownDelay()
    nothing.in_flight = in_flight
    loop = patterns.create(nothing, in_flight, LoadPattern(kind if kind == "pipelined" else "serial"), 0)
    samples: Samples[int] = array("q")
    for _ in range(inferences // 10):
        loop.window(0)
    while len(samples) < inferences:
        samples.extend(loop.window(loop.ready_ns(inferences)).samples)
    loop.finish()
    return round(statistics.median(samples))


def _warm_up(loop: Loop, backend: Backend, timing: Timing) -> Tuple[Samples[int], int, bool]:
    """Run until long enough, often enough and stable; at most the cap. Returns samples, ns, stable?"""
    samples = loop.window(loop.restart()).samples
    recent: Deque[Samples[int]] = deque(maxlen=_RECENT_WINDOWS)
    loop.tells = backend.parts(0) is not None
    begin, elapsed = time.perf_counter_ns(), 0
    cap_ns = begin + round(timing.warmup_cap_s * 1e9)
    while elapsed < timing.warmup_cap_s * 1e9:
        stable = _stable(loop.levels(recent))
        if stable and elapsed >= timing.warmup_s * 1e9 and len(samples) >= timing.warmup_iterations:
            break
        latest = loop.window(cap_ns).samples
        samples.extend(latest)
        if latest:
            recent.append(latest)
        elapsed = time.perf_counter_ns() - begin
    stable = _stable(loop.levels(recent))
    samples.extend(loop.finish().samples)
    return samples, elapsed, stable


def _stable(levels: List[float]) -> bool:
    last = levels[-_STABLE_WINDOWS:]
    return len(last) == _STABLE_WINDOWS and max(last) - min(last) <= _STABLE_SPREAD * min(last)


def _enough(count: int, elapsed_ns: int, timing: Timing) -> bool:
    if elapsed_ns >= timing.cap_s * 1e9 or count >= _MOST:
        return True
    return elapsed_ns >= timing.duration_s * 1e9 and count >= timing.iterations


def _end_ns(loop: Loop, begin_ns: int, count: int, timing: Timing) -> int:
    """Where the timed part ends at the present pace, so that the last window does not overshoot."""
    missing = timing.iterations - count
    wanted = begin_ns + round(timing.duration_s * 1e9)
    if missing > 0:
        wanted = max(wanted, loop.ready_ns(missing))
    return min(wanted, begin_ns + round(timing.cap_s * 1e9))
