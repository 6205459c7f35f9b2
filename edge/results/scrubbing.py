"""What a bundle does not tell: names of hosts and users, serial numbers.

Serial numbers become the first digits of their SHA-256, by which the measurements of one device still are one device's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from device_agents.contract import JobResult, Reading, from_json, to_json
from edge.results.store import Measurement

_LEFT_OUT = ("hostname",)
_HASHED = ("serial", "machine", "gpu_uuid", "gpu_choice", "gpu_neighbours", "boot_id")
_HOME = re.compile(r"(?:/home/|/Users/|/var/home/)[^/\s:'\",;]+|/root(?![\w.-])")
_LOGIN = re.compile(r"\b[\w.-]+@[A-Za-z0-9][\w-]*(?:\.[\w-]+)+")
_DIGITS = 16
_DONE = re.compile(rf"sha256:[0-9a-f]{{{_DIGITS}}}\Z")  # what came in a bundle and goes on in one


def scrubbed(measurement: Measurement) -> Measurement:
    """The same without what tells of hosts and users; figures, samples and ids are untouched."""
    result = measurement.result
    host = result.context.get("hostname")
    name = host.value if host is not None and isinstance(host.value, str) else ""
    told = to_json(result)
    for part in ("identity", "context"):
        told[part] = {key: _reading(key, reading) for key, reading in told[part].items()}
    clean = _words(told, lambda text: _text(text, name))
    origin = from_json(type(measurement.origin), without_homes(to_json(measurement.origin)))
    return replace(measurement, origin=origin, result=from_json(JobResult, clean))


def alike(name: str, one: Any, other: Any) -> bool:
    """Whether two values of a reading of the identity are the same, one of them maybe as a bundle tells it."""
    return bool(one == other or _told(name, one) == _told(name, other))


def without_homes(value: Any) -> Any:
    """Plain JSON values without folders of users and logins in their texts."""
    return _words(value, lambda text: _text(text, ""))


def _reading(name: str, reading: Any) -> Any:
    if name in _LEFT_OUT:
        return to_json(Reading(unknown="left out of the bundle"))
    return {**reading, "value": _hashed(reading["value"])} if name in _HASHED and "value" in reading else reading


def _told(name: str, value: Any) -> Any:
    return without_homes(_hashed(value) if name in _HASHED else value)


def _hashed(value: Any) -> Any:
    if not isinstance(value, str) or _DONE.match(value):
        return value
    return f"sha256:{hashlib.sha256(value.encode()).hexdigest()[:_DIGITS]}"


def _words(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_words(one, change) for one in value]
    if isinstance(value, dict):
        return {key: _words(one, change) for key, one in value.items()}
    return value


def _text(text: str, host: str) -> str:
    text = _LOGIN.sub("user@host", _HOME.sub("~", text))
    return re.sub(rf"(?<![\w.-]){re.escape(host)}(?![\w-])", "host", text) if len(host) > 3 else text
