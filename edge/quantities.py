"""Durations, amounts of data, rates, latencies, power and shares as people write them in files and on command lines."""

from __future__ import annotations

import re
from collections.abc import Mapping

_DURATIONS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_RATES = {"kB/s": 1e3, "MB/s": 1e6, "KiB/s": 2**10, "MiB/s": 2**20, "kbit/s": 1e3 / 8, "Mbit/s": 1e6 / 8}
LATENCIES_NS = {"ns": 1.0, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9}
_POWERS = {"mW": 1e-3, "W": 1.0, "kW": 1e3}
_SHARES = {"%": 0.01}
_FREQUENCIES = {"/s": 1.0, "fps": 1.0}
_NUMBER = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*([A-Za-zµ%]*(?:/s)?)\Z", re.ASCII)


def parse_duration(text: str) -> float:
    """Seconds of `12h`, `30 min`, `45s`. Errors: ValueError that says what is allowed."""
    return _parsed(text, _DURATIONS, "duration")


def parse_bytes(text: str) -> int:
    """Bytes of `50 MB`. Errors: ValueError that says what is allowed."""
    return round(_parsed(text, _BYTES, "amount of data"))


def parse_rate(text: str) -> float:
    """Bytes a second of `500 kB/s`. Errors: ValueError that says what is allowed."""
    return _parsed(text, _RATES, "rate")


def parse_latency(text: str) -> float:
    """Nanoseconds of `33ms`. Errors: ValueError that says what is allowed."""
    return _parsed(text, LATENCIES_NS, "latency")


def parse_power(text: str) -> float:
    """Watts of `15W`. Errors: ValueError that says what is allowed."""
    return _parsed(text, _POWERS, "power")


def parse_share(text: str) -> float:
    """`5%` as a share of 1. Errors: ValueError that says what is allowed."""
    return _parsed(text, _SHARES, "share", least=1e-6)


def parse_per_s(text: str) -> float:
    """`30`, `30/s` or `30 fps`. Errors: ValueError that says what is allowed."""
    number = text.strip()
    return _parsed(f"{number}/s" if number[-1:].isdigit() else number, _FREQUENCIES, "number a second", least=1e-3)


def told_duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 20 min`: as exact as such a wait wants."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def counted(count: int, noun: str) -> str:
    """`1 cell`, `2 cells`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def told_bytes(count: float) -> str:
    """`113 kB`, `2.5 MB`."""
    for name, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            value = count / factor
            return f"{value:.1f} {name}" if value < 10 else f"{value:.0f} {name}"
    return f"{count:.0f} bytes"


def _parsed(text: str, units: Mapping[str, float], what: str, *, least: float | None = None) -> float:
    """`least` is the smallest that means something: one of the smallest unit, unless something else is said."""
    match = _NUMBER.match(text.strip())
    found = float(match[1]) * units[match[2]] if match is not None and match[2] in units else 0.0
    if found < (min(1.0, *units.values()) if least is None else least):
        raise ValueError(f"{text!r} is no {what}; write a number and one of {', '.join(units)}")
    return found
