"""Drawn sizes against the same sizes measured alone, among the measurements of the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge.report.page.cells import Entry
from edge.report.page.numbers import ms
from edge.report.page.ratios import told
from edge.results import overhead
from edge.results.overhead import Bucket, Read


def overheads(entries: Sequence[Entry], samples: Read) -> list[dict[str, Any]]:
    """One for each measurement that drew sizes; INVALID ones are compared with nothing. Errors: ResultError."""
    rows = [entry.row for entry in entries]
    found = [(row, overhead.of(row, rows, samples)) for row in rows if overhead.draws(row)]
    return [
        {
            "id": over.id,
            "device": row.measurement.cell.device,
            "label": row.measurement.cell.label,
            "overall": told(over.overall),
            "missing": list(over.missing),
            "buckets": [_bucket(bucket) for bucket in over.buckets],
        }
        for row, over in found
    ]


def _bucket(bucket: Bucket) -> dict[str, Any]:
    return {
        "size": bucket.size,
        "samples": bucket.samples,
        "ms": ms(bucket.median_ns),
        "alone_ms": ms(bucket.static_ns),
        "overhead": told(bucket.overhead),
        "missing": bucket.missing,
    }
