"""Trace events, as chrome://tracing and Perfetto read them: phases, inferences, and what the device did as counters.

After "Trace Event Format" (the JSON object format): `X` is a complete event, `b` and `e` the ends of one that overlaps
others, `C` a counter, `M` names a process or a thread. `ts` and `dur` are in microseconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from device_agents.contract import ProcessResult
from edge import version
from edge.results.interop.given import Given, starts_ns

Event = dict[str, Any]

_BEFORE = ("import", "load", "first_inference", "parity_before", "warmup")
_LANES = 2  # of a process: phases and inferences, parts
_PARTS = ("h2d", "compute", "d2h")


def write(given: Sequence[Given]) -> bytes:
    """Each measurement is a process of the trace, by the device's own monotonic clock where it told when it began to
    time; else its processes lie one after another. Points in time within the timed part are those of `starts_ns`."""
    events = [event for pid, one in enumerate(given, 1) for event in _events(one, pid)]
    about = {"written by": f"edgebench {version()}", "verdicts": {one.label: one.verdict.short for one in given}}
    trace = {"traceEvents": events, "displayTimeUnit": "ms", "otherData": about}
    return (json.dumps(trace, allow_nan=False) + "\n").encode()


def _events(one: Given, pid: int) -> Iterator[Event]:
    yield _named("process_name", f"{one.label} ({one.measurement.id[:8]})", pid, 0)
    end_ns = 0
    for index, process in enumerate(one.processes):
        began_ns = process.began_ns or end_ns + _before_ns(process)
        lane = _LANES * index + 1
        yield _named("thread_name", f"process {process.index}", pid, lane)
        yield from _phases(process, began_ns, pid, lane)
        yield from _inferences(one, process, began_ns, pid, lane)
        end_ns = began_ns + process.elapsed_ns
    yield from _counters(one, pid)


def _phases(process: ProcessResult, began_ns: int, pid: int, lane: int) -> Iterator[Event]:
    """What was done before the timed part, back from its beginning; then that."""
    begin_ns = began_ns - _before_ns(process)
    for name in _BEFORE:
        length_ns = _seconds_ns(process, name)
        if length_ns:
            yield _complete(name, "phase", begin_ns, length_ns, pid, lane)
            begin_ns += length_ns
    yield _complete("timed", "phase", began_ns, process.elapsed_ns, pid, lane)


def _inferences(one: Given, process: ProcessResult, began_ns: int, pid: int, lane: int) -> Iterator[Event]:
    latencies = one.of(process.timed)
    serial = one.measurement.cell.pattern.closed and one.summary.streams == 1
    parts = {name: one.of(process.parts[name]).tolist() for name in _PARTS if name in process.parts}
    if parts:
        yield _named("thread_name", f"process {process.index}, parts", pid, lane + 1)
    starts = starts_ns(process, latencies, serial=serial)
    for index, (start, latency) in enumerate(zip(starts, latencies.tolist(), strict=True)):
        begin_ns = began_ns + start
        if serial:
            yield _complete("inference", "inference", begin_ns, latency, pid, lane)
        else:
            yield from _overlapping(f"{lane}.{index}", begin_ns, latency, pid, lane)
            continue
        for name, values in parts.items():
            yield _complete(name, "part", begin_ns, values[index], pid, lane + 1)
            begin_ns += values[index]


def _overlapping(name: str, begin_ns: int, length_ns: int, pid: int, lane: int) -> Iterator[Event]:
    both = {"name": "inference", "cat": "inference", "id": name, "pid": pid, "tid": lane}
    yield {**both, "ph": "b", "ts": begin_ns / 1e3}
    yield {**both, "ph": "e", "ts": (begin_ns + length_ns) / 1e3}


def _counters(one: Given, pid: int) -> Iterator[Event]:
    for name in one.watched.names:
        track = one.watched.whole(name)
        if track is None:
            continue
        unit = f"{name} ({track.unit})" if track.unit else name
        for time_ns, value in zip(track.times_ns.tolist(), track.values.tolist(), strict=True):
            yield {"name": unit, "ph": "C", "ts": time_ns / 1e3, "pid": pid, "tid": 0, "args": {name: value}}


def _complete(name: str, category: str, begin_ns: int, length_ns: int, pid: int, lane: int) -> Event:
    return {
        "name": name, "cat": category, "ph": "X", "ts": begin_ns / 1e3, "dur": length_ns / 1e3, "pid": pid, "tid": lane,
    }  # fmt: skip


def _named(what: str, name: str, pid: int, lane: int) -> Event:
    return {"name": what, "ph": "M", "ts": 0, "pid": pid, "tid": lane, "args": {"name": name}}


def _before_ns(process: ProcessResult) -> int:
    return sum(_seconds_ns(process, name) for name in _BEFORE)


def _seconds_ns(process: ProcessResult, name: str) -> int:
    return round(process.seconds.get(name, 0.0) * 1e9)
