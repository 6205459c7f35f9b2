"""The overhead of drawn sizes, for people: as a whole, then size by size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edge.report import rows
from edge.report.readings import Line
from edge.report.rows import Row
from edge.results import overhead
from edge.results.catalogue import opened
from edge.results.filters import Among
from edge.results.overhead import Bucket, Overhead
from edge.results.ratios import Ratio
from edge.results.stats import milliseconds
from edge.results.store import Store
from profiles.progress import Progress

_SHORT = 8  # of an id
_MOST = 1_000_000


def stored(row: Row, results: Path, progress: Progress, *, invalid: bool = False) -> Overhead | None:
    """Of a measurement of drawn sizes, against what lies in the store; None of another. Errors: ResultError."""
    if not overhead.draws(row):
        return None
    cell, store = row.measurement.cell, Store(results)
    alike = {"device": cell.device, "model": cell.model, "framework": cell.framework, "backend": cell.backend}
    conditions = [Among(name, {value}) for name, value in {**alike, "pattern": "serial"}.items()]
    with opened(results, progress) as catalogue:
        ids = catalogue.pick(conditions, None, _MOST).ids
    return overhead.of(row, (rows.read(store, one) for one in ids), store.samples_ns, invalid=invalid)


def lines(found: Overhead | None) -> Iterator[Line]:
    """For `results show`."""
    if found is None:
        return
    if found.overall is not None:
        told = f"{share(found.overall)} on the time that the same sizes take alone, each as often as it was drawn"
        yield "overhead", told
    for index, why in enumerate(found.missing):
        yield "overhead" if index == 0 else "", f"not given: {why}" if index == 0 else why
    for index, bucket in enumerate(found.buckets):
        yield "by size" if index == 0 else "", _told(bucket)


def share(ratio: Ratio) -> str:
    """`+3.1 % (+2.0 to +4.2)`."""
    value = f"{ratio.value - 1:+.1%}"
    if ratio.low is None or ratio.high is None:
        return value
    return f"{value} ({ratio.low - 1:+.1%} to {ratio.high - 1:+.1%})"


def _told(bucket: Bucket) -> str:
    what = f"{bucket.size} px: {bucket.samples} inferences, median {milliseconds(bucket.median_ns)} ms"
    if bucket.overhead is None or bucket.static_ns is None:
        return f"{what}; {bucket.missing}"
    alone = f"alone {milliseconds(bucket.static_ns)} ms ({(bucket.static or '')[:_SHORT]})"
    return f"{what}; {alone}; {share(bucket.overhead)}"
