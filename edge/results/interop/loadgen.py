"""Lines as in the detail log of MLPerf's LoadGen: `:::MLLOG {...}`, one a figure.

Keys are those of LoadGen (mlcommons/inference, loadgen/results.cc) where it has the figure, else they begin with
`edgebench_`. There is no `result_validity`: that word is LoadGen's to give, for a run that it drove.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from edge import version
from edge.results.interop.given import Given, alone, only
from edge.results.stats import supported

NAME = "loadgen"
_PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)


def write(given: Sequence[Given]) -> bytes:
    """Errors: ConfigError for several measurements, streams, or figures without samples."""
    one = only(given, NAME)
    alone(one, NAME)
    time_ms = sum(process.elapsed_ns for process in one.processes) / 1e6
    lines = [_line(key, value, time_ms, **flags) for key, value, flags in _facts(one)]
    return ("\n".join(lines) + "\n").encode()


_Fact = tuple[str, Any, dict[str, bool]]


def _facts(one: Given) -> Iterator[_Fact]:
    cell, measurement = one.measurement.cell, one.measurement
    scenario = _scenario(one)
    yield "edgebench_version", version(), {}
    yield "edgebench_measurement", measurement.id, {}
    yield "edgebench_request", one.label, {}
    yield "test_datetime", measurement.result.started_at, {}
    if scenario:
        yield "effective_scenario", scenario, {}
    yield "effective_samples_per_query", cell.batch, {}
    yield from ((key, value, {}) for key, value in _figures(one))
    yield "edgebench_verdict", str(one.verdict.status), {}
    for finding in one.verdict.findings:
        flags = {"is_error": True} if finding.broken else {"is_warning": True}
        yield "edgebench_finding", f"{finding.rule}: {finding.reason}", flags
    yield "num_errors", len(one.verdict.broken), {}


def _figures(one: Given) -> Iterator[tuple[str, int | float]]:
    """A percentile that the samples do not support is left out. `with overhead` is by the wall clock."""
    timed = one.timed()
    mean = float(timed.mean())
    yield "result_query_count", len(timed)
    yield "result_qps_with_loadgen_overhead", one.summary.throughput_per_s / one.measurement.cell.batch
    yield "result_qps_without_loadgen_overhead", 1e9 / mean
    yield "result_min_latency_ns", int(timed.min())
    yield "result_max_latency_ns", int(timed.max())
    yield "result_mean_latency_ns", round(mean)
    for percent in _PERCENTILES:
        value = supported(timed, percent)
        if value is not None:
            yield f"result_{percent:.2f}_percentile_latency_ns", value


def _scenario(one: Given) -> str:
    """Empty where LoadGen has no such load: it knows no camera and no pipeline."""
    pattern = one.measurement.cell.pattern
    if pattern.kind == "serial":
        return "SingleStream"
    return "Server" if pattern.poisson else ""


def _line(key: str, value: Any, time_ms: float, *, is_error: bool = False, is_warning: bool = False) -> str:
    """Keys in LoadGen's order; JSON escapes whatever would end the line, and we what would begin another."""
    metadata = {
        "is_error": is_error, "is_warning": is_warning, "file": "edgebench", "line_no": 0, "pid": 0, "tid": 0,
    }  # fmt: skip
    fields = {
        "key": key, "value": value, "time_ms": time_ms, "namespace": "mlperf::logging",
        "event_type": "POINT_IN_TIME", "metadata": metadata,
    }  # fmt: skip
    text = json.dumps(fields, allow_nan=False).replace(":::", "\\u003a::")
    return f":::MLLOG {text}"
