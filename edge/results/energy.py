"""Joules an inference: what the device took while it was timed, by the sensor that is named.

A counter of energy knows best; where there is none, power is integrated over the timed part by trapezoids. Readings at
the ends of a timed part are interpolated: a sensor has an interval of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from device_agents.contract import ProcessResult
from edge.results.watched import Track, Watched

COUNTER, POWER = "energy", "power"  # the names of the series

_LEAST_READINGS = 2  # within a timed part
_WIDEST = 3.0  # intervals of the sensor: how far a timed part may reach beyond its readings, or a gap be wide


@dataclass(frozen=True)
class Energy:
    """What was taken in the timed parts, by `source`. `of` says whether its energy was counted or its power integrated;
    `interval_s` is the median time between its readings, `idle_w` what it showed while nothing of ours ran, None where
    nobody looked. `per_process_j` are the joules an inference (a batch) of each process."""

    joules_per_inference: float
    joules_per_sample: float
    watts: float
    source: str
    of: str
    interval_s: float
    idle_w: float | None
    per_process_j: tuple[float, ...]


@dataclass(frozen=True)
class NotKnown:
    """Why there is no figure."""

    reason: str


def energy(processes: Sequence[ProcessResult], watched: Watched, batch: int) -> Energy | NotKnown:
    """By the counter where its readings reach over the timed parts, else by the power."""
    counted = _by(COUNTER, processes, watched, batch)
    if isinstance(counted, Energy):
        return counted
    integrated = _by(POWER, processes, watched, batch)
    if isinstance(integrated, NotKnown) and watched.whole(COUNTER) is not None:
        return counted
    return integrated


def _by(name: str, processes: Sequence[ProcessResult], watched: Watched, batch: int) -> Energy | NotKnown:
    track = watched.whole(name)
    if track is None:
        return NotKnown(watched.why_unknown(name))
    taken = []
    for process in processes:
        why = _why_not(track, process)
        if why:
            return NotKnown(why)
        taken.append(_taken(track, process.began_ns, process.began_ns + process.elapsed_ns))
    joules, inferences = sum(taken), sum(process.timed.count for process in processes)
    return Energy(
        joules_per_inference=joules / inferences,
        joules_per_sample=joules / inferences / batch,
        watts=joules / (sum(process.elapsed_ns for process in processes) / 1e9),
        source=track.source,
        of=name,
        interval_s=_interval_ns(track) / 1e9,
        idle_w=_idle_w(watched, name),
        per_process_j=tuple(j / process.timed.count for j, process in zip(taken, processes, strict=True)),
    )


def _why_not(track: Track, process: ProcessResult) -> str:
    """Why the readings say nothing of the timed part of a process; "" where they do."""
    who = f"the timed part of process {process.index}"
    begin, end = process.began_ns, process.began_ns + process.elapsed_ns
    if not begin:
        return f"when {who} began is not known"
    inside = (track.times_ns >= begin) & (track.times_ns <= end)
    if int(inside.sum()) < _LEAST_READINGS:
        return f"{int(inside.sum())} readings of {track.source} fell into {who}, and it takes {_LEAST_READINGS}"
    times = track.times_ns[inside]
    first, last = max(int(track.times_ns[0]), begin), min(int(track.times_ns[-1]), end)
    gaps = [first - begin, end - last, *np.diff(times), times[0] - first, last - times[-1]]
    if max(gaps) > _WIDEST * _interval_ns(track):
        return f"{track.source} was not read for {max(gaps) / 1e9:.2g} s of {who}"
    if track.name == COUNTER and (np.diff(track.values[inside]) < 0).any():
        return f"the counter {track.source} fell in {who}"
    return ""


def _taken(track: Track, begin: int, end: int) -> float:
    """Joules from `begin` to `end`, in ns."""
    if track.name == COUNTER:
        before, after = np.interp([begin, end], track.times_ns, track.values)
        return float(after - before)
    inside = (track.times_ns > begin) & (track.times_ns < end)
    times = np.concatenate([[begin], track.times_ns[inside], [end]])
    watts = np.interp(times, track.times_ns, track.values)
    return float(np.sum((watts[1:] + watts[:-1]) / 2 * np.diff(times)) / 1e9)


def _interval_ns(track: Track) -> float:
    return float(np.median(np.diff(track.times_ns))) if len(track) > 1 else 0.0


def _idle_w(watched: Watched, name: str) -> float | None:
    power = watched.idle(POWER)
    if power is not None:
        return power.mean
    counter = watched.idle(name)
    if counter is None or len(counter) < _LEAST_READINGS:
        return None
    return counter.rise / ((int(counter.times_ns[-1]) - int(counter.times_ns[0])) / 1e9)
