"""From a sweep to the cells of its plan, and the order in which a device measures them."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from device_agents.contract import LoadPattern, SchemaViolation, dumps
from edge.inventory.devices import Device, Fleet, entry_of
from edge.inventory.selector import select
from edge.planning import sizes
from edge.planning.choosing import Choices, Survey
from edge.planning.make_plan import make_plan
from edge.planning.models import resolve
from edge.planning.options import parse_sizes
from edge.planning.plan import Cell
from edge.sweeps.plan_file import Sweep, located
from edge.sweeps.plan_keys import Axes, Exclude
from export.artifact import Store, sha256_file
from export.asking import content_of
from profiles.errors import ConfigError


def expand(
    sweep: Sweep,
    devices: Sequence[Device],
    fleet: Fleet,
    store: Store,
    choices: Choices,
    survey: Survey,
    builders: Mapping[str, str] | None = None,
) -> tuple[Cell, ...]:
    """Every cell once, device by device in a fair order. Errors: ConfigError for what cannot be meant, or when nothing
    is left."""
    cells: dict[str, Cell] = {}
    for axes in sweep.axes:
        its = _within(axes, devices, fleet, sweep, choices)
        for request in sweep.requests(axes) if its else ():
            with located(sweep.source):
                plan = make_plan(request, its, store, choices, survey, builders)
            cells.update({cell.id: cell for cell in plan.cells})
    kept = _without(list(cells.values()), sweep, fleet, choices)
    if not kept:
        raise ConfigError("nothing is left to measure", where=str(sweep.source), fix="look at its [[exclude]] rules")
    return tuple(in_fair_order(kept, sweep.repeats))


def identity(sweep: Sweep, devices: Sequence[Device], builders: Mapping[str, str] | None = None) -> str:
    """Names the sweep of these devices: a run that was interrupted is known by it. Files that it names are known by
    what is in them, and an engine for a class by who builds it. Errors: ConfigError for a file that cannot be read."""
    facts = [
        sweep.sha256,
        sweep.base.inputs_sha256,
        *([sweep.base.dataset_sha256] if sweep.base.dataset_sha256 else []),
        sorted(device.name for device in devices),
        [content_of(resolve(model)) for model in sweep.base.models],
        _weights_sha256(sweep.base.weights),
        sorted((builders or {}).items()),
    ]
    return hashlib.sha256(dumps(facts).encode()).hexdigest()[:20]


def _weights_sha256(weights: str | None) -> str | None:
    path = Path(weights).expanduser() if weights else None
    return sha256_file(path) if path is not None and path.is_file() else None


def in_fair_order(cells: Iterable[Cell], repeats: int) -> list[Cell]:
    """All cells of a device, then all of them again: every other round backwards, so that a device that gets slower
    by and by is as unkind to each."""
    by_device: dict[str, list[Cell]] = {}
    for cell in cells:
        by_device.setdefault(cell.device, []).append(cell)
    return [
        replace(cell, repeat=repeat)
        for its in by_device.values()
        for repeat in range(repeats)
        for cell in (its if repeat % 2 == 0 else reversed(its))
    ]


def _names(expr: str, fleet: Fleet, where: str) -> set[str]:
    """Of devices, if any; a host whose GPUs the fleet file does not list stands for each of them."""
    return {device.name for device in select(fleet, expr, where, least=0)}


def _within(axes: Axes, devices: Sequence[Device], fleet: Fleet, sweep: Sweep, choices: Choices) -> list[Device]:
    if axes.devices is None or axes.devices == sweep.devices:
        return list(devices)
    names = _names(axes.devices, fleet, f"{sweep.source}, key 'devices'")
    its = [device for device in devices if names & {device.name, device.entry}]
    if not its:
        choices.note(f"{sweep.source}: an [[include]] is for {axes.devices}, none of which is among the devices")
    return its


def _without(cells: list[Cell], sweep: Sweep, fleet: Fleet, choices: Choices) -> list[Cell]:
    for number, rule in enumerate(sweep.excludes, 1):
        matches = _rule(rule, fleet, f"{sweep.source}, key 'exclude[{number - 1}].devices'")
        kept = [cell for cell in cells if not matches(cell)]
        if len(kept) == len(cells):
            choices.note(f"{sweep.source}, key 'exclude[{number - 1}]': excludes nothing")
        cells = kept
    return cells


def _as_cells_have_it(text: str | None, read: Callable[[str], str]) -> str | None:
    """What the plan's own axis would make of it: 224 is 224x224, soak:1h is soak:60m, a file the name of its model. A
    pattern with `*`, and what is no such value, stay as they are."""
    if text is None or "*" in text:
        return text
    try:
        return read(text)
    except (ConfigError, SchemaViolation):
        return text


def _rule(rule: Exclude, fleet: Fleet, where: str) -> Callable[[Cell], bool]:
    names = None if rule.devices is None else _names(rule.devices, fleet, where)
    model = _as_cells_have_it(rule.model, lambda text: resolve(text).name)
    size = _as_cells_have_it(rule.size, lambda text: ",".join(map(sizes.told, parse_sizes(text))))
    pattern = _as_cells_have_it(rule.pattern, lambda text: str(LoadPattern.parse(text)))

    def matches(cell: Cell) -> bool:
        texts = (
            (model, cell.model),
            (rule.framework, cell.framework),
            (rule.precision, str(cell.precision)),
            (size, sizes.told(cell.size) if cell.size else ""),
            (rule.backend, cell.backend),
            (pattern, str(cell.pattern)),
            (rule.power_mode, cell.power_mode or ""),
        )
        return (
            all(wanted is None or fnmatch.fnmatchcase(given, wanted) for wanted, given in texts)
            and (rule.batch is None or rule.batch == cell.batch)
            and (names is None or bool(names & {cell.device, entry_of(cell.device)}))
        )

    return matches
