"""What a query answered: a table for people, CSV and JSON for programs."""

from __future__ import annotations

import csv
import datetime
import decimal
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from device_agents.contract import loads
from edge.report.columns import Column, listing
from edge.results.columns import JSON
from edge.results.database import Answer
from edge.results.formats import cell

_NUMBERS = ("INT", "DOUBLE", "FLOAT", "DECIMAL", "NUMBER")


@dataclass(frozen=True)
class Found:
    """An answer that was read to its end, in values of JSON."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]


def read(answer: Answer) -> Found:
    """Errors: ConfigError for a query that fails on its way."""
    parsed = [kind == JSON for kind in answer.types]
    rows = [tuple(map(_plain, row, parsed)) for row in answer.rows]
    return Found(answer.columns, answer.types, rows)


def as_json(found: Found) -> dict[str, Any]:
    columns = [{"name": name, "type": kind} for name, kind in zip(found.columns, found.types, strict=True)]
    return {"columns": columns, "rows": [dict(zip(found.columns, row, strict=True)) for row in found.rows]}


def as_csv(found: Found) -> str:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(found.columns)
    lines.writerows(map(cell, row) for row in found.rows)
    return text.getvalue()


def table(found: Found, width: int) -> str:
    if not found.rows:
        return "no row is so"
    cells = list(zip(*([_told(value) for value in row] for row in found.rows), strict=True))
    columns = [
        Column(name, cells[at], right=any(word in kind.upper() for word in _NUMBERS))
        for at, (name, kind) in enumerate(zip(found.columns, found.types, strict=True))
    ]
    return listing(columns, width, ())


def _told(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(cell(value))


def _plain(value: Any, parsed: bool = False) -> Any:
    """A value of Python as JSON has it: times as text in UTC, what is no finite number as None. Text of JSON is
    `parsed`."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return loads(value) if parsed else value
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, datetime.datetime):
        return f"{value.replace(tzinfo=None).isoformat()}Z"
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return str(value)
