"""Raw samples as columns, a row an inference: for spreadsheets, pandas and their like."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from device_agents.contract import ProcessResult
from edge.results.interop.given import Given

ABOUT = ("measurement", "device", "model", "framework", "backend", "precision", "batch", "verdict")
NUMBERS = ("process", "index", "latency_ns", *(f"{part}_ns" for part in ProcessResult.PARTS), "size_px")
COLUMNS = (*ABOUT, "phase", *NUMBERS)
"""Integers are null where a runtime does not tell. `index` counts from 0 within a phase of a process, `size_px` is one
side of the images where the load pattern draws it."""


def blocks(given: Sequence[Given]) -> Iterator[dict[str, Any]]:
    """For each phase (warmup, timed) of each process: a value for the whole of it, or an int64 array, or None."""
    for one in given:
        one.timed()
        about = _about(one)
        for process in one.processes:
            for phase, place in (("warmup", process.warmup), ("timed", process.timed)):
                parts = process.parts if phase == "timed" else {}
                columns = {f"{name}_ns": one.of(parts[name]) if name in parts else None for name in ProcessResult.PARTS}
                sizes = one.of(process.sizes) if process.sizes and phase == "timed" else None
                yield {
                    **about, "phase": phase, "process": process.index, "index": np.arange(place.count),
                    "latency_ns": one.of(place), **columns, "size_px": sizes,
                }  # fmt: skip


def _about(one: Given) -> dict[str, Any]:
    cell = one.measurement.cell
    values = (one.measurement.id, cell.device, cell.model, cell.framework, cell.backend, str(cell.precision))
    return dict(zip(ABOUT, (*values, cell.batch, str(one.verdict.status)), strict=True))
