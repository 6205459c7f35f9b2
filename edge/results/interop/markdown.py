"""A table in GitHub flavoured Markdown, for an issue or a pull request."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

from edge.results.interop.given import Given
from edge.results.stats import Estimate, milliseconds
from edge.results.verdict import Status

_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~&:$])")
_LINKED = re.compile(r"([@#])")
_APART = r"\1<!-- -->"  # GitHub looks for users and issues in the text that it shows, where no backslash is left

_COLUMNS: dict[str, Callable[[Given], str]] = {
    "device": lambda one: one.measurement.cell.device,
    "model": lambda one: one.measurement.cell.model,
    "framework": lambda one: one.measurement.cell.framework,
    "backend": lambda one: one.measurement.cell.backend,
    "precision": lambda one: str(one.measurement.cell.precision),
    "batch": lambda one: str(one.measurement.cell.batch),
    "pattern": lambda one: str(one.measurement.cell.pattern),
    "median ms": lambda one: _interval(one.summary.median),
    "p99 ms": lambda one: _interval(one.summary.p99),
    "images/s": lambda one: _rate(one.summary.throughput_per_s),
    "verdict": lambda one: one.verdict.short,
    "id": lambda one: one.measurement.id[:8],
}
_RIGHT = ("batch", "median ms", "p99 ms", "images/s")


def write(given: Sequence[Given]) -> bytes:
    """INVALID rows are struck out; `±` is the half-width of the 95 % interval over processes."""
    rules = ["---:" if name in _RIGHT else "---" for name in _COLUMNS]
    lines = [_row(list(_COLUMNS)), _row(rules), *(_row(_cells(one)) for one in given)]
    return ("\n".join(lines) + "\n").encode()


def escape(text: str) -> str:
    """What shows as `text` and as nothing else: no markup, no HTML, no link, no mention, no second line."""
    plain = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return _LINKED.sub(_APART, _SPECIAL.sub(r"\\\1", plain))


def _cells(one: Given) -> list[str]:
    cells = [escape(cell(one)) for cell in _COLUMNS.values()]
    if one.verdict.status is not Status.INVALID:
        return cells
    return [f"~~{cell}~~" if cell else "" for cell in cells]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _interval(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    width = "" if estimate.half_width_ns is None else f" ± {milliseconds(estimate.half_width_ns)}"
    return f"{milliseconds(estimate.value_ns)}{width}"


def _rate(per_s: float) -> str:
    return "" if math.isnan(per_s) else f"{per_s:.1f}"
