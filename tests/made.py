"""Measurements that were made by hand: what their processes timed, on which device, in which environment."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from device_agents.contract import SCHEMA, JobResult, Precision, ProcessResult, Reading, SampleRange
from edge.planning.plan import Cell
from edge.report.details import details
from edge.report.rows import Row
from edge.results.sides import Side, side
from edge.results.store import Measurement, Origin
from edge.results.watched import Watched
from profiles.schema import Thresholds

if TYPE_CHECKING:
    from edge.results.stats import Samples

MS = 1_000_000
CELL = Cell("orin-1", "resnet18", "pytorch", "onnxruntime", Precision.FP16, 1)
IDENTITY = {"serial": "1", "kernel": "5.15", "power_mode": "MAXN", "gpu": None}
QUIET = {"busy_share_idle_window_before": Reading(0.0, "a test")}


def samples_of(medians_ms: Sequence[float], count: int) -> Samples:
    """`count` latencies a process, all alike."""
    return np.concatenate([np.full(count, round(ms * MS)) for ms in medians_ms]).astype(np.int64)


def measured(
    *medians_ms: float,
    name: str = "m",
    run: str = "run-1",
    count: int = 200,
    identity: dict[str, Any] | None = None,
    version: str = "1.20",
    artifact: str = "a" * 64,
    thresholds: Thresholds = Thresholds(9.0, 9.0, 9.0),  # noqa: B008 - frozen
    **cell: Any,
) -> tuple[Row, Samples]:
    """One measurement and its samples, a process for each median."""
    samples = samples_of(medians_ms, count)
    processes = tuple(
        ProcessResult(
            index, 1, 1, 1, SampleRange(0, 0), SampleRange(index * count, count), round(ms * MS * count), True, 100, 1,
            {}, state=QUIET,
        )
        for index, ms in enumerate(medians_ms)
    )  # fmt: skip
    asked = replace(CELL, **cell)
    readings = {
        key: Reading(unknown="not told") if value is None else Reading(value, "a test")
        for key, value in {**IDENTITY, **(identity or {})}.items()
    }
    data = samples.astype("<i8").tobytes()
    result = JobResult(
        SCHEMA, name, artifact, asked.backend, "2026-01-01T00:00:00Z", {"runtime_version": version}, readings, {},
        processes, len(samples), hashlib.sha256(data).hexdigest(), {},
    )  # fmt: skip
    origin = Origin("local", None, thresholds, artifact, "random", "b" * 64, "0")
    made = Measurement(name, run, asked, origin, "now", result)
    return Row.from_samples(made, samples), samples


Drawn = Mapping[int, tuple[int, float]]
"""Of a process, how often each size was drawn, and what an inference of it took in ms."""


def drawn(processes: Sequence[Drawn], **fields: Any) -> tuple[Row, Samples]:
    """One measurement of drawn sizes and its samples: sizes come in their order, as many inferences a process."""
    count = sum(times for times, _ in processes[0].values())
    row, _ = measured(*(1.0 for _ in processes), count=count, **fields)
    latencies = [round(ms * MS) for its in processes for times, ms in its.values() for _ in range(times)]
    sizes = [size for its in processes for size, (times, _) in its.items() for _ in range(times)]
    data = np.array([*latencies, *sizes], dtype=np.int64)
    made = row.measurement
    marked = tuple(
        replace(process, sizes=SampleRange(count * (len(processes) + index), count))
        for index, process in enumerate(made.result.processes)
    )
    digest = hashlib.sha256(data.astype("<i8").tobytes()).hexdigest()
    result = replace(made.result, processes=marked, samples_count=len(data), samples_sha256=digest)
    return Row.from_samples(replace(made, result=result), data), data


def sided(*medians_ms: float, **fields: Any) -> Side:
    row, samples = measured(*medians_ms, **fields)
    return side([row], [samples])


def shown(row: Row, width: int = 300) -> str:
    """Everything about it, as of a device that was not watched."""
    return details(row, Watched(row.measurement.result, np.array([], np.int64)), width)
