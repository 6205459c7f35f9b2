"""trtexec --exportTimes: a JSON list of inferences, each with points in time and durations in ms."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from device_agents.contract import LoadPattern, ProcessResult, Reading
from device_agents.formats import trtexec_exports
from device_agents.formats.trtexec_exports import Inference
from edge.results.interop.given import Given, alone, only, starts_ns
from edge.results.interop.read import Read

NAME = "trtexec-times"
LATENCY = {"latency": "h2d + compute + d2h by the GPU's clock"}

_OVERLAP = 0.5  # of the inferences, from which on the load was pipelined


def write(given: Sequence[Given]) -> bytes:
    """Without parts, all of a latency counts as computing. Durations are exact; points in time are laid out as
    `starts_ns` says, one process after another. Errors: ConfigError for several measurements, or streams."""
    one = only(given, NAME)
    alone(one, NAME)
    one.timed()
    records = [record for records in _processes(one) for record in records]
    return ("[\n  " + "\n, ".join(records) + "\n]\n").encode()


def read(text: str) -> Read:
    """Errors: ValueError naming the record and what is wrong with it."""
    trace = trtexec_exports.parse_times(text)
    context = {}
    if '"endToEndMs"' in text:
        why = "TensorRT before 8.5 wrote this file, whose trace held the warm-up, too"
        context["warm-up left out"] = Reading(unknown=why)
    return Read(
        tool="trtexec",
        backend="trtexec",
        pattern=LoadPattern("pipelined" if _overlap(trace) else "serial"),
        latencies_ns=[one.latency_ns for one in trace],
        parts_ns=trtexec_exports.parts_ns(trace),
        elapsed_ns=trtexec_exports.walltime_ns(trace),
        switches=dict(LATENCY),
        context=context,
        processes=1,
    )


def _processes(one: Given) -> Iterator[list[str]]:
    begin_ns = 0
    for process in one.processes:
        yield list(_records(one, process, begin_ns))
        begin_ns += process.elapsed_ns


def _records(one: Given, process: ProcessResult, begin_ns: int) -> Iterator[str]:
    latencies = one.of(process.timed)
    parts = {name: one.of(place).tolist() for name, place in process.parts.items()}
    nothing = [0] * len(latencies)
    serial = one.measurement.cell.pattern.closed
    columns = zip(
        starts_ns(process, latencies, serial=serial),
        parts.get("enqueue", nothing),
        parts.get("h2d", nothing),
        parts.get("compute", latencies.tolist()),
        parts.get("d2h", nothing),
        strict=True,
    )
    for start, enqueue, h2d, compute, d2h in columns:
        yield _record(begin_ns + start, enqueue, h2d, compute, d2h)


def _record(start: int, enqueue: int, h2d: int, compute: int, d2h: int) -> str:
    """As trtexec lays it out: numbers in ms, blanks around colons."""
    copied, computed = start + h2d, start + h2d + compute
    fields = {
        "startEnqMs": start, "endEnqMs": start + enqueue, "startH2dMs": start, "endH2dMs": copied,
        "startComputeMs": copied, "endComputeMs": computed, "startD2hMs": computed, "endD2hMs": computed + d2h,
        "h2dMs": h2d, "computeMs": compute, "d2hMs": d2h, "latencyMs": h2d + compute + d2h,
    }  # fmt: skip
    return "{ " + ", ".join(f'"{name}" : {ns / 1e6:.12g}' for name, ns in fields.items()) + " }"


def _overlap(trace: Sequence[Inference]) -> bool:
    """Whether inferences were enqueued before the last one had ended."""
    pairs = list(itertools.pairwise(trace))
    early = sum(later.enqueued_ns - later.enqueue_ns < earlier.end_ns for earlier, later in pairs)
    return early > _OVERLAP * len(pairs)
