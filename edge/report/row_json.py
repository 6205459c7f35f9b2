"""One measurement as `--json` has it: the figures of its row by name."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict

from edge.report.opinion import ratios
from edge.report.rows import CLOCKS, Row, top1, top5
from edge.results.energy import NotKnown
from edge.results.layers import layers_of, precision_shares, slowest
from edge.results.lottery import build_lottery
from edge.results.stats import Share


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
        "runtime": row.runtime,
        "runtime_version": row.runtime_version or None,
        "provider": measurement.result.switches.get("provider"),
        "precision": cell.precision,
        "batch": cell.batch,
        "size": None if cell.size is None else {"height": cell.size[0], "width": cell.size[1]},
        "pattern": row.pattern,
        "options": cell.options,
        "hot_input": cell.hot_input,
        "transfers": cell.transfers,
        "cold": cell.cold,
        "bounds": cell.profiles,
        "engines": cell.engines,
        "lock_clocks": cell.lock_clocks,
        "power_mode": cell.power_mode,
        "persistence": cell.persistence,
        "shared": cell.shared,
        "build": cell.build,
        "repeat": cell.repeat,
        "median_ms": _ms(summary.median.value_ns if summary.median else None),
        "median_half_width_ms": _ms(summary.median.half_width_ns if summary.median else None),
        "within_run": summary.within_run,
        "mean_ms": _ms(summary.mean_ns),
        "p90_ms": _ms(summary.p90_ns),
        "p95_ms": _ms(summary.p95_ns),
        "p99_ms": _ms(summary.p99.value_ns if summary.p99 else None),
        "p99_half_width_ms": _ms(summary.p99.half_width_ns if summary.p99 else None),
        "p99_own_ms": _ms(summary.p99_own.value_ns if summary.p99_own else None),
        "p99_bootstrap_ms": [ns / 1e6 for ns in summary.p99_bootstrap_ns] if summary.p99_bootstrap_ns else None,
        "p99_9_ms": _ms(summary.p999_ns),
        "bounds_ms": {f"p{p:g}": ns / 1e6 for p, ns in summary.bounds_ns.items()},
        "trimmed_mean_ms": _ms(summary.trimmed_ns),
        "two_speeds": summary.kinds,
        "soak": summary.soak,
        "sizes": list(summary.sizes),
        "throughput_per_s": _known(summary.throughput_per_s),
        "load_ms": _ms(summary.load_ns or None),
        "first_inference_ms": _ms(summary.first_inference_ns or None),
        "samples": summary.samples,
        "processes": row.processes,
        "spread": summary.spread,
        "spread_within_run": summary.within,
        "drift": _known(summary.drift),
        "streams": summary.streams,
        "parts": {name: {"median_ms": value / 1e6, "clock": CLOCKS[name]} for name, value in summary.parts.items()},
        "counts": summary.counts,
        "late_answers": share_as_json(summary.late),
        "accuracy": _accuracy_as_json(row),
        "verdict": row.verdict.status,
        "findings": list(row.verdict.findings),
        "flags": list(row.verdict.flags),
        "held": list(row.verdict.held),
        "foreign": row.foreign,
        "inputs": measurement.origin.inputs,
        "labelled": measurement.origin.labelled,
        "memory_bytes": row.memory,
        **_or_reason("energy", row.energy),
        **_or_reason("loading", row.loading),
        **_or_reason("memory", row.footprint),
        **_or_reason("cost", row.cost),
        **_engine_as_json(row),
        "controlled": list(measurement.result.controlled),
        "imported": measurement.imported,
        "started_at": measurement.result.started_at,
        "measuring_s": row.measuring_s,
        "waited_s": row.waited_s,
    }


def _or_reason(name: str, found: object) -> dict[str, object]:
    """A figure, or in its place why it is not known."""
    if isinstance(found, NotKnown):
        return {name: None, f"{name}_unknown": found.reason}
    return {name: found, f"{name}_unknown": None}


def lotteries_as_json(rows: Iterable[Row]) -> list[dict[str, object]]:
    """The build lotteries among these measurements, names with units, spreads as shares of 1."""
    return [asdict(lottery) for lottery in build_lottery(rows)]


def _engine_as_json(row: Row) -> dict[str, object]:
    result = row.measurement.result
    layers, use = layers_of(result), result.engine
    shares = precision_shares(layers)
    engine = use and {
        "reused": use.reused,
        "why": use.why,
        "runtime": use.report.runtime,
        "runtime_version": use.report.runtime_version,
        "key": use.report.key,
        "sha256": use.report.file.sha256,
        "bytes": use.report.file.size,
        "built_at": use.report.built_at,
        "build_seconds": use.report.seconds,
        "device_memory_bytes": use.report.device_memory_bytes,
        "warnings": use.report.warnings,
    }
    return {
        "engine": engine,
        "precision_shares": shares,
        "slowest_layers": [{"layer": layer, "share": share} for layer, share in slowest(layers)],
        "command": result.command or None,
        "opinion": result.opinion,
        "opinion_ratios": [{**asdict(ratio), "ratio": ratio.ratio} for ratio in ratios(result.opinion, row.summary)],
    }


def share_as_json(share: Share | None) -> dict[str, object] | None:
    """A share of 1 with its 95 % interval."""
    if share is None:
        return None
    low, high = share.interval
    return {"count": share.count, "of": share.of, "share": share.value, "low": low, "high": high}


def _accuracy_as_json(row: Row) -> dict[str, object] | None:
    found = row.accuracy
    if found is None:
        return None
    five = share_as_json(top5(found))
    return {"images": found.images, "classes": found.classes, "top1": share_as_json(top1(found)), "top5": five}


def _known(figure: float) -> float | None:
    return None if math.isnan(figure) else figure


def _ms(ns: float | None) -> float | None:
    return None if ns is None else ns / 1e6
