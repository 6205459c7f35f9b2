"""Tables and sentences for a terminal. Device-made text is printed as text, never as markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.markup import escape as markup_escape

from edge.planning import sizes
from edge.quantities import counted
from edge.report.columns import Column, Spare, listing
from edge.report.opinion import caveats, figures, ratios
from edge.report.rows import Row, interval, late, rate, right, specials, top1
from edge.results.energy import Energy
from edge.results.lottery import build_lottery, undrawn
from edge.results.stats import Soak, milliseconds
from edge.results.verdict import Status
from profiles.errors import printable, sentence

_ID_DIGITS = 8
_MOST_REASONS = 12
_SPARES = (
    Spare("framework", if_alike=True), Spare("pattern", if_alike=True), Spare("precision", if_alike=True),
    Spare("backend", if_alike=True), Spare("size", if_alike=True), Spare("started"), Spare("W"), Spare("p99 ms"),
    Spare("with"), Spare("J/image"), Spare("top-1"), Spare("imported from"), Spare("pattern"), Spare("framework"),
    Spare("precision"),
    Spare("images/s", at_last=True), Spare("backend", at_last=True), Spare("with", at_last=True),
)  # fmt: skip
_STYLES = {Status.VALID: "green", Status.INVALID: "red", Status.UNJUDGED: "yellow"}


def escape(text: str) -> str:
    """Text from a device or a user: no markup, no control characters."""
    return markup_escape(printable(text))


def measurements(rows: Sequence[Row], *, ids: bool, width: int = 200) -> str:
    """The table of `deploy` and `results list`, in `width` columns where that can be: a row a measurement, INVALID ones
    struck out. What is unlike in the rows stands in the table, what is at its default does not."""
    cells, summaries = [row.measurement.cell for row in rows], [row.summary for row in rows]
    started = [row.measurement.result.started_at[:16].replace("T", " ") for row in rows]
    patterns = [row.pattern or "" for row in rows]
    intervals = [
        [interval(one, summary.samples) if summary.median else "-" for one in (summary.median, summary.p99)]
        for summary in summaries
    ]
    energies = [row.energy if isinstance(row.energy, Energy) else None for row in rows]
    columns = [
        Column("started", started if ids else [""] * len(rows)),
        Column("device", [cell.device for cell in cells]),
        Column("model", [cell.model for cell in cells]),
        Column("framework", [cell.framework for cell in cells]),
        Column("backend", _backends(rows)),
        Column("pattern", patterns if set(patterns) - {"serial", ""} else [""] * len(rows)),
        Column("precision", [str(cell.precision) for cell in cells]),
        Column("batch", [str(cell.batch) for cell in cells], right=True),
        Column("size", [sizes.told(cell.size) if cell.size else "" for cell in cells], right=True),
        _with(rows),
        Column("median ms", [median for median, _ in intervals], right=True),
        Column("p99 ms", [p99 for _, p99 in intervals], right=True),
        Column("images/s", [rate(summary.throughput_per_s) for summary in summaries], right=True),
        Column("J/image", [f"{one.joules_per_sample:.3g}" if one else "" for one in energies], right=True),
        Column("W", [f"{one.watts:.3g}" if one else "" for one in energies], right=True),
        Column("top-1", [f"{top1(row.accuracy).value:.1%}" if row.accuracy else "" for row in rows], right=True),
        Column(
            "verdict", [row.verdict.short for row in rows], short=[str(row.verdict.status) for row in rows],
            styles=[_STYLES[row.verdict.status] for row in rows],
        ),
        Column("imported from", [row.measurement.imported.bundle if row.measurement.imported else "" for row in rows]),
        Column("id", [row.measurement.id if ids else "" for row in rows], short=_short_ids(rows) if ids else None),
    ]  # fmt: skip
    struck = ["strike" if row.verdict.status is Status.INVALID else "" for row in rows]
    return listing(columns, width, _SPARES, struck)


def notes(rows: Sequence[Row]) -> list[str]:
    """What a reader of the table has to know: how intervals are meant, why rows are INVALID, what was not judged."""
    lines = []
    if any(row.summary.within_run for row in rows):
        lines.append("one process each: figures are within run, without an interval for the next run")
    if any(row.summary.median is not None and row.summary.median.half_width_ns is not None for row in rows):
        lines.append("±: 95 % interval over processes (~: approximate, under 10 processes)")
    if any(row.summary.p99 is None and row.summary.median is not None for row in rows):
        lines.append("p99 needs 662 samples at 99 % confidence; with fewer (n) it is not given")
    if any(row.summary.streams > 1 for row in rows):
        lines.append("several streams: inferences overlap, so the throughput is given and the latency is not")
    lines += [f"{_label(row)}: {_arrivals(row)}" for row in rows if row.summary.counts]
    lines += [f"{_label(row)}: {right(row.accuracy)}" for row in rows if row.accuracy]
    lines += [f"build lottery, {lottery}" for lottery in build_lottery(rows)]
    lines += [f"no build lottery, {why}" for why in undrawn(rows)]
    lines += [line for row in rows for line in _second_opinion(row)]
    lines += _invalid([row for row in rows if row.verdict.broken])
    lines += _flagged(rows)
    lines += [f"{_label(row)}: {_soaked(row.summary.soak)}" for row in rows if row.summary.soak]
    for rules, reason, labels in _unjudged(rows):
        lines.append(f"UNJUDGED {rules}: {reason}" + (f" ({labels})" if labels else ""))
    return lines


def _invalid(rows: Sequence[Row]) -> list[str]:
    """Why they are: a line each, or where that would be a wall, a line a rule with an example."""
    if len(rows) <= _MOST_REASONS:
        return [
            f"INVALID {_label(row)}: {'; '.join(f'{finding.rule}: {finding.reason}' for finding in row.verdict.broken)}"
            for row in rows
        ]
    by_rule: dict[str, list[tuple[Row, str]]] = {}
    for row in rows:
        for finding in row.verdict.broken:
            by_rule.setdefault(finding.rule, []).append((row, finding.reason))
    return [
        f"INVALID {rule}: {counted(len(its), 'measurement')}, such as {_label(its[0][0])}: {its[0][1]}"
        for rule, its in by_rule.items()
    ]


def _backends(rows: Sequence[Row]) -> list[str]:
    """With the provider, and with the runtime's version where the rows of a backend have different ones."""
    versions: dict[str, set[str]] = {}
    for row in rows:
        versions.setdefault(row.runtime, set()).add(row.runtime_version)
    told = []
    for row in rows:
        version = row.runtime_version if len(versions[row.runtime]) > 1 else ""
        provider, foreign = row.measurement.result.switches.get("provider"), "(foreign)" if row.foreign else ""
        told.append(" ".join(str(word) for word in (row.runtime, version, provider, foreign) if word))
    return told


