"""Raw samples as CSV, after RFC 4180: UTF-8, CRLF, quotes doubled, a header."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from edge.results.interop.given import Given
from edge.results.interop.sample_table import COLUMNS, blocks

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write(given: Sequence[Given]) -> bytes:
    """Text that a spreadsheet would take for a formula begins with an apostrophe. Errors: ConfigError for figures
    without samples."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for block in blocks(given):
        length = len(block["latency_ns"])
        writer.writerows(zip(*(_column(block[name], length) for name in COLUMNS), strict=True))
    return out.getvalue().encode()


def _column(value: Any, length: int) -> list[Any]:
    if hasattr(value, "tolist"):
        return list(value.tolist())
    return [_plain(value)] * length


def _plain(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
