"""What tests of other tools' formats share: measurements made by hand, and a JSON reader that takes nothing odd."""

from __future__ import annotations

import functools
import hashlib
import json
import random
from dataclasses import replace
from typing import Any

import numpy as np

from device_agents.contract import (
    SCHEMA,
    JobResult,
    Layer,
    LoadPattern,
    Precision,
    ProcessResult,
    Reading,
    SampleRange,
    Series,
    Watch,
)
from edge.planning.plan import Cell
from edge.results.interop import Given
from edge.results.store import Measurement, Origin
from profiles.schema import Thresholds

COUNT = 700
PARTS_NS = {"h2d": 300_000, "compute": 9_000_000, "d2h": 200_000, "enqueue": 150_000}


def given(*, processes: int = 2, parts: bool = True, watched: bool = False, **fields: Any) -> Given:
    """So many processes of 700 latencies of about 10 ms, seeded, after three of warm-up. `fields` are of the cell, or
    `layers` or `switches` of the result."""
    chance = np.random.default_rng(7)
    blocks: list[Any] = []
    made = tuple(_process(index, blocks, chance, parts=parts) for index in range(processes))
    watch, switches = _watch(blocks) if watched else None, fields.pop("switches", {})
    data = np.concatenate(blocks)
    result = JobResult(
        SCHEMA, "job-1", "a" * 64, "tensorrt", "2026-01-02T03:04:05Z", {"runtime_version": "10.3", **switches},
        {"gpu": Reading("Orin", "nvml")}, {}, made, len(data), hashlib.sha256(data.tobytes()).hexdigest(), {},
        layers=fields.pop("layers", (Layer("conv1", "fp16", time_ns=700_000), Layer("fc", "fp16", time_ns=300_000))),
        watch=watch,
    )  # fmt: skip
    cell = Cell("orin-1", "resnet18", "pytorch", "tensorrt", Precision.FP16, 8)
    origin = Origin("local", None, Thresholds(), "a" * 64, "random", "b" * 64, "0")
    return derived(Measurement("abcdef0123456789", "run-1", replace(cell, **fields), origin, "now", result), data)


@functools.cache
def _plain() -> Given:
    return given(processes=1)


def named(model: str) -> Given:
    """One process, of a model of this name."""
    measurement = _plain().measurement
    return replace(_plain(), measurement=replace(measurement, cell=replace(measurement.cell, model=model)))


def derived(measurement: Measurement, data: Any) -> Given:
    return Given.read(measurement, data)


def pipelined(**fields: Any) -> Given:
    """The next inference is enqueued while one computes: twice as many in the same time."""
    made = given(pattern=LoadPattern("pipelined"), **fields)
    result = made.measurement.result
    faster = tuple(replace(process, elapsed_ns=process.elapsed_ns // 2) for process in result.processes)
    return derived(replace(made.measurement, result=replace(result, processes=faster)), made.samples_ns)


def strict_json(data: bytes) -> Any:
    """As a strict reader has it: no NaN, no key twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({key for key, _ in pairs}) == len(pairs), "a key stands twice"
        return dict(pairs)

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(data.decode(), object_pairs_hook=once, parse_constant=refuse)


def _process(index: int, blocks: list[Any], chance: Any, *, parts: bool) -> ProcessResult:
    offset = sum(map(len, blocks))
    latencies = 10_000_000 + chance.integers(-100_000, 100_000, COUNT)
    blocks += [np.full(3, 20_000_000), latencies]
    places = {}
    for name, mean in PARTS_NS.items() if parts else ():
        places[name] = SampleRange(sum(map(len, blocks)), COUNT)
        blocks.append(mean + chance.integers(-999, 999, COUNT))
    elapsed_ns = int(latencies.sum()) + 7_000_000
    return ProcessResult(
        index, 50_000_000, 40_000_000, 30_000_000, SampleRange(offset, 3), SampleRange(offset + 3, COUNT), elapsed_ns,
        True, 150, 90_000_000, {"import": 0.05, "load": 0.04, "first_inference": 0.03, "warmup": 0.06}, parts=places,
        began_ns=10**12 + index * 10**11,
    )  # fmt: skip


def _watch(blocks: list[Any]) -> Watch:
    times = SampleRange(sum(map(len, blocks)), 5)
    blocks += [10**12 + np.arange(5) * 10**8, np.array([15_000, 15_500, 16_000, 15_750, 15_250])]
    values = SampleRange(times.offset + 5, 5)
    return Watch((Series("power", "W", "VDD_IN", 1000, times, values),), 10.0, 0.01)


NASTY = (
    *"|`*_~<>[]()!#&\\$@:-+=.{}'\"/,;%^", "é", "漢", "\U0001f600", "\u202e", "\u2028", "\x00", "\x1b", "\r", "\n", "\t",
    "](http://x)", "<img src=x>", "</script>", "@someone", "a/b#1", "~~", "**", "```", "&amp;", "https://x.org",
    ":::MLLOG ",
)  # fmt: skip


def nasty_texts(count: int = 200) -> list[str]:
    """Names that somebody might give: seeded mixtures of letters and of what means something to a format."""
    chance = random.Random(11)
    return [
        "".join(chance.choice((*NASTY, "a", "B", "7", " ")) for _ in range(chance.randint(1, 12))) for _ in range(count)
    ]
