"""Closed loops around a backend's enqueue and wait, and what all loops share, in integer nanoseconds of a monotonic
clock.

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
from typing import Dict, Iterable, List, Sequence

from device_agents.backends.base import Backend
from device_agents.contract import ProcessResult

Samples = array  # of "q": one latency in nanoseconds each

WINDOW_NS = 100_000_000
MOST = 100_000  # inferences in a window: 4 MB of samples and parts


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
        left_ns = max(0, min(WINDOW_NS, until_ns - begin))
        tape = Tape(max(1, min(MOST, round(left_ns / self._pace_ns))), self.tells)
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
