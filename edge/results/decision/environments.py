"""Measurements of the two frameworks by request, and by the environment in which they were made: a device as it told
itself, with one version of each runtime. Nothing of two environments is ever in one matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from device_agents.contract import LoadPattern, Precision, dumps
from edge.planning.plan import Cell
from edge.results.likeness import request_key
from edge.results.scrubbing import alike
from edge.results.store import Measurement

FRAMEWORKS = ("pytorch", "tensorflow")

AS_IS, COMPILED = "as it is", "compiled"
MODES: Mapping[str, Mapping[str, str]] = {
    AS_IS: {"pytorch": "eager", "tensorflow": "graph"},
    COMPILED: {"pytorch": "compile", "tensorflow": "xla"},
}
_ACROSS = ("framework", "backend", "options")


@dataclass
class Environment:
    """The newest measurements first, by way and framework."""

    identity: Mapping[str, str]
    asked: Cell
    versions: dict[str, str] = field(default_factory=dict)
    found: dict[tuple[str, str], list[Measurement]] = field(default_factory=dict)


def environments(measurements: Sequence[Measurement]) -> dict[str, list[Environment]]:
    """By device and request; each measurement goes into the first environment that it does not contradict."""
    found: dict[str, list[Environment]] = {}
    for one in measurements:
        way = way_of(one)
        if way is None or one.cell.precision is Precision.INT8 or one.cell.pattern != LoadPattern():
            continue
        several = found.setdefault(_request(one.cell), [])
        identity, version = identity_of(one), str(one.result.switches.get("runtime_version", ""))
        home = next((its for its in several if _fits(its, identity, one.cell.backend, version)), None)
        if home is None:
            home = Environment(identity, one.cell)
            several.append(home)
        home.versions[one.cell.backend] = version
        home.found.setdefault((way, one.cell.framework), []).append(one)
    return found


def way_of(one: Measurement) -> str | None:
    """How its network ran; None for what is of neither framework."""
    cell = one.cell
    if cell.framework not in FRAMEWORKS:
        return None
    if cell.backend != cell.framework:
        return f"in {cell.backend}"
    mode = cell.options.get("mode", one.result.switches.get("mode", MODES[AS_IS][cell.framework]))
    return next((way for way, modes in MODES.items() if modes[cell.framework] == mode), None)


def _request(cell: Cell) -> str:
    """Alike for requests that differ in framework, backend and mode alone."""
    options = {name: value for name, value in cell.options.items() if name != "mode"}
    return f"{cell.device} {request_key(replace(cell, build=0), _ACROSS)} {dumps(options)}"


def identity_of(one: Measurement) -> dict[str, str]:
    return {name: str(told.value) for name, told in one.result.identity.items() if told.value is not None}


def _fits(home: Environment, identity: Mapping[str, str], backend: str, version: str) -> bool:
    both = home.identity.keys() & identity.keys()
    is_same_device = all(alike(name, home.identity[name], identity[name]) for name in both)
    return is_same_device and home.versions.get(backend, version) == version
