"""One measurement as a row: figures with their units, verdict and reasons; the same for tables and `--json`."""

from __future__ import annotations

from dataclasses import dataclass

from edge.results.stats import Estimate, Summary, summarise
from edge.results.store import Measurement, Store
from edge.results.verdict import Verdict, judge

_PHASES = ("import", "load", "first_inference", "parity_before", "warmup", "timed", "parity_after")


@dataclass(frozen=True)
class Row:
    """A measurement with what is derived from its samples."""

    measurement: Measurement
    summary: Summary
    verdict: Verdict

    @property
    def measuring_s(self) -> float:
        """Seconds that were spent loading, checking, warming up and timing, over all processes."""
        return sum(process.seconds.get(name, 0.0) for process in self.measurement.result.processes for name in _PHASES)

    @property
    def waited_s(self) -> float:
        """Seconds for which somebody else held the accelerator."""
        return self.measurement.result.seconds.get("waited", 0.0)


def read(store: Store, measurement_id: str) -> Row:
    """Errors: ResultError when the measurement is missing or damaged."""
    measurement = store.get(measurement_id)
    summary = summarise(measurement.result, store.samples_ns(measurement), measurement.cell.batch)
    return Row(measurement, summary, judge(measurement, summary))


def as_json(row: Row) -> dict[str, object]:
    """Milliseconds and inferences a second, names with units; None where the samples do not support a figure."""
    measurement, summary, cell = row.measurement, row.summary, row.measurement.cell
    return {
        "id": measurement.id,
        "run": measurement.run,
        "device": cell.device,
        "model": cell.model,
        "framework": cell.framework,
        "backend": cell.backend,
        "provider": measurement.result.switches.get("provider"),
        "precision": cell.precision,
        "batch": cell.batch,
        "pattern": str(cell.pattern),
        "median_ms": summary.median.value_ns / 1e6,
        "median_half_width_ms": _ms(summary.median.half_width_ns),
        "within_run": summary.within_run,
        "mean_ms": summary.mean_ns / 1e6,
        "p90_ms": _ms(summary.p90_ns),
        "p95_ms": _ms(summary.p95_ns),
        "p99_ms": _ms(summary.p99.value_ns if summary.p99 else None),
        "p99_half_width_ms": _ms(summary.p99.half_width_ns if summary.p99 else None),
        "throughput_per_s": summary.throughput_per_s,
        "load_ms": summary.load_ns / 1e6,
        "first_inference_ms": summary.first_inference_ns / 1e6,
        "samples": summary.samples,
        "processes": summary.processes,
        "spread": summary.spread,
        "drift": summary.drift,
        "verdict": row.verdict.status,
        "findings": list(row.verdict.findings),
        "started_at": measurement.result.started_at,
        "measuring_s": row.measuring_s,
        "waited_s": row.waited_s,
    }


def interval(estimate: Estimate | None, samples: int) -> str:
    """In ms: `12.31 ±0.40`; `12.31 ~0.40` where approximate; `12.31` where one process says nothing of the next;
    `- (n=150)` where the samples do not support the figure."""
    if estimate is None:
        return f"- (n={samples})"
    value = milliseconds(estimate.value_ns)
    if estimate.half_width_ns is None:
        return value
    about = "~" if estimate.approximate else "±"
    return f"{value} {about}{milliseconds(estimate.half_width_ns)}"


def milliseconds(ns: float) -> str:
    """Three significant digits or two decimals, whichever says more."""
    ms = ns / 1e6
    return f"{ms:.3g}" if ms < 1 else f"{ms:.2f}"


def _ms(ns: float | None) -> float | None:
    return None if ns is None else ns / 1e6
