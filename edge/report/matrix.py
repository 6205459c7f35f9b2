"""The decision matrix, for a terminal, as Markdown, for the page and as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from edge.report.columns import Column, Spare, listing
from edge.report.comparison import escape, figure
from edge.results.claims.measures import Figure
from edge.results.decision.environments import FRAMEWORKS
from edge.results.decision.matrix import Cell, Line, Matrix
from edge.results.energy import NotKnown

_NAMES = {"pytorch": "PyTorch", "tensorflow": "TensorFlow"}
_RATIO = "TensorFlow / PyTorch"
_Missing = dict[tuple[str, str], list[str]]
"""The names of rows without a figure, by framework and way."""
_SPARES = (Spare(_RATIO), Spare("unit", at_last=True))


def headline(one: Matrix) -> str:
    """`local resnet50 fp32 batch 32: pytorch 2.9.1, tensorflow 2.20.0`, and what is unlike an earlier matrix."""
    versions = ", ".join(f"{backend} {version}".strip() for backend, version in sorted(one.versions.items()))
    unlike = f"; another environment: {'; '.join(one.unlike)}" if one.unlike else ""
    return f"{one.device} {one.label}: {versions}{unlike}"


def table(one: Matrix, width: int) -> str:
    lines = list(_lines(one))
    columns = [Column(name, [line[name] for line in lines], right=name == _RATIO) for name in lines[0]]
    return listing(columns, width, _SPARES)


def notes(one: Matrix) -> list[str]:
    """Why figures are missing and what would measure them, each reason and command once."""
    missing: dict[tuple[str, str], _Missing] = {}
    for line in one.lines:
        for framework, cell in line.cells.items():
            if isinstance(cell.figure, NotKnown):
                whose = missing.setdefault((cell.figure.reason, cell.command), {})
                whose.setdefault((framework, line.way), []).append(line.name)
    rows = Counter(line.way for line in one.lines)
    wholly = {key for whose in missing.values() for key, names in whose.items() if len(names) == rows[key[1]]}
    others = Counter(line.name for line in one.lines for name in line.cells if (name, line.way) not in wholly)
    return [_missing(reason, command, whose, wholly, others) for (reason, command), whose in missing.items()]


def markdown(one: Matrix) -> str:
    lines = list(_lines(one))
    rows = [list(lines[0]), ["---"] * len(lines[0]), *(list(map(escape, line.values())) for line in lines)]
    tables = [f"| {' | '.join(row)} |" for row in rows]
    told = [f"- {escape(note)}" for note in notes(one)]
    return "\n".join([f"#### {escape(headline(one))}", "", *tables, "", *told, ""])


def for_page(one: Matrix) -> dict[str, Any]:
    """As texts; `device` is for the page's filters."""
    return {"device": one.device, "headline": headline(one), "lines": list(_lines(one)), "notes": notes(one)}


def as_json(one: Matrix) -> dict[str, object]:
    return {
        "device": one.device,
        "request": one.label,
        "versions": dict(one.versions),
        "unlike": list(one.unlike),
        "lines": [
            {
                "way": line.way,
                "name": line.name,
                "unit": line.unit,
                "ratio": line.ratio and asdict(line.ratio),
                **{framework: _cell_as_json(line.cells[framework]) for framework in FRAMEWORKS},
            }
            for line in one.lines
        ],
    }


def _lines(one: Matrix) -> Iterator[dict[str, str]]:
    way = ""
    for line in one.lines:
        cells = {_NAMES[framework]: _told(line.cells[framework]) for framework in FRAMEWORKS}
        yield {
            "runs": line.way if line.way != way else "",
            "figure": line.name,
            "unit": line.unit,
            **cells,
            _RATIO: _ratio(line),
        }
        way = line.way


def _told(cell: Cell) -> str:
    """`12.3 ±0.4`; with the verdict where that is not VALID; `not measured` where there is nothing."""
    if isinstance(cell.figure, NotKnown):
        return "not measured" if not cell.measurement or cell.command else "-"
    words = [_figure(cell.figure), cell.figure.note, "" if cell.status == "VALID" else cell.status]
    return " ".join(filter(None, words))


def _figure(found: Figure) -> str:
    if found.low is None or found.high is None:
        return _short(found.value)
    about = "~" if found.approximate else "±"
    return f"{_short(found.value)} {about}{_short((found.high - found.low) / 2)}"


def _ratio(line: Line) -> str:
    found = line.ratio
    if found is None:
        return ""
    if found.low is None or found.high is None:
        return figure(found.value)
    return f"{figure(found.value)} ({figure(found.low)} to {figure(found.high)})"


def _missing(
    reason: str, command: str, whose: _Missing, wholly: Collection[tuple[str, str]], others: Mapping[str, int]
) -> str:
    """`PyTorch compiled: ...` where all rows of that way are missing, `PyTorch as it is (p99): ...` where some are,
    `p99: ...` where that row is missing in all that have others."""
    counts = Counter(name for key, names in whose.items() if key not in wholly for name in names)
    told = [name for name, count in counts.items() if 1 < count == others[name]]
    for (framework, way), names in whose.items():
        rest = ", ".join(name for name in names if name not in told)
        of = f"{_NAMES[framework]} {way}"
        told += [of] if (framework, way) in wholly else [f"{of} ({rest})"] if rest else []
    return f"{', '.join(told)}: {reason}" + (f"; measured by {command}" if command else "")


def _cell_as_json(cell: Cell) -> dict[str, object]:
    known = cell.figure if isinstance(cell.figure, Figure) else None
    return {
        "figure": known and asdict(known),
        "why": None if isinstance(cell.figure, Figure) else cell.figure.reason,
        "verdict": cell.status or None,
        "measurement": cell.measurement or None,
        "command": cell.command or None,
    }


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
