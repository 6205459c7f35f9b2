"""Open loops: inferences are asked for when the world wants them, be it a camera or people who ask."""

from __future__ import annotations

import math
import random
import statistics
import time
from array import array
from typing import Dict, Tuple

from device_agents.backends.base import Backend
from device_agents.contract import LoadPattern
from device_agents.loops import MOST, WINDOW_NS, Loop, Samples, Tape

_WINDOW_ARRIVALS = 8
_SPIN_NS = 200_000  # a sleeping process wakes tens of microseconds late (timer slack), and later on a busy machine


class _Arrivals(Loop):
    """An open loop: inferences are asked for when the world wants them, and a latency runs from the arrival.

    The first arrival comes as a part begins and is always served. Ours is one inference at a time; `late` is a latency
    above the pattern's time-out or, without one, the mean gap between arrivals, for a camera its period. Where nothing
    waits we sleep, then spin, so that our own waking is no part of the latency; how far behind such an arrival we were
    is `wake_lag_ns`, its median.
    """

    def __init__(self, backend: Backend, slots: int, pattern: LoadPattern) -> None:
        super().__init__(backend, slots)
        self._gap_ns = 1e9 / pattern.per_s
        self._timeout_ns = round(1e9 * pattern.timeout_s)
        self._window_ns = round(max(WINDOW_NS, _WINDOW_ARRIVALS * self._gap_ns))
        self._lags: Samples[int] = array("q")
        self._begin_ns = self._end_ns = 0
        self._served = 0

    def restart(self) -> int:
        self._begin_ns = self._end_ns = super().restart()
        self._lags = array("q")
        self._served = 0
        return self._begin_ns

    def window(self, until_ns: int) -> Tape:
        """Serve what arrives until `until_ns`, for about 100 ms or eight gaps at most; may be nothing."""
        clock, enqueue, wait = time.perf_counter_ns, self._backend.enqueue, self._backend.wait
        now = clock()
        end = min(until_ns, now + self._window_ns)
        size = max(1, min(MOST, math.ceil((end - now) / self._gap_ns) + _WINDOW_ARRIVALS))
        tape, lags, slot = Tape(size, self.tells), array("q", bytes(8 * size)), self._slot
        index = idle = done = 0
        while index < size:
            now = clock()
            if now >= end and self._served:
                break
            due = self._next(now)
            if due >= end and end < until_ns and index:
                break  # the idle time after an inference is where others decide whether to go on
            if due > now:
                now = _wait_until(min(due, end))
                if due >= end:
                    break
                lags[idle] = now - due
                idle += 1
                due = self._next(now)  # who sleeps too long may miss a frame
            self._take()
            enqueue(slot)
            wait(slot)
            done = clock()
            tape.samples[index] = done - due
            self._served += 1
            self._keep(tape, index, slot)
            slot = slot + 1 if slot + 1 < self._slots else 0
            index += 1
        self._slot = slot
        self._end_ns = max(done, self._end_ns)
        self._lags.extend(lags[:idle])
        for numbers in (tape.samples, *tape.parts):
            del numbers[index:]
        return tape

    def counts(self, samples: Samples[int]) -> Dict[str, int]:
        arrivals, waiting = self._arrived(self._end_ns)
        lag = {"wake_lag_ns": round(statistics.median(self._lags))} if self._lags else {}
        late_ns = self._timeout_ns or self._gap_ns
        return {
            "arrivals": arrivals,
            "late": sum(sample > late_ns for sample in samples),
            "dropped": arrivals - waiting - len(samples),
            "waiting": waiting,
            **lag,
            **({"timeout_ns": self._timeout_ns} if self._timeout_ns else {}),
        }

    def _next(self, now_ns: int) -> int:
        """When the arrival that is to be served next came, or will come."""
        raise NotImplementedError

    def _take(self) -> None:
        """That arrival is being served."""
        raise NotImplementedError

    def _arrived(self, end_ns: int) -> Tuple[int, int]:
        """Arrivals before `end_ns` since the part began, and how many of them were still waiting then."""
        raise NotImplementedError


class Camera(_Arrivals):
    """A frame each period. One that arrives while another still waits takes its place: the older one is dropped."""

    def restart(self) -> int:
        self._frame = 0  # the next that may be served
        return super().restart()

    def ready_ns(self, inferences: int) -> int:
        each = self._frame / self._served if self._served else 1.0
        return self._time(self._frame + inferences * each)

    def _time(self, frame: float) -> int:
        return self._begin_ns + round(frame * self._gap_ns)

    def _next(self, now_ns: int) -> int:
        self._frame = max(self._frame, int((now_ns - self._begin_ns) / self._gap_ns))
        return self._time(self._frame)

    def _take(self) -> None:
        self._frame += 1

    def _arrived(self, end_ns: int) -> Tuple[int, int]:
        frames = max(1, math.ceil((end_ns - self._begin_ns) / self._gap_ns))
        if frames > 1 and self._time(frames - 1) >= end_ns:  # a period is no whole number of ns
            frames -= 1
        return frames, int(frames > self._frame)


class Requests(_Arrivals):
    """Requests with exponential gaps (a Poisson process), the same ones for the same seed; all wait their turn."""

    def __init__(self, backend: Backend, slots: int, pattern: LoadPattern, seed: int) -> None:
        super().__init__(backend, slots, pattern)
        self._seed = seed

    def restart(self) -> int:
        self._random = random.Random(self._seed)
        self._due_ns = super().restart()
        return self._due_ns

    def ready_ns(self, inferences: int) -> int:
        return time.perf_counter_ns() + round(inferences * self._gap_ns)

    def counts(self, samples: Samples[int]) -> Dict[str, int]:
        return {**super().counts(samples), "seed": self._seed}

    def _next(self, now_ns: int) -> int:  # noqa: ARG002 - nothing is dropped
        return self._due_ns

    def _take(self) -> None:
        self._due_ns += round(self._random.expovariate(1.0) * self._gap_ns)

    def _arrived(self, end_ns: int) -> Tuple[int, int]:
        waiting = 0
        while self._due_ns < end_ns:
            self._take()
            waiting += 1
        return self._served + waiting, waiting


def _wait_until(due_ns: int) -> int:
    """Sleep, then spin for the last 200 us; returns the clock's reading."""
    left_ns = due_ns - time.perf_counter_ns()
    if left_ns > _SPIN_NS:
        time.sleep((left_ns - _SPIN_NS) / 1e9)
    while True:
        now = time.perf_counter_ns()
        if now >= due_ns:
            return now
