"""What two measurements differ in beside their figures: the request and the environment. Unlike ones are compared only
where the operator has said across what."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from device_agents.contract import dumps
from edge.planning.plan import Cell
from edge.results.judged import Judged
from edge.results.scrubbing import alike
from edge.results.special import whole_label
from edge.results.store import Measurement
from profiles.errors import ConfigError
from profiles.load import unknown

DEVICE, RUNTIME, BACKEND = "device", "runtime", "backend"
_SETTINGS = ("power_mode",)  # of the identity: a board keeps them, but they are no part of it
_PASSED_OVER = ("timing", "repeat", "build", "check_with", "cold", "dataset")  # what is measured is the same
_IN_LABEL = ("model", "framework", "precision", "batch", "backend")
_AXES = tuple(item.name for item in dataclasses.fields(Cell) if item.name not in _PASSED_OVER)
_DEFAULTS = {
    item.name: item.default_factory() if callable(item.default_factory) else item.default
    for item in dataclasses.fields(Cell)
    if item.name in _AXES and item.name != DEVICE
}
_SHARED: dict[str, Any] = {**_DEFAULTS, **dict.fromkeys(_IN_LABEL, "*")}


@dataclass(frozen=True)
class Difference:
    """What is unlike, and the words of --across that allow it, the narrowest first."""

    name: str
    a: str
    b: str
    across: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} is {self.a or 'none'} and {self.b or 'none'}"


def differences(a: Measurement, b: Measurement) -> list[Difference]:
    """Of the request, then of the environment. What is known of one side alone is no difference: see `one_sided`."""
    return [*_of_request(a.cell, b.cell), *_of_runtime(a, b), *_of_identity(a, b)]


def one_sided(a: Measurement, b: Measurement) -> list[str]:
    """Names of the environment that are known of one side alone."""
    known = [{name for name, reading in one.result.identity.items() if reading.value is not None} for one in (a, b)]
    return sorted(known[0] ^ known[1])


def check_alike(pairs: Iterable[tuple[Judged, Judged]], across: Collection[str]) -> None:
    """Errors: ConfigError that names all that is unlike and was not said to be, and the words that would allow it."""
    found = [one for a, b in pairs for one in differences(a.measurement, b.measurement)]
    refused = list(dict.fromkeys(one for one in found if not set(one.across) & set(across)))
    if any(one.across == (DEVICE,) for one in refused):  # what makes it another device needs no words of its own
        refused = [one for one in refused if one.across == (DEVICE,) or DEVICE not in one.across]
    if refused:
        words = dict.fromkeys(one.across[0] for one in refused)
        fix = "to compare all the same: " + " ".join(f"--across {word}" for word in words)
        raise ConfigError("; ".join(map(str, refused)), where="A and B", fix=fix)


def check_axes(across: Sequence[str], measurements: Iterable[Judged]) -> None:
    """Errors: ConfigError for a word that no measurement has anything of."""
    identity = {name for one in measurements for name in one.measurement.result.identity}
    known = {*_AXES, RUNTIME, *_SETTINGS, *identity}
    for word in across:
        if word not in known:
            raise unknown("axis", word, known, where="--across")


def request_key(cell: Cell, across: Collection[str]) -> str:
    """The same for cells that are alike, but for what is compared across."""
    kept = {name: getattr(cell, name) for name in _AXES if name not in across}
    return dumps(kept)


def unlike_axes(a: Cell, b: Cell) -> tuple[str, ...]:
    """What two requests differ in."""
    return tuple(name for name in _AXES if getattr(a, name) != getattr(b, name))


def label(cell: Cell, across: Collection[str] = ()) -> str:
    """What cells have in common that are compared: `local resnet18/* fp32 batch 8 on onnxruntime, with threads=2`
    across frameworks. What has no star is left out where it is compared across, and so is what is passed over."""
    unlike = {name: _SHARED[name] for name in across if name in _SHARED}
    words = [] if DEVICE in across else [cell.device]
    return " ".join([*words, whole_label(replace(cell, repeat=0, build=0, cold=False, **unlike))])


def value_of(measurement: Measurement, axis: str) -> str:
    """What a measurement has on an axis, for people."""
    if axis == RUNTIME:
        return str(measurement.result.switches.get("runtime_version", ""))
    reading = measurement.result.identity.get(axis)
    if reading is not None and reading.value is not None:
        return str(reading.value)
    return _told(getattr(measurement.cell, axis)) if axis in _AXES else ""


def _of_request(a: Cell, b: Cell) -> list[Difference]:
    return [Difference(name, _told(getattr(a, name)), _told(getattr(b, name)), (name,)) for name in unlike_axes(a, b)]


def _of_runtime(a: Measurement, b: Measurement) -> list[Difference]:
    versions = [str(one.result.switches.get("runtime_version", "")) for one in (a, b)]
    if a.cell.backend != b.cell.backend or "" in versions or versions[0] == versions[1]:
        return []
    return [Difference(f"the version of {a.cell.backend}", versions[0], versions[1], (RUNTIME,))]


def _of_identity(a: Measurement, b: Measurement) -> list[Difference]:
    """A device of another name covers what makes it another board, but no setting that it can be put into."""
    ours, theirs = a.result.identity, b.result.identity
    found = []
    for name in [name for name in ours if name in theirs]:
        x, y = ours[name].value, theirs[name].value
        if None in (x, y) or alike(name, x, y):
            continue
        words = (name,) if name in _SETTINGS else (name, DEVICE)
        found.append(Difference(name, str(x), str(y), words))
    return found


def _told(value: object) -> str:
    """As people write it; of options and the like, as JSON; "" for nothing."""
    if value is None:
        return ""
    return dumps(value) if isinstance(value, (Mapping, tuple)) else str(value)
