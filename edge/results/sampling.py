"""Raw samples of many measurements as arrays, for the view `samples` of a query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from device_agents.contract import SampleRange
from edge.results.database import SAMPLES
from edge.results.store import Store
from profiles.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST = 20_000_000
"""Samples of one query: 500 MB of memory."""


def samples_of(store: Store, ids: Sequence[str]) -> Mapping[str, NDArray[np.generic]]:
    """Every latency of these measurements: arrays `id` and those of database.SAMPLES.

    Errors: ConfigError where they are too many; ResultError for a measurement that is damaged.
    """
    parts: dict[str, list[NDArray[np.generic]]] = {name: [] for name in ("id", *SAMPLES)}
    total = 0
    for measurement_id in ids:
        measurement = store.get(measurement_id)
        total += measurement.result.samples_count
        if total > MOST:
            message = f"more than {MOST:,} samples, of {len(ids):,} measurements"
            raise ConfigError(message, where="samples", fix="narrow them: --run, --model, --device, --since, --last")
        values = store.samples_ns(measurement)
        for process in measurement.result.processes:
            for warmup, part in ((True, process.warmup), (False, process.timed)):
                parts["id"].append(np.full(part.count, measurement.id, dtype=object))
                parts["process"].append(np.full(part.count, process.index, dtype=np.int32))
                parts["warmup"].append(np.full(part.count, warmup))
                parts["position"].append(np.arange(part.count, dtype=np.int32))
                parts["latency_ns"].append(_of(values, part))
                sizes = None if warmup else process.sizes
                parts["size_px"].append(np.zeros(part.count, dtype=np.int64) if sizes is None else _of(values, sizes))
    return {name: np.concatenate(some) if some else np.empty(0, dtype=np.int64) for name, some in parts.items()}


def _of(values: NDArray[np.int64], part: SampleRange) -> NDArray[np.int64]:
    return values[part.offset : part.offset + part.count]
