"""Latencies at sizes that were drawn: each by itself, and all of them as if they were of one size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from device_agents.contract import JobResult
from edge.results.stats.percentiles import percentile

if TYPE_CHECKING:
    from edge.results.stats.percentiles import Samples


@dataclass(frozen=True)
class OfSize:
    """The inferences of one size, pixels a side: how many there were, and their median in ns, the mean of the
    processes' own."""

    size: int
    samples: int
    median_ns: float


def drawn(result: JobResult, samples_ns: Samples) -> list[dict[int, Samples]]:
    """Of each process its latencies by size, in order; empty where no sizes were drawn."""
    found = []
    for process in result.processes:
        if process.sizes is not None:
            timed, sizes = (samples_ns[one.offset : one.offset + one.count] for one in (process.timed, process.sizes))
            found.append({int(size): timed[sizes == size] for size in np.unique(sizes)})
    return found


def of_sizes(runs: Sequence[Mapping[int, Samples]]) -> tuple[OfSize, ...]:
    """The lowest size first."""
    found = []
    for size in sorted({size for run in runs for size in run}):
        its = [run[size] for run in runs if size in run]
        median_ns = float(np.mean([percentile(one, 50.0) for one in its]))
        found.append(OfSize(size, sum(map(len, its)), median_ns))
    return tuple(found)


def levelled(result: JobResult, samples_ns: Samples) -> list[Samples]:
    """The timed latencies of each process; where sizes were drawn, each over the median of its size and times that of
    all, so that what is left is no matter of which sizes came up."""
    runs = [samples_ns[one.timed.offset : one.timed.offset + one.timed.count] for one in result.processes]
    sizes = [samples_ns[one.sizes.offset : one.sizes.offset + one.sizes.count] for one in result.processes if one.sizes]
    if len(sizes) != len(runs):
        return runs
    latencies = np.concatenate(runs)
    every, which = np.unique(np.concatenate(sizes), return_inverse=True)
    typical = np.array([np.median(latencies[which == index]) for index in range(len(every))])
    level = latencies * np.median(latencies) / typical[which]
    return np.split(level, np.cumsum([len(run) for run in runs])[:-1])
