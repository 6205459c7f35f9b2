"""The JSON files that trtexec writes: --exportTimes, --exportProfile, --exportOutput. (--exportLayerInfo: inspector.py)

After samples/common/sampleReporting.cpp of TensorRT 8.5.1 (commit 768d994b), which later versions extend. Floats go out
with six significant digits, C++'s default: a point in time loses precision as the run goes on (10 us after one second,
100 us after ten). A duration is taken before that, yet between points of 32 bits: in steps of 0.24 us after two
seconds, 4 us after a minute. From 8.5 the trace holds the timed inferences alone, before that the warm-up, too.
"""

from __future__ import annotations

import math
import re
import statistics
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from device_agents.formats import lenient_json
from device_agents.formats.lenient_json import Garbled
from device_agents.formats.trtexec import Summary

_TIMES, _PROFILE, _OUTPUT = "the trace of trtexec", "the profile of trtexec", "the outputs of trtexec"
_DIMENSIONS = re.compile(r"\d+(?:x\d+)*\Z")
_DIGITS = 6
_ALIKE = 0.01  # of trtexec's own figure
_FINE_ENOUGH = 10  # steps of enqueue time within a median inference


class Inference(NamedTuple):
    """One timed inference, in nanoseconds. h2d, compute and d2h are durations by the GPU's clock, latency is their sum.
    `enqueue_ns` is the host's, a difference of two points in time: see `enqueue_step_ns`. `begin_ns` and `end_ns` are
    the GPU's begin of H2D (of computing, without transfers) and end of D2H, since the run began."""

    latency_ns: int
    h2d_ns: int
    compute_ns: int
    d2h_ns: int
    enqueue_ns: int
    begin_ns: int
    end_ns: int
    enqueued_ns: int


class LayerTime(NamedTuple):
    """A layer in a profile; the median is told from 8.5, a layer that did not run has zeros."""

    name: str
    mean_ns: int
    median_ns: Optional[int]
    percentage: float


class Output(NamedTuple):
    """An output of the last inference, in row-major order, with six significant digits."""

    shape: Tuple[int, ...]
    values: List[float]


def parse_times(text: str) -> List[Inference]:
    """Errors: ValueError naming the record and what is wrong with it, or that there is none."""
    records = _list(text, _TIMES)
    if not records:
        raise Garbled(f"{_TIMES} holds no inference")
    return [_inference(record, index) for index, record in enumerate(records)]


def walltime_ns(trace: Sequence[Inference]) -> int:
    """From the first inference's begin to the last one's end, whichever stream they ran in: trtexec's Total Host
    Walltime."""
    return max(one.end_ns for one in trace) - min(one.begin_ns for one in trace)


def unlike_summary(trace: Sequence[Inference], told: Summary) -> str:
    """Where a trace does not come to what trtexec sums up itself, in a few words; empty where it does. So a version
    whose trace held the warm-up, too, or had other units, is found out."""
    median_ns = statistics.median(one.compute_ns for one in trace)
    pairs = (
        ("median compute time", median_ns, told.compute.median_ns, 0),
        ("wall time", walltime_ns(trace), told.walltime_s * 1e9, 3 * enqueue_step_ns(trace)),
    )
    return ", ".join(
        f"{what} {ours / 1e6:g} ms, not {theirs / 1e6:g} ms"
        for what, ours, theirs, slack_ns in pairs
        if abs(ours - theirs) > _ALIKE * theirs + slack_ns
    )


def parts_ns(trace: Sequence[Inference]) -> Dict[str, Sequence[int]]:
    """The inferences taken apart. Enqueue times are told in steps that grow with the run: left out where they are too
    coarse to mean anything."""
    compute = [one.compute_ns for one in trace]
    parts: Dict[str, Sequence[int]] = {
        "h2d": [one.h2d_ns for one in trace],
        "compute": compute,
        "d2h": [one.d2h_ns for one in trace],
    }
    if enqueue_step_ns(trace) * _FINE_ENOUGH <= statistics.median(compute):
        parts["enqueue"] = [one.enqueue_ns for one in trace]
    return parts


