"""Load patterns: the loops around a backend's enqueue and wait, in integer nanoseconds of a monotonic clock.

A loop works in windows. What decides whether to go on, and what allocates, runs between windows; what asks for the
parts of an inference runs after the second clock reading of its sample.
"""

from __future__ import annotations

import itertools
import math
import random
import statistics
import time
from array import array
from typing import Dict, Iterable, List, Sequence, Tuple

from device_agents.backends.base import Backend
from device_agents.contract import LoadPattern, ProcessResult

Samples = array  # of "q": one latency in nanoseconds each

_WINDOW_NS = 100_000_000
_WINDOW_ARRIVALS = 8
_MOST = 100_000  # inferences in a window: 4 MB of samples and parts
_SPIN_NS = 200_000  # a sleeping process wakes tens of microseconds late (timer slack), and later on a busy machine


class Tape:
    """What a window takes down: latencies and, where the backend tells them, parts; allocated before it begins. One of
    no size takes up those of windows."""

    def __init__(self, size: int, parts: bool) -> None:
        self.samples: Samples[int] = array("q", bytes(8 * size))
        self.parts: List[Samples[int]] = [array("q", bytes(8 * size)) for _ in ProcessResult.PARTS if parts]

    def extend(self, later: "Tape") -> None:
        self.samples.extend(later.samples)
        for part, more in zip(self.parts, later.parts):
            part.extend(more)


class Loop:
    """One load pattern over slots 0 to `slots - 1`, taken in turn. `tells`: the backend tells the parts of an
    inference, which are asked for then."""

    def __init__(self, backend: Backend, slots: int) -> None:
        self._pace_ns = math.inf
        self.tells = False
        self._backend = backend
        self._slots = slots
        self._slot = 0

    def restart(self) -> int:
        """Begin a part, warm-up or timed; returns the clock's reading."""
        return time.perf_counter_ns()

    def window(self, until_ns: int) -> Tape:
        """Run for about 100 ms, or less to end at `until_ns`; one inference at least."""
        begin = time.perf_counter_ns()
        left_ns = max(0, min(_WINDOW_NS, until_ns - begin))
        tape = Tape(max(1, min(_MOST, round(left_ns / self._pace_ns))), self.tells)
        self._run(tape)
        self._pace_ns = max(1.0, (time.perf_counter_ns() - begin) / len(tape.samples))
        return tape

    def finish(self) -> Tape:
        """Await what is still under way."""
        return Tape(0, self.tells)

    def ready_ns(self, inferences: int) -> int:
        """The clock's reading when so many more inferences will be done at the present pace."""
        return time.perf_counter_ns() + round(inferences * self._pace_ns)

    def levels(self, windows: Iterable[Samples[int]]) -> List[float]:
        """Of each of the latest windows one figure, which is the same where nothing changes."""
        return [statistics.median(window) for window in windows]

    def drawn(self) -> Samples[int]:
        """The sizes of this part's inferences in order, where the pattern draws them; else nothing."""
        return array("q")

    def counts(self, samples: Samples[int]) -> Dict[str, int]:  # noqa: ARG002
        """What happened in this part beside `samples`, all of its latencies."""
        return {}

    def _run(self, tape: Tape) -> None:
        raise NotImplementedError

    def _keep(self, tape: Tape, index: int, slot: int) -> None:
        if not tape.parts:
            return
        told = self._backend.parts(slot)
        if told is None:
            raise RuntimeError(f"the backend told the parts of earlier inferences and not of the one in slot {slot}")
        for part, value in zip(tape.parts, told):
            part[index] = value


class Serial(Loop):
    """A closed loop: the next inference starts when the last one has finished."""

    def _run(self, tape: Tape) -> None:
        clock, enqueue, wait, keep = time.perf_counter_ns, self._backend.enqueue, self._backend.wait, self._keep
        samples, slot, slots = tape.samples, self._slot, self._slots
        for index in range(len(samples)):
            begin = clock()
            enqueue(slot)
            wait(slot)
            samples[index] = clock() - begin
            keep(tape, index, slot)
            slot = slot + 1 if slot + 1 < slots else 0
        self._slot = slot