def _with(rows: Sequence[Row]) -> Column:
    """What is special about each; shortened, what is so of each alone."""
    told = specials(rows)
    shared = set.intersection(*map(set, told))
    common = [word for word in told[0] if word in shared]
    short = [", ".join(word for word in words if word not in shared) for words in told]
    return Column("with", [", ".join(words) for words in told], short=short, common=", ".join(common))


def _short_ids(rows: Sequence[Row]) -> list[str]:
    """As few digits as tell them apart, but eight: `results show` takes them."""
    ids = [row.measurement.id for row in rows]
    digits = next((n for n in range(_ID_DIGITS, 64) if len({one[:n] for one in ids}) == len(set(ids))), None)
    return [one[:digits] for one in ids]


def _label(row: Row) -> str:
    return f"{row.measurement.cell.device} {row.measurement.cell.label}"


def _second_opinion(row: Row) -> Iterable[str]:
    opinion = row.measurement.result.opinion
    if opinion is None:
        return
    who = f"{opinion.tool} {opinion.version} on the engine of {_label(row)}"
    engine, invalid = row.measurement.result.engine, row.verdict.status is Status.INVALID
    told = [f"  {caveat}" for caveat in caveats(opinion, engine, invalid=invalid)]
    if opinion.error is not None:
        why = sentence(opinion.error.message, where=opinion.error.where, fix=opinion.error.fix)
        yield f"{who} failed: {why}"
        yield from told
    else:
        yield f"{who}:"
        yield from told
        yield from figures(ratios(opinion, row.summary))


def _arrivals(row: Row) -> str:
    counts, arrivals = row.summary.counts, max(row.summary.counts.get("arrivals", 0), 1)
    told = [f"{counts[name]} {name} ({counts[name] / arrivals:.0%})" for name in ("late", "dropped", "waiting")
            if counts.get(name)]  # fmt: skip
    found = f"{counts.get('arrivals', 0)} arrivals, " + (", ".join(told) or "none late, none dropped")
    return found if row.summary.late is None else f"{found}; {late(row.summary)}"


def _flagged(rows: Sequence[Row]) -> Iterable[str]:
    """A line a flag and reason: what a machine does not tell is so of each of its measurements."""
    where: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for flag in row.verdict.flags:
            where.setdefault((flag.name, flag.reason), []).append(_label(row))
    for (name, reason), labels in where.items():
        more = f" and {len(labels) - 1} more" if len(labels) > 1 else ""
        yield f"flag {labels[0]}{more}: {name}: {reason}"


def _soaked(soak: Soak) -> str:
    reached = "equilibrium was reached" if soak.equilibrium else "no equilibrium yet"
    what = f"burst {milliseconds(soak.burst_ns)} ms, steady {milliseconds(soak.steady_ns)} ms ({soak.change:+.1%})"
    return f"{what}, {reached}"


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
