"""Tables and sentences for a terminal. Device-made text is printed as text, never as markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape as markup_escape
from rich.table import Table

from edge.report.rows import Row, interval, milliseconds
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
    for name in ("device", "model", "framework", "backend", "precision"):
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
            f"{cell.backend} {escape(str(provider))}" if provider else cell.backend,
            str(cell.precision),
            str(cell.batch),
            interval(summary.median, summary.samples),
            interval(summary.p99, summary.samples),
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
    if any(row.summary.median.half_width_ns is not None for row in rows):
        lines.append("±: 95 % interval over processes (~: approximate, under 10 processes)")
    if any(row.summary.p99 is None for row in rows):
        lines.append("p99 needs 662 samples at 99 % confidence; with fewer (n) it is not given")
    for row in rows:
        label = f"{row.measurement.cell.device} {row.measurement.cell.label}"
        lines += [f"INVALID {label}: {finding.rule}: {finding.reason}" for finding in row.verdict.broken]
    for rules, reason, labels in _unjudged(rows):
        lines.append(f"UNJUDGED {rules}: {reason}" + (f" ({labels})" if labels else ""))
    return lines


def details(row: Row, width: int) -> str:
    """Everything about one measurement, for `results show`."""
    measurement, summary = row.measurement, row.summary
    result = measurement.result
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()

    def line(name: str, text: object) -> None:
        table.add_row(name, escape(str(text)))

    line("measurement", measurement.id)
    line("cell", f"{measurement.cell.device} {measurement.cell.label}, {measurement.cell.backend}")
    line("verdict", row.verdict.short)
    for finding in row.verdict.findings:
        line("", f"{'broken' if finding.broken else 'not judged'}: {finding.rule}: {finding.reason}")
    line("median ms", interval(summary.median, summary.samples))
    line("mean ms", milliseconds(summary.mean_ns))
    for name, tail_ns in (("p90 ms", summary.p90_ns), ("p95 ms", summary.p95_ns)):
        line(name, milliseconds(tail_ns) if tail_ns is not None else f"not supported by {summary.samples} samples")
    p99 = interval(summary.p99, summary.samples) if summary.p99 else f"not supported by {summary.samples} samples"
    line("p99 ms", p99)
    line("throughput", f"{summary.throughput_per_s:.1f} images/s")
    line("load ms", milliseconds(summary.load_ns))
    line("first inference ms", milliseconds(summary.first_inference_ns))
    plural = "process" if summary.processes == 1 else "processes"
    line(
        "samples",
        f"{summary.samples} in {summary.processes} {plural}; drift {summary.drift:+.1%}",
    )
    unstable = [str(process.index) for process in result.processes if not process.warmup_stable]
    if unstable:
        line("warm-up", f"ended at its cap, not yet stable, in process {', '.join(unstable)}")
    if summary.spread is not None:
        line("spread of processes", f"{summary.spread:.1%}")
    parity = result.processes[0].parity_after
    if parity is not None:
        line("parity on the device", f"{parity.error:.2g} of at most {parity.limit:.2g} ({parity.tensor})")
    line("peak process memory", f"{max(process.peak_rss_bytes for process in result.processes) / 2**20:.0f} MiB")
    line("waited for the accelerator", f"{result.seconds.get('waited', 0.0):.1f} s")
    line("artifact", f"{measurement.origin.artifact[:12]}, weights {measurement.origin.weights}")
    line("made by", ", ".join(f"{name} {value}" for name, value in sorted(measurement.origin.produced_by.items())))
    line("agent", f"{measurement.origin.agent_sha256[:12]}, edgebench {measurement.origin.edgebench}")
    line("started at", result.started_at)
    for title, values in (("switches", result.switches), ("identity", result.identity), ("context", result.context)):
        for index, (name, value) in enumerate(sorted(values.items())):
            line(title if index == 0 else "", f"{name} = {_reading(value)}")
    for index, (name, reading) in enumerate(sorted(result.processes[0].state.items())):
        line("state" if index == 0 else "", f"{name} = {_reading(reading)}")
    return render(table, width)


def render(table: Table, width: int) -> str:
    """The table as text of at most `width` columns, coloured where stdout is a terminal."""
    console = Console(width=width)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(text.rstrip() for text in capture.get().splitlines())


def _reading(value: object) -> str:
    unknown = getattr(value, "unknown", None)
    return f"unknown ({unknown})" if unknown else str(value)


def _unjudged(rows: Sequence[Row]) -> Iterable[tuple[str, str, str]]:
    """(rules, reason, rows) for every reason that left rules without data; the rows are named where some lack it."""
    where: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for finding in row.verdict.unjudged:
            label = f"{row.measurement.cell.device} {row.measurement.cell.label}"
            where.setdefault((finding.reason, finding.rule), []).append(label)
    merged: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (reason, rule), labels in where.items():
        merged.setdefault((reason, tuple(labels)), []).append(rule)
    for (reason, named), rules in merged.items():
        yield ", ".join(rules), reason, "" if len(named) == len(rows) else "; ".join(named)
