"""What happened when: latencies beside clocks, temperature, power and throttling, in seconds from the first of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from device_agents.contract import ProcessResult
from edge.report.page.numbers import several, short
from edge.results.watched import Track, Watched

if TYPE_CHECKING:
    from edge.results.stats.percentiles import Samples

TRACKS = (
    "gpu_clock", "memory_clock", "cpu_clock", "temperature", "power", "throttled_thermal", "throttled_power",
    "throttled_other",
)  # fmt: skip
_YES_OR_NO = "throttled_"
_STRETCHES = 128  # of all processes together
_READINGS = 60


def timeline(processes: Sequence[ProcessResult], samples: Samples, watched: Watched) -> dict[str, Any]:
    """`began` is false where nobody knows when a process began: they are then drawn one after another, and what the
    device did is left out."""
    known = all(process.began_ns for process in processes)
    begins = [process.began_ns for process in processes] if known else _one_after_another(processes)
    tracks = [found for name in TRACKS if (found := watched.whole(name)) is not None and len(found)] if known else []
    zero = min([*begins, *(int(track.times_ns[0]) for track in tracks)], default=0)
    share = max(8, _STRETCHES // max(len(processes), 1))
    return {
        "began": known,
        "processes": [
            _process(process, begin - zero, samples, share) for process, begin in zip(processes, begins, strict=True)
        ],
        "tracks": [_track(track, zero) for track in tracks],
        "unknown": {name: watched.why_unknown(name) for name in _quantities(watched)},
    }


def _one_after_another(processes: Sequence[ProcessResult]) -> list[int]:
    ends = np.cumsum([0, *(process.elapsed_ns for process in processes)])
    return [int(end) for end in ends[:-1]]


def _process(process: ProcessResult, begin_ns: int, samples: Samples, stretches: int) -> dict[str, Any]:
    """The median and the most of stretches with equally many inferences: no outlier is lost."""
    timed = samples[process.timed.offset : process.timed.offset + process.timed.count]
    parts = np.array_split(timed, min(stretches, len(timed)))
    return {
        "from": short(begin_ns / 1e9),
        "to": short((begin_ns + process.elapsed_ns) / 1e9),
        "median": several(float(np.median(part)) / 1e6 for part in parts),
        "most": several(float(part.max()) / 1e6 for part in parts),
    }


def _track(track: Track, zero_ns: int) -> dict[str, Any]:
    """Means of stretches of equal time, of what is yes or no the most; None for one without a reading."""
    begin, end = int(track.times_ns[0]), int(track.times_ns[-1])
    count = min(_READINGS, len(track))
    places = np.minimum((track.times_ns - begin) * count // max(end - begin, 1), count - 1)
    at_most = track.name.startswith(_YES_OR_NO)
    scale, unit = (1e6, "MHz") if track.unit == "Hz" else (1.0, {"C": "°C"}.get(track.unit, track.unit))
    values = [_of(track.values[places == place] / scale, at_most) for place in range(count)]
    return {
        "name": track.name,
        "unit": unit,
        "source": track.source,
        "from": short((begin - zero_ns) / 1e9),
        "to": short((end - zero_ns) / 1e9),
        "values": [short(value) for value in values],
    }


def _of(values: np.ndarray[Any, np.dtype[np.float64]], at_most: bool) -> float | None:
    if not len(values):
        return None
    return float(values.max()) if at_most else float(values.mean())


def _quantities(watched: Watched) -> list[str]:
    """Those that somebody would look for and not find: any clock will do."""
    clocks = [name for name in TRACKS if name.endswith("_clock") and name in watched.names]
    wanted = (*(() if clocks else ("cpu_clock",)), "temperature", "power", "throttled_thermal")
    return [name for name in wanted if name not in watched.names]
