"""Measurements as a watched Jetson makes them: samples of several processes beside what the board did."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from device_agents.contract import (
    SCHEMA,
    Accuracy,
    JobResult,
    Layer,
    Precision,
    ProcessResult,
    Reading,
    SampleRange,
    Series,
    Watch,
)
from edge.planning.plan import Cell
from edge.report.page.numbers import short
from edge.results.store import Measurement, Origin, Store
from profiles.schema import Price, Thresholds

MS, S = 1_000_000, 1_000_000_000
BEGAN_NS = 1_000 * S
SERIES = (
    ("gpu_clock", "Hz", 1, 1.3e9), ("memory_clock", "Hz", 1, 3.2e9), ("cpu_clock", "Hz", 1, 2.2e9),
    ("temperature", "C", 1000, 51.5), ("power", "W", 1000, 24.25), ("throttled_thermal", "", 1, 0.0),
    ("throttled_power", "", 1, 0.0), ("throttled_other", "", 1, 0.0),
)  # fmt: skip
LAYERS = (Layer("conv", "fp16", "Convolution", time_ns=300), Layer("head", "fp32", "Gemm", time_ns=100))


class Made:
    """One measurement of `processes`, each of `count` inferences that take `ms` and vary by a thousandth; `slower`
    is by how much the last is slower than the first, as where a device drifts."""

    def __init__(
        self, name: str, *, ms: float = 2.0, processes: int = 5, count: int = 200, slower: float = 0.0,
        began: bool = True, profile: str = "jetson-agx-orin-64gb", identity: dict[str, str] | None = None,
        at: str = "2026-01-01T00:00:00Z", artifact: str = "a" * 64, price: Price | None = None, **cell: Any,
    ) -> None:  # fmt: skip
        self._parts: list[Any] = []
        self._length = 0
        results, start = [], BEGAN_NS
        for index in range(processes):
            wave = 1 + 0.001 * np.sin(np.arange(count) + index) + slower * np.linspace(0, 1, count) + 0.001 * index
            samples = np.round(ms * MS * wave).astype(np.int64)
            place, elapsed = self._keep(samples), int(samples.sum())
            results.append(_process(index, place, elapsed, start if began else 0))
            start += elapsed + S
        watch = Watch(tuple(self._series(*one, until=start) for one in SERIES), 12.5, 0.006, BEGAN_NS - S, BEGAN_NS)
        self.data = np.concatenate(self._parts).astype("<i8").tobytes()
        asked = {"device": "orin-1", "model": "resnet18", "framework": "pytorch", "backend": "tensorrt",
                 "precision": Precision.FP16, "batch": 1, "weights": "random", **cell}  # fmt: skip
        told = {"serial": "1", "l4t": "36.4.3", "power_mode": "MAXN", **(identity or {})}
        result = JobResult(
            SCHEMA, name, artifact, str(asked["backend"]), at, {"runtime_version": "10.3.0"},
            {key: Reading(value, "a test") for key, value in told.items()}, {}, tuple(results), self._length,
            hashlib.sha256(self.data).hexdigest(), {}, watch=watch, layers=LAYERS,
        )  # fmt: skip
        origin = Origin(profile, "MAXN", Thresholds(), artifact, "random", "b" * 64, "0", price=price)
        self.measurement = Measurement(name, "run-1", Cell(**asked), origin, "now", result)

    @property
    def samples(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        return np.frombuffer(self.data, dtype="<i8").astype(np.int64)

    def _keep(self, values: Any) -> SampleRange:
        place = SampleRange(self._length, len(values))
        self._parts.append(values)
        self._length += len(values)
        return place

    def _series(self, name: str, unit: str, per_unit: int, value: float, *, until: int) -> Series:
        times = np.arange(BEGAN_NS - S, until, 80 * MS)
        values = np.round(value * per_unit * (1 + 1e-3 * np.arange(len(times)) % 0.1)).astype(np.int64)
        return Series(name, unit, f"/sys/{name}", per_unit, self._keep(times), self._keep(values))


def _process(index: int, place: SampleRange, elapsed_ns: int, began_ns: int) -> ProcessResult:
    """The first one starts cold, and takes a second more to load."""
    state = {
        "busy_share_idle_window_before": Reading(0.0, "a test"),
        "page_cache": Reading("warm" if index else "cold", "a test"),
    }
    seconds = {"interpreter": 0.05, "import": 0.5, "load": 0.4 if index else 1.4, "bind": 0.01, "first_inference": 0.04}
    held = {"baseline": 20, "import": 50, "load": 170, "first_inference": 180, "timed": 175}
    return ProcessResult(
        index, 1, 1, 1, SampleRange(0, 0), place, elapsed_ns, True, 100, 1, seconds, state=state, began_ns=began_ns,
        stages={name: {"rss": mb * 10**6, "rss_peak": mb * 10**6} for name, mb in held.items()},
    )  # fmt: skip


def answered(made: Made, accuracy: Accuracy, late: int, timeout_ns: int) -> Made:
    """The same measurement with labelled images in its last process, and so many late answers in its first."""
    result = made.measurement.result
    first, *others, last = result.processes
    counts = {"arrivals": 400, "late": late, "dropped": 0, "waiting": 0, "timeout_ns": timeout_ns}
    processes = (replace(first, counts=counts), *others, replace(last, accuracy=accuracy))
    made.measurement = replace(made.measurement, result=replace(result, processes=processes))
    return made


def add(results: Path, *made: Made) -> Store:
    store = Store(results)
    for one in made:
        store.add(one.measurement, one.data)
    return store


def many_like(document: dict[str, Any], count: int) -> dict[str, Any]:
    """A page's document with so many measurements, none of whose figures is that of another; each is in a pair."""
    first = document["cells"][0]
    told = {"value": 1.25, "low": 1.125, "high": 1.375}
    pair = {"axis": "framework", "device": "device-0", "label": "x" * 60, "model": "resnet50", "command": "x" * 80,
            "a": "pytorch", "b": "tensorflow", "time": told, "p99": told, "energy": None, "finding": "slower",
            "notes": []}  # fmt: skip
    cells = [
        {**_at_another_speed(first, 1 + number / count), "id": f"{number:020x}", "device": f"device-{number % 100}"}
        for number in range(count)
    ]
    pairs = [
        {**pair, "ids": [f"{2 * number:020x}", f"{2 * number + 1:020x}"]} for number in range(min(count // 2, 1000))
    ]
    return {**document, "cells": cells, "ratios": pairs}


def _at_another_speed(told: Any, factor: float) -> Any:
    if isinstance(told, float):
        return short(told * factor)
    if isinstance(told, dict):
        return {name: _at_another_speed(value, factor) for name, value in told.items()}
    return [_at_another_speed(one, factor) for one in told] if isinstance(told, list) else told


def rows(table: dict[str, Any]) -> list[dict[str, Any]]:
    """Of a table that was packed for the page, as the page unpacks it."""
    columns = {name: _values(column) for name, column in table["columns"].items()}
    return [{name: column[index] for name, column in columns.items()} for index in range(table["length"])]


def _values(column: dict[str, Any]) -> list[Any]:
    if "fields" in column:
        return rows(column["fields"])
    if "items" in column:
        items = iter(rows(column["items"]))
        return [list(itertools.islice(items, count)) for count in column["counts"]]
    return [column["values"][place] for place in column.get("at", range(len(column["values"])))]
