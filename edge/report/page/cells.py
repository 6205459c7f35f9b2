"""One measurement as the page holds it: what it is, its figures and verdict, and what its plots are drawn from."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.report.page.distribution import percentiles, quantiles_ms
from edge.report.page.graphs import Graphs
from edge.report.page.numbers import ms, short
from edge.report.page.stages import cost, memory, starts
from edge.report.page.timeline import timeline
from edge.report.rows import Row, late, right, top1, top5
from edge.results.again import deploy_command
from edge.results.energy import Energy
from edge.results.layers import layers_of, precision_shares, slowest
from edge.results.scrubbing import scrubbed
from edge.results.sides import Side, side
from edge.results.special import special
from edge.results.stats import Estimate, Share
from edge.results.store import Store
from edge.results.watched import Watched

if TYPE_CHECKING:
    from edge.results.stats.percentiles import Samples

_SLOWEST = 5


@dataclass(frozen=True)
class Detail:
    """How much a page holds of each measurement: `points` of the curve of its distribution; when `whole`, its time line
    and its slowest layers, too."""

    points: int
    whole: bool = True


@dataclass(frozen=True)
class Entry:
    """`told` goes to the page as it is; `row` is for comparisons and the environment, which need no samples. `side` is
    None where another tool kept none."""

    told: dict[str, Any]
    row: Row
    side: Side | None

    @functools.cached_property
    def bundled(self) -> Row:
        """Its row as a bundle tells it."""
        return replace(self.row, measurement=scrubbed(self.row.measurement))


def comparable(entries: list[Entry]) -> list[Row]:
    """All as a bundle tells them where one of them came in one: serial numbers of one board are alike then."""
    is_any_imported = any(entry.row.measurement.imported for entry in entries)
    return [entry.bundled if is_any_imported else entry.row for entry in entries]


def read_entry(store: Store, graphs: Graphs, measurement_id: str, detail: Detail) -> Entry:
    """Errors: ResultError for what is missing or damaged."""
    measurement = store.get(measurement_id)
    samples = store.samples_ns(measurement)
    row = Row.from_samples(measurement, samples)
    return Entry(
        told={
            **_what(row),
            **_figures(row),
            **_drawn(row, samples, detail),
            **_engine(row, graphs, detail),
            **_around(row),
        },
        row=row,
        side=side([row], [samples]) if measurement.result.processes else None,
    )


def _what(row: Row) -> dict[str, Any]:
    measurement, cell = row.measurement, row.measurement.cell
    return {
        "id": measurement.id,
        "run": measurement.run,
        "started_at": measurement.result.started_at,
        "device": cell.device,
        "profile": measurement.origin.device_profile,
        "model": cell.model,
        "framework": cell.framework,
        "backend": row.runtime,
        "version": row.runtime_version,
        "precision": str(cell.precision),
        "batch": cell.batch,
        "size": "" if cell.size is None else f"{cell.size[0]}x{cell.size[1]}",
        "pattern": row.pattern or "",
        "special": special(cell),
        "label": cell.label,
        "again": "" if row.foreign else deploy_command(cell),
        "verdict": str(row.verdict.status),
        "findings": [{"rule": one.rule, "broken": one.broken, "reason": one.reason} for one in row.verdict.findings],
        "flags": [{"name": one.name, "reason": one.reason} for one in row.verdict.flags],
    }


def _figures(row: Row) -> dict[str, Any]:
    summary, energy, accuracy = row.summary, row.energy, row.accuracy
    known = energy if isinstance(energy, Energy) else None
    return {
        "median": _estimate(summary.median),
        "p99": _estimate(summary.p99),
        "per_s": short(summary.throughput_per_s),
        "joules": short(known.joules_per_sample) if known else None,
        "watts": short(known.watts) if known else None,
        "energy": known.source if known else getattr(energy, "reason", ""),
        "samples": summary.samples,
        "processes": row.processes,
        "streams": summary.streams,
        "top1": _share(top1(accuracy), right(accuracy)) if accuracy else None,
        "top5": _share(top5(accuracy), right(accuracy)) if accuracy else None,
        "late": _share(summary.late, late(summary)),
    }


def _around(row: Row) -> dict[str, Any]:
    return {"loading": starts(row), "memory": memory(row), "cost": cost(row)}


def _drawn(row: Row, samples: Samples, detail: Detail) -> dict[str, Any]:
    processes = row.measurement.result.processes
    if not processes:
        return {"quantiles": [], "percentiles": [], "time": None}
    timed = np.concatenate([samples[p.timed.offset : p.timed.offset + p.timed.count] for p in processes])
    alone = row.summary.median is not None  # where inferences overlap a latency is none
    return {
        "quantiles": quantiles_ms(timed, detail.points) if alone else [],
        "percentiles": percentiles(timed) if alone else [],
        "time": timeline(processes, samples, Watched(row.measurement.result, samples)) if detail.whole else None,
    }


def _engine(row: Row, graphs: Graphs, detail: Detail) -> dict[str, Any]:
    layers = layers_of(row.measurement.result)
    shares = precision_shares(layers)
    median = row.summary.median
    return {
        "layers": shares
        and {
            "by_time": shares.by_time,
            "shares": [{"precision": one.precision, "layers": one.layers, "share": short(one.share)}
                       for one in shares.shares],
        },
        "slowest": [
            {"name": layer.name[:120], "precision": layer.precision, "share": short(share)}
            for layer, share in slowest(layers, _SLOWEST if detail.whole else 0)
        ],
        "floor": graphs.floor(row.measurement, median.value_ns if median else None),
    }  # fmt: skip


def _share(found: Share | None, told: str) -> dict[str, Any] | None:
    return None if found is None else {"share": short(found.value), "told": told}


def _estimate(found: Estimate | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"ms": ms(found.value_ns), "half": ms(found.half_width_ns), "approximate": found.approximate}
