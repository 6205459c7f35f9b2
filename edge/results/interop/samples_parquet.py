"""Raw samples as Parquet, written by pyarrow, which this module alone imports."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edge.results.interop.given import Given
from edge.results.interop.sample_table import COLUMNS, NUMBERS, blocks
from profiles.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow

_NUMBERS = (*NUMBERS, "batch")


def write(given: Sequence[Given]) -> bytes:
    """Errors: ConfigError without pyarrow, or for figures without samples."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        fix = "pip install 'edgebench[parquet]'"
        raise ConfigError("Parquet is written by pyarrow, which is not installed", fix=fix) from None
    schema = pa.schema([(name, pa.int64() if name in _NUMBERS else pa.string()) for name in COLUMNS])
    tables = [pa.table([_column(pa, block, name) for name in COLUMNS], schema=schema) for block in blocks(given)]
    out = io.BytesIO()
    parquet.write_table(pa.concat_tables(tables), out)
    return out.getvalue()


def _column(pa: Any, block: dict[str, Any], name: str) -> pyarrow.Array:
    value, kind = block[name], pa.int64() if name in _NUMBERS else pa.string()
    if hasattr(value, "tolist"):
        return pa.array(value, kind)
    return pa.array([value] * len(block["latency_ns"]), kind)
