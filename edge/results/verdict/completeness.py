"""What has to be known of a device's state before a measurement is called VALID, by its kind."""

from __future__ import annotations

from collections.abc import Iterable

from edge.results.store import Measurement
from edge.results.verdict.finding import Answer, Evidence, Finding, Flag, Held
from profiles.errors import ConfigError
from profiles.load import device_profile

NEEDED = {
    "cpu": ("cpu_busy", "cpu_foreign", "memory_used"),
    "jetson": ("cpu_busy", "cpu_foreign", "memory_used", "gpu_clock", "temperature", "power"),
    "nvidia_gpu": (
        "cpu_busy", "cpu_foreign", "gpu_clock", "temperature", "power",
        "throttled_thermal", "throttled_power", "throttled_other",
    ),
}  # fmt: skip
"""Series that a device of a kind tells every user: without one of them a measurement is UNJUDGED."""

WISHED = {
    "cpu": ("cpu_clock", "cpu_steal", "temperature", "throttled_limit"),
    "jetson": ("cpu_clock", "memory_clock", "throttled_thermal", "throttled_power"),
    "nvidia_gpu": ("memory_clock", "energy", "gpu_foreign_processes"),
}
"""Series that not every machine has, or that root alone may read: what is missing of them is a flag."""

_RULES = ("throttled", "clocks_floating", "too_hot", "incomplete_state")


def incomplete_state(given: Evidence) -> Iterable[Answer]:
    watched, kind = given.watched, _kind(given.measurement)
    if watched.watch is None:
        for rule in _RULES:
            yield Finding(rule, False, watched.why_unknown(rule))
        return
    if not any(process.began_ns for process in given.measurement.result.processes):
        reason = f"{given.measurement.cell.backend} does not tell when its timed part began"
        yield Finding("incomplete_state", False, reason)
        return
    missing = [name for name in NEEDED[kind] if not _known(given, name)]
    if missing:
        yield Finding("incomplete_state", False, f"not known: {_why(given, missing)}")
    else:
        yield Held("incomplete_state", f"{', '.join(NEEDED[kind])} are known, as of every {kind}", "the series below")
    wished = [name for name in WISHED[kind] if not _known(given, name)]
    if wished:
        yield Flag("not_read", _why(given, wished))


def _known(given: Evidence, name: str) -> bool:
    """Whether something of it fell into the timed part of every process."""
    return len(given.watched.timed(name)) == len(given.measurement.result.processes)


def _why(given: Evidence, names: Iterable[str]) -> str:
    reasons: dict[str, list[str]] = {}
    for name in names:
        seen = name in given.watched.names
        why = "nothing of it fell into a process' timed part" if seen else given.watched.why_unknown(name)
        reasons.setdefault(why, []).append(name)
    return "; ".join(f"{', '.join(its)} ({why})" for why, its in reasons.items())


def _kind(measurement: Measurement) -> str:
    """Of what was timed: the processor of a GPU's host is one."""
    if measurement.result.switches.get("provider") == "cpu":
        return "cpu"
    try:
        return device_profile(measurement.origin.device_profile).kind
    except ConfigError:  # a profile that this version does not have any more
        return "cpu"
