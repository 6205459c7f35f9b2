"""Rules about what the device did while it was timed: other work, throttling, clocks, heat, its power mode."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from device_agents.contract import JobResult, Scalar
from edge.results.store import Measurement
from edge.results.verdict.finding import Answer, Evidence, Finding, Flag, Held, compared
from edge.results.watched import Track

_THROTTLES = {
    "throttled_thermal": "heat held its clocks back",
    "throttled_power": "the power limit held its clocks back",
    "throttled_other": "something else held its clocks back",
}
_CLOCKS = ("gpu_clock", "cpu_clock")
_IDLE = "busy_share_idle_window_before"


def foreign_work(given: Evidence) -> Iterable[Answer]:
    if given.measurement.cell.shared:
        yield Held("foreign_work", "not asked: it was measured beside other work on purpose", "the request")
        return
    yield _idle_window(given)
    limits = given.limits
    for name, limit, what in (
        ("cpu_foreign", limits.foreign_work, "other processes took {} of the processors during timing"),
        ("cpu_steal", limits.steal, "the hypervisor took {} of the processors during timing"),
    ):
        track = given.watched.during(name)
        if track is not None:
            yield compared("foreign_work", track.mean, limit, what, track.source)
    others = given.watched.during("gpu_foreign_processes")
    if others is not None and others.most >= 1:
        yield Finding("foreign_work", True, f"up to {others.most:g} other processes used the GPU", others.source)
    elif others is not None:
        yield Held("foreign_work", "no other process used the GPU", others.source)


def _idle_window(given: Evidence) -> Answer:
    readings = [process.state.get(_IDLE) for process in given.measurement.result.processes]
    told = [reading for reading in readings if reading is not None and isinstance(reading.value, float)]
    if len(told) < len(readings):
        return Finding("foreign_work", False, "the idle window before the measurement could not be read")
    share = max(float(reading.value or 0.0) for reading in told)
    what = "the device was {} busy before timing"
    return compared("foreign_work", share, given.limits.foreign_work, what, told[0].source or "", decimals=0)


def wrong_power_mode(given: Evidence) -> Iterable[Answer]:
    expected = given.measurement.origin.power_mode
    if expected is None:
        return
    reading = given.measurement.result.identity.get("power_mode")
    if reading is None or reading.value is None:
        yield Finding("wrong_power_mode", False, (reading and reading.unknown) or "no reading of the power mode")
    elif reading.value != expected:
        reason = f"{reading.value}, the profile expects {expected}"
        yield Finding("wrong_power_mode", True, reason, reading.source or "")
    else:
        yield Held("wrong_power_mode", f"{expected}, as expected", reading.source or "")


def throttled(given: Evidence) -> Iterable[Answer]:
    for name, what in _THROTTLES.items():
        track = given.watched.during(name)
        if track is not None:
            share = float(np.mean(track.values >= 0.5))
            yield compared(
                "throttled", share, given.limits.throttled, f"{what} for {{}} of the timed part", track.source
            )
    stopped = _counted(given.watched.timed("throttled_limit"))
    if stopped is not None:
        what = "a cgroup's CPU limit stopped its processes for {} of the timed part"
        yield compared("throttled", stopped, given.limits.limited, what, "the cgroup's cpu.stat")
    yield from _quota(given, known=stopped is not None)


def _counted(tracks: list[Track]) -> float | None:
    """What a counter of seconds counted in the timed parts, as a share of the time between its readings."""
    pairs = [(track.rise, (track.times_ns[-1] - track.times_ns[0]) / 1e9) for track in tracks if len(track) > 1]
    passed = float(sum(time for _, time in pairs))
    return sum(rise for rise, _ in pairs) / passed if passed else None


def _quota(given: Evidence, *, known: bool) -> Iterable[Answer]:
    """A limit below what the runtime wants: where nobody counted how often it struck, that is not known."""
    result = given.measurement.result
    quota, wanted = _number(result, "cgroup_cpu_limit"), _threads(result.switches, given.measurement)
    if quota is None or wanted is None or quota >= wanted:
        return
    what = f"the cgroup's CPU limit is {quota:g} processors, the runtime uses {wanted:g}"
    yield Flag("cpu_limit", what) if known else Finding("throttled", False, what, "cpu.max")


def _threads(switches: dict[str, Scalar], measurement: Measurement) -> float | None:
    """Threads that compute on the processors: as many as there are, where the runtime chooses."""
    told, cpus = switches.get("threads"), measurement.result.identity.get("cpus")
    if switches.get("provider") != "cpu" or not isinstance(told, int):
        return None
    if told:
        return float(told)
    return float(cpus.value) if cpus is not None and isinstance(cpus.value, int) else None


def _number(result: JobResult, name: str) -> float | None:
    reading = result.context.get(name)
    return float(reading.value) if reading is not None and isinstance(reading.value, (int, float)) else None


def clocks_floating(given: Evidence) -> Iterable[Answer]:
    """Without a demand for locked clocks it is something to know."""
    limits, controlled = given.limits, given.measurement.result.controlled
    demanded = limits.locked_clocks or any(one.name == "lock_clocks" for one in controlled)
    for name in _CLOCKS:
        track = given.watched.during(name)
        if track is None:
            continue
        low, high = np.percentile(track.values, (5, 95))
        spread = float((high - low) / high) if high else 0.0
        what = f"the {name.replace('_', ' ')} varied by {{}} ({track.least / 1e6:.0f} to {track.most / 1e6:.0f} MHz)"
        answer = compared("clocks_floating", spread, limits.clock_spread, what, track.source)
        yield Flag("clocks_floating", answer.reason) if isinstance(answer, Finding) and not demanded else answer
    yield from _governor(given.measurement)


def _governor(measurement: Measurement) -> Iterable[Answer]:
    first, last = measurement.result.processes[0].state, measurement.result.processes[-1].state
    before, after = first.get("cpu_governor_before"), last.get("cpu_governor_after")
    if before is None or after is None or before.value is None or after.value is None:
        return
    if before.value != after.value:
        reason = f"the governor was {before.value} before and {after.value} after timing"
        yield Finding("clocks_floating", True, reason, before.source or "")
    else:
        yield Held("clocks_floating", f"the governor stayed {before.value}", before.source or "")


def too_hot(given: Evidence) -> Iterable[Answer]:
    """By the profile's limit, else by where the device itself says that it slows down."""
    track, limit, whose = given.watched.during("temperature"), given.limits.temperature_c, ""
    if limit is None:
        told = given.measurement.result.context.get("temperature_limit_c")
        if told is None or not isinstance(told.value, (int, float)):
            return
        limit, whose = float(told.value), ", where it slows itself down"
    if track is None:
        return
    if track.most > limit:
        yield Finding("too_hot", True, f"it reached {track.most:.1f} C, over {limit:g} C{whose}", track.source)
    else:
        yield Held("too_hot", f"it reached {track.most:.1f} C, at most {limit:g} C{whose}", track.source)