class Drawn(Loop):
    """A closed loop over images of a size that is drawn for each inference, every one as likely as another and the same
    ones for the same seed. The slots of a size lie together, as many of each, and are taken in turn."""

    def __init__(self, backend: Backend, slots: int, sizes: Sequence[int], seed: int) -> None:
        super().__init__(backend, slots)
        if slots < len(sizes) or slots % len(sizes):
            raise ValueError(f"{len(sizes)} sizes need as many slots each, got {slots} in all")
        self._sizes = sizes
        self._seed = seed
        self._each = slots // len(sizes)

    def restart(self) -> int:
        self._random = random.Random(self._seed)
        self._turns = [0] * len(self._sizes)
        self._drawn: Samples[int] = array("q")
        return super().restart()

    def levels(self, windows: Iterable[Samples[int]]) -> List[float]:
        """Latencies over the usual one of their size, as one window has other sizes than the next."""
        latest = list(windows)
        first = len(self._drawn) - sum(map(len, latest))
        by_size: Dict[int, List[int]] = {}
        for size, sample in zip(self._drawn[first:], itertools.chain.from_iterable(latest)):
            by_size.setdefault(size, []).append(sample)
        usual = {size: statistics.median(its) for size, its in by_size.items()}
        sizes = iter(self._drawn[first:])
        return [statistics.median([sample / usual[next(sizes)] for sample in window]) for window in latest]

    def drawn(self) -> Samples[int]:
        return self._drawn

    def _run(self, tape: Tape) -> None:
        clock, enqueue, wait, keep = time.perf_counter_ns, self._backend.enqueue, self._backend.wait, self._keep
        samples, slots = tape.samples, [self._draw() for _ in tape.samples]
        for index, slot in enumerate(slots):
            begin = clock()
            enqueue(slot)
            wait(slot)
            samples[index] = clock() - begin
            keep(tape, index, slot)

    def _draw(self) -> int:
        """The slot of the next inference, whose size is taken down."""
        which = int(self._random.random() * len(self._sizes))
        self._drawn.append(self._sizes[which])
        turn = self._turns[which]
        self._turns[which] = (turn + 1) % self._each
        return which * self._each + turn


class Pipelined(Loop):
    """As many inferences under way as the backend says; a latency runs from its enqueue.

    The pipeline fills at the start of a part and drains at its end, not between windows: of a slow model a window
    holds few inferences. A backend's parts are asked before the next inference is enqueued, so that its cost falls on
    those under way, as in trtexec.
    """

    def __init__(self, backend: Backend, slots: int) -> None:
        super().__init__(backend, slots)
        if slots < backend.in_flight:
            message = f"the pipelined pattern keeps {backend.in_flight} inferences under way and needs as many slots"
            raise ValueError(f"{message}, got {slots}")
        self._begins: Samples[int] = array("q", bytes(8 * slots))
        self._oldest = 0
        self._under_way = 0

    def _run(self, tape: Tape) -> None:
        clock, enqueue, begins, slots = time.perf_counter_ns, self._backend.enqueue, self._begins, self._slots
        slot, depth = self._slot, self._backend.in_flight
        for index in range(len(tape.samples)):
            while self._under_way < depth:
                begins[slot] = clock()
                enqueue(slot)
                self._under_way += 1
                slot = slot + 1 if slot + 1 < slots else 0
            self._await(tape, index)
        self._slot = slot

    def finish(self) -> Tape:
        tape = Tape(self._under_way, self.tells)
        for index in range(self._under_way):
            self._await(tape, index)
        return tape

    def _await(self, tape: Tape, index: int) -> None:
        slot = self._oldest
        self._backend.wait(slot)
        tape.samples[index] = time.perf_counter_ns() - self._begins[slot]
        self._under_way -= 1
        self._oldest = slot + 1 if slot + 1 < self._slots else 0
        self._keep(tape, index, slot)


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
        self._window_ns = round(max(_WINDOW_NS, _WINDOW_ARRIVALS * self._gap_ns))
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
        size = max(1, min(_MOST, math.ceil((end - now) / self._gap_ns) + _WINDOW_ARRIVALS))
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


def create(backend: Backend, slots: int, pattern: LoadPattern, seed: int) -> Loop:
    """The loop of a load pattern. Errors: ValueError when it needs other slots."""
    if pattern.loop == "pipelined":
        return Pipelined(backend, slots)
    if pattern.loop == "serial":
        return Serial(backend, slots)
    if pattern.loop == "sizes":
        return Drawn(backend, slots, pattern.sizes, seed)
    return Requests(backend, slots, pattern, seed) if pattern.poisson else Camera(backend, slots, pattern)


def slots_needed(backend: Backend, pattern: LoadPattern) -> int:
    """How many slots must be bound at least; asked after load, which may settle how many are in flight."""
    return backend.in_flight if pattern.kind == "pipelined" else max(1, len(pattern.sizes))


def _wait_until(due_ns: int) -> int:
    """Sleep, then spin for the last 200 us; returns the clock's reading."""
    left_ns = due_ns - time.perf_counter_ns()
    if left_ns > _SPIN_NS:
        time.sleep((left_ns - _SPIN_NS) / 1e9)
    while True:
        now = time.perf_counter_ns()
        if now >= due_ns:
            return now
