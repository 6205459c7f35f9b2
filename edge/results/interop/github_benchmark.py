"""github-action-benchmark's own formats, customSmallerIsBetter and customBiggerIsBetter: a JSON list of `name`, `unit`,
`value`, `range`, `extra` (benchmark-action/github-action-benchmark, README.md and src/extract.ts)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence

from edge.results.interop.given import Given
from edge.results.stats import Estimate
from profiles.errors import ConfigError

Entry = dict[str, str | float]


def smaller_is_better(given: Sequence[Given]) -> bytes:
    """Latencies in ms: median, and p99 where the samples support it. Errors: as of `bigger_is_better`."""
    return _written(entry for one in _sound(given) for entry in _latencies(one))


def bigger_is_better(given: Sequence[Given]) -> bytes:
    """Throughputs in images a second. INVALID measurements are left out: an alarm must not come of them.

    Errors: ConfigError where nothing is left.
    """
    return _written(
        _entry(one, "throughput", "images/s", one.summary.throughput_per_s)
        for one in _sound(given)
        if not math.isnan(one.summary.throughput_per_s)
    )


def _latencies(one: Given) -> Iterator[Entry]:
    for name, estimate in (("median", one.summary.median), ("p99", one.summary.p99)):
        if estimate is not None:
            entry = _entry(one, name, "ms", estimate.value_ns / 1e6)
            yield {**entry, **_range(estimate)}


def _entry(one: Given, figure: str, unit: str, value: float) -> Entry:
    """The name is that of the request, so that one measurement follows another in the same chart."""
    extra = f"{one.verdict.short}\nmeasurement {one.measurement.id}\nstarted at {one.measurement.result.started_at}"
    return {"name": f"{one.label}: {figure}", "unit": unit, "value": value, "extra": extra}


def _range(estimate: Estimate) -> Entry:
    return {} if estimate.half_width_ns is None else {"range": f"± {estimate.half_width_ns / 1e6:.6g}"}


def _sound(given: Sequence[Given]) -> list[Given]:
    return [one for one in given if not one.verdict.broken]


def _written(entries: Iterable[Entry]) -> bytes:
    found = list(entries)
    if not found:
        raise ConfigError("no measurement among these has such a figure and is not INVALID", fix="measure again")
    return (json.dumps(found, indent=2, ensure_ascii=False) + "\n").encode()
