"""Raw samples as Parquet, written by DuckDB."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edge.results import database
from edge.results.columns import COUNT, TEXT, Column
from edge.results.interop.given import Given
from edge.results.interop.sample_table import COLUMNS, NUMBERS, blocks

_COLUMNS = tuple(Column(name, COUNT if name in (*NUMBERS, "batch") else TEXT, "") for name in COLUMNS)


def write(given: Sequence[Given]) -> bytes:
    """Errors: ConfigError without DuckDB, or for figures without samples."""
    with tempfile.TemporaryDirectory(prefix="edgebench-") as folder:
        target = Path(folder) / "samples.parquet"
        database.write(target, _rows(given), workspace=Path(folder), columns=_COLUMNS)
        return target.read_bytes()


def _rows(given: Sequence[Given]) -> Iterator[dict[str, Any]]:
    for block in blocks(given):
        for index in range(len(block["latency_ns"])):
            yield {name: int(value[index]) if hasattr(value, "tolist") else value for name, value in block.items()}
