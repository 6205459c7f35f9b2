"""Tables and sentences for a terminal. Device-made text is printed as text, never as markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape as markup_escape
from rich.table import Table

from edge.report.rows import Row, interval, opinion_ratios
from edge.results.lottery import build_lottery, undrawn
from edge.results.verdict import Status
from profiles.errors import printable

_WIDE = 1000  # a table of figures overflows a narrow terminal, which wraps it: cut figures would be none
_STYLES = {Status.VALID: "green", Status.INVALID: "red", Status.UNJUDGED: "yellow"}


def escape(text: str) -> str:
    """Text from a device or a user: no markup, no control characters."""
    return markup_escape(printable(text))


def measurements(rows: Sequence[Row], *, ids: bool) -> str:
    """The table of `deploy` and `results list`: a row a measurement, INVALID ones struck out."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    if ids:
        table.add_column("started", no_wrap=True)
    patterns = any(row.measurement.cell.pattern.kind != "serial" for row in rows)
    for name in ("device", "model", "framework", "backend", *(["pattern"] if patterns else []), "precision"):
        table.add_column(name)
    for name in ("batch", "median ms", "p99 ms", "images/s"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    if ids:
        table.add_column("id", no_wrap=True)
    for row in rows:
        cell, summary = row.measurement.cell, row.summary
        provider = row.measurement.result.switches.get("provider")
        struck = "strike" if row.verdict.status is Status.INVALID else ""
        style = _STYLES[row.verdict.status]
        table.add_row(
            *([escape(row.measurement.result.started_at[:16].replace("T", " "))] if ids else []),
            escape(cell.device),
            escape(cell.model),
            cell.framework,
            escape(f"{row.runtime} {provider}" if provider else row.runtime),
            *([str(cell.pattern)] if patterns else []),
            str(cell.precision),
            f"{cell.batch} build {cell.build}" if cell.build else str(cell.batch),
            interval(summary.median, summary.samples) if summary.median else "-",
            interval(summary.p99, summary.samples) if summary.median else "-",
            f"{summary.throughput_per_s:.1f}",
            f"[{style}]{row.verdict.short}[/{style}]",
            *([row.measurement.id] if ids else []),
            style=struck,
        )
    return render(table, _WIDE)


def notes(rows: Sequence[Row]) -> list[str]:
    """What a reader of the table has to know: how intervals are meant, why rows are INVALID, what was not judged."""
    lines = []
    if any(row.summary.within_run for row in rows):
        lines.append("one process each: figures are within run, without an interval for the next run")
    if any(row.summary.median is not None and row.summary.median.half_width_ns is not None for row in rows):
        lines.append("±: 95 % interval over processes (~: approximate, under 10 processes)")
    if any(row.summary.p99 is None and row.summary.median is not None for row in rows):
        lines.append("p99 needs 662 samples at 99 % confidence; with fewer (n) it is not given")
    if any(row.summary.median is None for row in rows):
        lines.append("several streams: inferences overlap, so the throughput is given and the latency is not")
    lines += [
        f"{_label(row)} at {row.measurement.cell.pattern}: {_arrivals(row)}" for row in rows if row.summary.counts
    ]
    lines += [f"build lottery, {lottery}" for lottery in build_lottery(rows)]
    lines += [f"no build lottery, {why}" for why in undrawn(rows)]
    lines += [line for row in rows for line in _second_opinion(row)]
    for row in rows:
        lines += [f"INVALID {_label(row)}: {finding.rule}: {finding.reason}" for finding in row.verdict.broken]
        lines += [f"flag {_label(row)}: {flag.name}: {flag.reason}" for flag in row.verdict.flags]
    for rules, reason, labels in _unjudged(rows):
        lines.append(f"UNJUDGED {rules}: {reason}" + (f" ({labels})" if labels else ""))
    return lines


def render(table: Table, width: int) -> str:
    """The table as text of at most `width` columns, coloured where stdout is a terminal."""
    console = Console(width=width)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(text.rstrip() for text in capture.get().splitlines())


def _label(row: Row) -> str:
    return f"{row.measurement.cell.device} {row.measurement.cell.label}"


def _second_opinion(row: Row) -> Iterable[str]:
    opinion = row.measurement.result.opinion
    if opinion is None:
        return
    who = f"{opinion.tool} {opinion.version} on the engine of {_label(row)}"
    if opinion.error is not None:
        yield f"{who} failed: {opinion.error.message}"
    else:
        yield f"{who}: {'; '.join(str(ratio) for ratio in opinion_ratios(row))}"


def _arrivals(row: Row) -> str:
    counts, arrivals = row.summary.counts, max(row.summary.counts.get("arrivals", 0), 1)
    told = [f"{counts[name]} {name} ({counts[name] / arrivals:.0%})" for name in ("late", "dropped", "waiting")
            if counts.get(name)]  # fmt: skip
    return f"{counts.get('arrivals', 0)} arrivals, " + (", ".join(told) or "none late, none dropped")


def _unjudged(rows: Sequence[Row]) -> Iterable[tuple[str, str, str]]:
    """(rules, reason, rows) for every reason that left rules without data; the rows are named where some lack it."""
    where: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for finding in row.verdict.unjudged:
            where.setdefault((finding.reason, finding.rule), []).append(_label(row))
    merged: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (reason, rule), labels in where.items():
        merged.setdefault((reason, tuple(labels)), []).append(rule)
    for (reason, named), rules in merged.items():
        yield ", ".join(rules), reason, "" if len(named) == len(rows) else "; ".join(named)