def enqueue_step_ns(trace: Sequence[Inference]) -> int:
    """The step in which the enqueue times of a trace are told: that of its latest point in time."""
    latest_ms = max(one.enqueued_ns for one in trace) / 1e6
    digits_before_point = math.floor(math.log10(latest_ms)) + 1 if latest_ms > 0 else 0
    return round(10.0 ** (6 - _DIGITS + digits_before_point))


def parse_profile(text: str) -> List[LayerTime]:
    """The layers in order of execution. Errors: ValueError."""
    found = []
    for index, entry in enumerate(_list(text, _PROFILE)):
        if not isinstance(entry, dict):
            raise Garbled(f"{_PROFILE}: entry {index} is no object")
        if "name" not in entry:  # the first entry counts the inferences
            continue
        median = _ms(entry, "medianMs", _PROFILE, index) if "medianMs" in entry else None
        mean = _ms(entry, "averageMs", _PROFILE, index)
        percentage = _number(entry, "percentage", _PROFILE, index)
        found.append(LayerTime(str(entry["name"]), mean, median, percentage))
    if not found:
        raise Garbled(f"{_PROFILE} holds no layer")
    return found


def parse_output(text: str) -> Dict[str, Output]:
    """The outputs by name. Errors: ValueError, such as when values and dimensions do not fit."""
    outputs: Dict[str, Output] = {}
    for index, entry in enumerate(_list(text, _OUTPUT)):
        name, values = (entry.get("name"), entry.get("values")) if isinstance(entry, dict) else (None, None)
        if not isinstance(name, str) or not isinstance(values, list):
            raise Garbled(f"{_OUTPUT}: entry {index} lacks its name or values")
        if not all(isinstance(value, (int, float)) for value in values):
            raise Garbled(f"{_OUTPUT}: {name!r} has a value that is no number")
        shape = _shape(entry.get("dimensions"), name)
        if math.prod(shape) != len(values):
            raise Garbled(f"{_OUTPUT}: {name!r} has {len(values)} values, not those of {shape}")
        outputs[name] = Output(shape, values)
    return outputs


def _inference(record: Any, index: int) -> Inference:
    if not isinstance(record, dict):
        raise Garbled(f"{_TIMES}: record {index} is no object")
    ns = {key: _ms(record, f"{key}Ms", _TIMES, index) for key in _KEYS}
    enqueue_ns = ns["endEnq"] - ns["startEnq"]
    if enqueue_ns < 0 or ns["endD2h"] < ns["startH2d"]:
        raise Garbled(f"{_TIMES}: record {index} ends before it begins")
    return Inference(
        ns["latency"], ns["h2d"], ns["compute"], ns["d2h"], enqueue_ns, ns["startH2d"], ns["endD2h"], ns["endEnq"]
    )


_KEYS = ("latency", "h2d", "compute", "d2h", "startEnq", "endEnq", "startH2d", "endD2h")


def _ms(record: Dict[str, Any], key: str, what: str, index: int) -> int:
    return round(_number(record, key, what, index) * 1e6)


def _number(record: Dict[str, Any], key: str, what: str, index: int) -> float:
    """A layer that never ran has a mean of nan: zero."""
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Garbled(f"{what}: entry {index} lacks the number {key!r}")
    if not math.isfinite(value):
        if what == _PROFILE:
            return 0.0
        raise Garbled(f"{what}: entry {index} has {value} for {key!r}")
    if value < 0:
        raise Garbled(f"{what}: entry {index} has a negative {key!r}")
    return float(value)


def _shape(dimensions: Any, name: str) -> Tuple[int, ...]:
    if dimensions in ("", "scalar"):
        return ()
    if not isinstance(dimensions, str) or not _DIMENSIONS.match(dimensions):
        raise Garbled(f"{_OUTPUT}: {name!r} has no dimensions such as 1x1000")
    return tuple(int(dim) for dim in dimensions.split("x"))


def _list(text: str, what: str) -> List[Any]:
    found = lenient_json.loads(text, what)
    if not isinstance(found, list):
        raise Garbled(f"{what} is no JSON list")
    return found
