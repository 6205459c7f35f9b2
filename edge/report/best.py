"""Which configurations keep the limits: a table, sentences; and the same as data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from edge.answers.best import Found, Miss
from edge.answers.limits import Limit, figures, why_unknown
from edge.quantities import counted
from edge.report.columns import Column, Spare, listing
from edge.report.row_json import as_json as row_as_json
from edge.report.rows import Row, interval
from edge.results.energy import Energy
from edge.results.verdict import Status

_SPARES = (Spare("W", if_alike=True), Spare("J/image"), Spare("front"), Spare("id"))


def table(found: Found, width: int) -> str:
    """A row a full measurement: those that keep the limits first, the fastest of them at the top."""
    rows = ordered(found)
    energies = [row.energy if isinstance(row.energy, Energy) else None for row in rows]
    columns = [
        Column("configuration", [label(row) for row in rows]),
        Column("p99 ms", [interval(row.summary.p99, row.summary.samples) for row in rows], right=True),
        Column("images/s", [f"{row.summary.throughput_per_s:.1f}" for row in rows], right=True),
        Column("W", [f"{one.watts:.3g}" if one else "" for one in energies], right=True),
        Column("J/image", [f"{one.joules_per_sample:.3g}" if one else "" for one in energies], right=True),
        Column("limits", [stands(row, found.limits) for row in rows]),
        Column("front", ["*" if row in found.front else "" for row in rows]),
        Column("id", [row.measurement.id for row in rows]),
    ]
    styles = ["green" if row in found.meets else "" for row in rows]
    return listing(columns, width, _SPARES, styles)


def ordered(found: Found) -> list[Row]:
    return sorted(found.rows, key=lambda row: (row not in found.meets, -row.summary.throughput_per_s))


def label(row: Row) -> str:
    return f"{row.measurement.cell.device} {row.measurement.cell.label}"


def stands(row: Row, limits: Sequence[Limit]) -> str:
    """`kept`, or what is not: `p99 by 12 %, fps by 3 %`."""
    if row.verdict.status is Status.INVALID:
        return row.verdict.short
    told = []
    for limit in limits:
        excess = limit.excess(figures(row))
        if excess is None:
            told.append(f"{limit.name} not known ({why_unknown(limit, row)})")
        elif excess > 0:
            told.append(f"{limit.name} missed by {excess:.0%}".replace("%", " %"))
    return ", ".join(told) or "kept"


def sentences(found: Found) -> Iterator[str]:
    """The answer, what the front is, what was spared."""
    wanted = ", ".join(map(str, found.limits))
    if found.meets:
        first = ordered(found)[0]
        yield f"{wanted}: kept by {counted(len(found.meets), 'configuration')}; most images a second: {label(first)}"
        yield from _between(found)
    else:
        yield f"{wanted}: kept by none of {counted(found.grid, 'configuration')}"
        for miss in found.misses:
            yield told(miss)
        if not found.misses and found.rows:
            yield "none is known to keep all of them: the table says what each misses, or why that is not known"
    if len(found.front) > 1:
        by = "p99 and power" if any(isinstance(row.energy, Energy) for row in found.front) else "p99"
        yield f"front (*): no other of these has more images a second without more {by}"
    yield spared(found)


def told(miss: Miss) -> str:
    """`p99 33.00 ms: the least is 41.20 ms (local resnet18/pytorch fp16 batch 1 on tensorrt)`."""
    which = "least" if miss.limit.most else "most"
    by = f"{abs(miss.nearest / miss.limit.value - 1) * 100:.0f} %"
    short = ", by a short run" if miss.short else ""
    return f"{miss.limit}: the {which} is {miss.limit.told(miss.nearest)}, {by} off ({miss.label}{short})"


def spared(found: Found) -> str:
    """How many measurements it took."""
    said = f"{counted(found.full, 'full measurement')} of a grid of {found.grid}"
    said += f", and {counted(found.short, 'short run')}" if found.short else ""
    reused = f"; {len(found.reused)} that were stored were taken as they are" if found.reused else ""
    return f"{said}: {found.saved} full ones were spared{reused}"


def as_json(found: Found) -> dict[str, object]:
    """Measurements as elsewhere, with what each says of the limits."""
    return {
        "limits": [{"name": limit.name, "value": limit.value, "told": str(limit)} for limit in found.limits],
        "measurements": [
            {
                **row_as_json(row),
                "meets": row in found.meets,
                "front": row in found.front,
                "limits": stands(row, found.limits),
                "reused": row in found.reused,
            }
            for row in ordered(found)
        ],
        "misses": [{**asdict(miss), "told": told(miss)} for miss in found.misses],
        "failed": [{"device": f.cell.device, "cell": f.cell, "error": f.error} for f in found.failures],
        "grid": found.grid,
        "full": found.full,
        "short": found.short,
        "spared": found.saved,
    }


def _between(found: Found) -> Iterator[str]:
    """Batches between two that keep the limits keep them, too, as far as latency grows with the batch."""
    seen: dict[str, list[int]] = {}
    for row in found.meets:
        key = label(row).replace(f" batch {row.measurement.cell.batch}", "")
        seen.setdefault(key, []).append(row.measurement.cell.batch)
    for key, batches in seen.items():
        if len(batches) > 1:
            yield f"{key}: from batch {min(batches)} to {max(batches)}; what lies between was not measured"
