"""Load time: from the start of a process to its first answer, without what edgebench does for itself in between.

An application that starts, imports its runtime, loads the model and answers once takes what PARTS name; it reads no
golden samples and makes no noise. A process is told apart by what was in memory before it started: the files of model
and runtime (`page_cache`), and what an earlier process compiled (`compile_cache`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from device_agents.contract import ProcessResult, Reading
from edge.results.energy import NotKnown
from edge.results.stats.intervals import half_width
from edge.results.store import Measurement

PARTS = ("interpreter", "import", "load", "compile", "bind", "first_inference")
"""The phases of a process that are an application's too, in their order: starting Python, importing the runtime,
loading the model, compiling it where a framework does, handing over the first inputs, the first inference."""

COLD, WARM, PARTLY = "cold", "warm", "partly"
"""What was in the page cache before a process started, of the bytes that were there after it: at most a twentieth, all
but a twentieth, or something between."""


@dataclass(frozen=True)
class ProcessLoading:
    """Of one process. `parts` are seconds by the names of PARTS, in order, and sum to `total_s`. `page_cache` is cold,
    warm, partly, or None where that could not be seen (`unseen` says why); `resident` is the share of 1 that it is
    called so for. `compile_cache` is cold or warm, None where nothing is compiled. `own_s` is what edgebench took in
    between, which is no part of the total."""

    index: int
    total_s: float
    parts: Mapping[str, float]
    page_cache: str | None
    resident: float | None
    unseen: str
    compile_cache: str | None
    own_s: float

    @property
    def start(self) -> str:
        """`cold`, `warm`, `partly warm`, `not known how warm`; with `, compiled cold` where it compiled anew."""
        told = {None: "not known how warm", PARTLY: "partly warm"}.get(self.page_cache, self.page_cache or "")
        return f"{told}, compiled {self.compile_cache}" if self.compile_cache else told


@dataclass(frozen=True)
class Start:
    """Processes that started from the same state, `name` as ProcessLoading.start has it: the mean of their totals in
    seconds with the half-width of its 95 % interval over processes (None for one), and the means of the parts."""

    name: str
    page_cache: str | None
    compile_cache: str | None
    total_s: float
    half_width_s: float | None
    parts: Mapping[str, float]
    processes: tuple[int, ...]


@dataclass(frozen=True)
class Loading:
    """All processes of a measurement, in order, and the same by how they started."""

    processes: tuple[ProcessLoading, ...]
    starts: tuple[Start, ...]

    @property
    def cold(self) -> Start | None:
        """The start of a machine that has just been switched on: nothing in the page cache, nothing compiled before."""
        return next((one for one in self.starts if one.page_cache == COLD and one.compile_cache != WARM), None)

    @property
    def warm(self) -> Start | None:
        """A start right after another one: all in the page cache, and what is compiled kept."""
        return next((one for one in self.starts if one.page_cache == WARM and one.compile_cache != COLD), None)


def of(measurement: Measurement) -> Loading | NotKnown:
    """Load times of a measurement, or why there are none."""
    processes = measurement.result.processes
    if not processes:
        return NotKnown("no process of ours ran")
    for process in processes:
        if "interpreter" not in process.seconds:
            return NotKnown("when its processes started was not recorded: it was measured by an earlier edgebench")
        if not process.first_inference_ns:
            backend = measurement.cell.backend
            return NotKnown(f"{backend} loads and answers in a process of its own, which does not tell when")
    told = tuple(map(_of_process, processes))
    return Loading(told, tuple(_starts(told)))


def _of_process(process: ProcessResult) -> ProcessLoading:
    parts = {name: process.seconds[name] for name in PARTS if name in process.seconds}
    cache, share = process.state.get("page_cache"), process.state.get("page_cache_share")
    return ProcessLoading(
        index=process.index,
        total_s=math.fsum(parts.values()),
        parts=parts,
        page_cache=_value(cache),
        resident=float(share.value) if share is not None and share.value is not None else None,
        unseen="nobody looked" if cache is None else cache.unknown or "",
        compile_cache=_value(process.state.get("compile_cache")),
        own_s=math.fsum(process.seconds.get(name, 0.0) for name in _OWN),
    )


_OWN = ("start", "memory", "golden", "inspect", "inputs")
"""What edgebench does for itself before the first answer."""


def _starts(processes: Sequence[ProcessLoading]) -> Iterable[Start]:
    by_start: dict[str, list[ProcessLoading]] = {}
    for process in processes:
        by_start.setdefault(process.start, []).append(process)
    for name, its in by_start.items():
        totals = [one.total_s for one in its]
        yield Start(
            name=name,
            page_cache=its[0].page_cache,
            compile_cache=its[0].compile_cache,
            total_s=math.fsum(totals) / len(its),
            half_width_s=half_width(totals),
            parts={part: math.fsum(one.parts[part] for one in its) / len(its) for part in its[0].parts},
            processes=tuple(one.index for one in its),
        )


def _value(reading: Reading | None) -> str | None:
    return None if reading is None or reading.value is None else str(reading.value)
