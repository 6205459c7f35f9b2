"""Framework against framework, backend against backend: whatever is alike in all else, as ratios with intervals."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from edge.report.page.cells import Entry
from edge.report.page.numbers import short
from edge.results.compare import compare
from edge.results.likeness import request_key, value_of
from edge.results.ratios import Ratio
from edge.results.special import whole_label
from edge.results.verdict import Status
from profiles.errors import ConfigError

AXES = ("framework", "backend")


def ratios(entries: Sequence[Entry], most: int | None = None) -> tuple[list[dict[str, Any]], list[str]]:
    """Of the newest of each request that is not INVALID; and sentences on what was alike and not compared, and on how
    many pairs are beyond the first `most`."""
    sound = [one for one in entries if one.side is not None and one.row.verdict.status is not Status.INVALID]
    pairs = [(axis, *pair) for axis in AXES for its in _alike(sound, axis) for pair in itertools.combinations(its, 2)]
    found, refused = [], []
    for axis, a, b in pairs[:most]:
        try:
            found.append(_ratio(axis, a, b))
        except ConfigError as error:
            cell, other = a.row.measurement.cell, b.row.measurement.cell
            refused.append(f"{cell.device} {whole_label(cell)} and {whole_label(other)}: {error.message}")
    found.sort(key=lambda one: (AXES.index(one["axis"]), one["device"], one["label"]))
    left = len(pairs[most:]) if most else 0
    beyond = [f"{left:,} pairs beyond the first {most:,}: choose fewer measurements"] if left else []
    return found, [*beyond, *dict.fromkeys(refused)]


def _alike(entries: Iterable[Entry], axis: str) -> list[list[Entry]]:
    """Groups that differ in the axis alone, one entry for each of its values, in their order."""
    groups: dict[str, dict[str, Entry]] = {}
    for one in sorted(entries, key=lambda one: one.row.measurement.result.started_at):
        measurement = one.row.measurement
        groups.setdefault(request_key(measurement.cell, [axis]), {})[value_of(measurement, axis)] = one
    return [[group[value] for value in sorted(group)] for group in groups.values() if len(group) > 1]


def _ratio(axis: str, a: Entry, b: Entry) -> dict[str, Any]:
    """Errors: ConfigError where the environments are unlike."""
    if a.side is None or b.side is None:
        raise ConfigError("no samples were kept")
    found = compare(a.side, b.side, threshold=0.0, across=[axis], invalid=False)
    ids = (a.row.measurement.id, b.row.measurement.id)
    return {
        "axis": axis,
        "label": found.label,
        "device": a.row.measurement.cell.device,
        "model": a.row.measurement.cell.model,
        "a": found.name_a,
        "b": found.name_b,
        "ids": ids,
        "by": found.by,
        "finding": str(found.finding),
        "time": told(found.time),
        "p99": told(found.p99),
        "energy": told(found.energy),
        "how": found.how,
        "notes": list(found.notes),
        "command": f"edgebench compare {ids[0]} {ids[1]} --across {axis}",
    }


def told(ratio: Ratio | None) -> dict[str, Any] | None:
    """As the page has it."""
    if ratio is None:
        return None
    return {"value": short(ratio.value), "low": short(ratio.low), "high": short(ratio.high)}
