"""Measurements of other tools, beside ours: where they come from, and figures of those that kept no samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from device_agents.contract import ProcessResult
from edge.results.stats import SUPPORT, Estimate, Summary

TASK = "foreign"
"""The task of a result that no job of ours made. It may have no processes: figures are then all that is known."""

UNKNOWN = "unknown"
"""What a request has to name and a file does not tell, such as the framework that a network comes from."""


@dataclass(frozen=True)
class Told:
    """Figures where there are no samples: of how many inferences, latencies by `mean`, `median`, `p90`, `p95`, `p99`
    and medians of parts, in ns, inferences (batches) a second, how long loading took (0: not told). What is not told
    is left out."""

    inferences: int
    latencies_ns: Mapping[str, int] = field(default_factory=dict)
    parts_ns: Mapping[str, int] = field(default_factory=dict)
    throughput_per_s: float | None = None
    load_ns: int = 0


@dataclass(frozen=True)
class Foreign:
    """What another tool measured: its name and version, the file that it wrote, what that was read as, its SHA-256.
    `processes` and `pattern` (of the load) are None where the file does not tell. `told` are its own figures where it
    kept no samples."""

    tool: str
    file: str
    read_as: str
    sha256: str
    processes: int | None = None
    pattern: str | None = None
    told: Told | None = None

    @property
    def reason(self) -> str:
        """Why it cannot be judged, a sentence."""
        return f"measured by {self.tool}, read from {self.file}: how the device was prepared and watched is not known"


def told_summary(told: Told, batch: int) -> Summary:
    """A tool's own figures, percentiles as far as so many inferences support them. What is not known is nan where a
    summary has no other word for it."""
    latencies, median = told.latencies_ns, told.latencies_ns.get("median")
    tails = {name: _supported(told, name, percent) for name, percent in _TAILS.items()}
    per_s = told.throughput_per_s
    return Summary(
        samples=told.inferences,
        processes=1,
        median=None if median is None else Estimate(float(median), None),
        mean_ns=float(latencies["mean"]) if "mean" in latencies else None,
        p90_ns=tails["p90"],
        p95_ns=tails["p95"],
        p99=None if tails["p99"] is None else Estimate(float(tails["p99"]), None),
        throughput_per_s=math.nan if per_s is None else batch * per_s,
        spread=None,
        drift=math.nan,
        load_ns=float(told.load_ns),
        first_inference_ns=0.0,
        parts={name: float(told.parts_ns[name]) for name in ProcessResult.PARTS if name in told.parts_ns},
    )


_TAILS = {"p90": 90.0, "p95": 95.0, "p99": 99.0}


def _supported(told: Told, name: str, percent: float) -> int | None:
    return told.latencies_ns.get(name) if told.inferences >= SUPPORT[percent] else None
