"""Claims beside measurements, for a terminal, as Markdown and as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from edge.quantities import counted, told_bytes
from edge.report.columns import Column, Spare, listing
from edge.report.comparison import escape
from edge.results.claims.check import Against, Checked, Verdict
from edge.results.claims.measures import Figure
from edge.results.energy import NotKnown
from profiles.claim_schema import MEASURES, TIME_RATIO, Claim, ClaimsFile

_STYLES = {
    Verdict.REPRODUCED: "green", Verdict.NOT_REPRODUCED: "red", Verdict.UNDECIDED: "yellow",
    Verdict.NOT_COMPARABLE: "", Verdict.NOT_MEASURED: "dim",
}  # fmt: skip
_SPARES = (
    Spare("measurement"), Spare("floor", at_last=True), Spare("measured / claimed", at_last=True),
    Spare("device", at_last=True), Spare("why", at_last=True),
)  # fmt: skip
_MEMORY = "memory_bytes"


def table(found: Sequence[Checked], width: int) -> str:
    """A row for each device that a claim was held against, one for a claim without any."""
    lines = list(_lines(found))
    columns = [Column(name, [line[name] for line in lines], right=name in _FIGURES) for name in lines[0]]
    styles = [_STYLES[Verdict(line["verdict"])] for line in lines]
    for index, column in enumerate(columns):
        if column.name == "verdict":
            columns[index] = Column("verdict", column.cells, styles=styles)
    return listing(columns, width, _SPARES)


def notes(found: Sequence[Checked], file: ClaimsFile) -> list[str]:
    """What is impossible or absurd, and what would measure a claim of which nothing comparable was: the sweep of the
    whole file where it names one."""
    lines = [f"{one.claim.id} is {one.called_out}" for one in found if one.called_out]
    if file.sweep:
        return [*lines, f"`edgebench sweep {file.sweep}` measures what there is a device for; --json has each command"]
    commands: dict[str, list[str]] = {}
    for one in found:
        if one.verdict in (Verdict.NOT_MEASURED, Verdict.NOT_COMPARABLE):
            commands.setdefault(one.command, []).append(one.claim.id)
    return lines + [f"{', '.join(ids)}: measured by {command}" for command, ids in commands.items()]


def headline(found: Sequence[Checked], file: ClaimsFile) -> str:
    """`16 claims of TITLE (URL, read 2026-11-26): 1 reproduced, 15 not measured`."""
    counts = Counter(one.verdict for one in found)
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
    source = file.source
    return f"{counted(len(found), 'claim')} of {source.title} ({source.url}, read {source.read}): {told}"


def markdown(found: Sequence[Checked], file: ClaimsFile) -> str:
    """A table of GitHub-flavoured Markdown with what is to be said of it."""
    lines = list(_lines(found))
    names = [name for name in lines[0] if any(line[name] for line in lines)]
    rows = [names, ["---"] * len(names), *([escape(line[name]) for name in names] for line in lines)]
    table = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(
        [escape(headline(found, file)), "", *table, "", *(f"- {escape(note)}" for note in notes(found, file))]
    )


def as_json(found: Sequence[Checked], file: ClaimsFile) -> dict[str, object]:
    """Figures in the unit that the claim has, and in the measure's own."""
    return {"file": file.name, "source": file.source, "claims": [_one_as_json(one) for one in found]}


def for_page(found: Sequence[Checked], file: ClaimsFile) -> dict[str, Any]:
    """The table with what is to be said of it, as texts."""
    claims = {one.claim.id: one.claim.sentence for one in found}
    lines = [{"claim": line["claim"], "sentence": claims[line["claim"]], **line} for line in _lines(found)]
    return {"headline": headline(found, file), "lines": lines, "notes": notes(found, file)}


def claimed(claim: Claim) -> str:
    """`8.2 ms`, `20 to 25 % less`."""
    low, high = claim.ends
    figure = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    return f"{figure} {claim.unit}"


def measured(claim: Claim, figure: Figure | NotKnown) -> str:
    """In the claim's unit: `9.31 ms ±0.40`, `38 % less (12 % less to 9 % more)`; `43 % more` where less is claimed and
    it is not."""
    if isinstance(figure, NotKnown):
        return ""
    told = claim.measured_in.told
    value = _in_unit(told(figure.value), claim.unit)
    if figure.low is None or figure.high is None:
        return value
    if claim.measure == TIME_RATIO:  # Welch's, of logarithms: not as far to either side
        return f"{value} ({' to '.join(_in_unit(told(end), claim.unit) for end in (figure.low, figure.high))})"
    about = "~" if figure.approximate else "±"
    return f"{value} {about}{_short(abs(told(figure.high) - told(figure.low)) / 2)}"


def _in_unit(told: float, unit: str) -> str:
    if told < 0 and unit in _OPPOSITE:
        told, unit = -told, _OPPOSITE[unit]
    return f"{_short(told)} {unit}"


def floor(one: Checked) -> str:
    """The least, or the most, that the claimed figure could be, in its unit."""
    if isinstance(one.bounds, NotKnown):
        return ""
    if one.claim.measure == _MEMORY:
        ends = [told_bytes(int(end)) for end in (one.bounds.least, one.bounds.most) if end is not None]
        return " to ".join(ends)
    told = one.claim.measured_in.told
    if one.bounds.least is not None:
        times = one.claim.own[0] / one.bounds.least
        return f"{_short(told(one.bounds.least))} {one.claim.unit} ({_short(times)} x)"
    return f"at most {_short(told(one.bounds.most or 0.0))} {one.claim.unit}"


_OPPOSITE = {"% less": "% more", "% more": "% less"}
_FIGURES = ("claimed", "measured", "floor", "measured / claimed")


def _lines(found: Sequence[Checked]) -> Iterator[dict[str, str]]:
    for one in found:
        if not one.against:
            yield _line(one, None)
        for its in one.against:
            yield _line(one, its)


def _line(one: Checked, its: Against | None) -> dict[str, str]:
    ratio = "" if its is None or its.times is None else _short(its.times)
    callout = f"{one.called_out.partition(':')[0]}: see below" if one.called_out else ""
    note = its.figure.note if its and isinstance(its.figure, Figure) else ""
    reasons = [callout, its.why if its else "", note, *_minor(its)]
    return {
        "claim": one.claim.id,
        "claimed": claimed(one.claim),
        "floor": floor(one),
        "device": its.device if its else "",
        "measured": measured(one.claim, its.figure) if its else "",
        "measured / claimed": ratio,
        "verdict": str(its.verdict if its else one.verdict),
        "why": "; ".join(reason for reason in reasons if reason),
        "measurement": ", ".join(name[:8] for name in its.ids) if its else "",
    }


def _minor(its: Against | None) -> list[str]:
    """What differs and does not matter, and a verdict that is not VALID."""
    if its is None:
        return []
    status = [its.status] if its.status == "UNJUDGED" else []
    return [str(one) for one in its.differences if not one.matters] + status


def _one_as_json(one: Checked) -> dict[str, object]:
    claim = one.claim
    limits = {"unknown": one.bounds.reason} if isinstance(one.bounds, NotKnown) else asdict(one.bounds)
    return {
        "id": claim.id,
        "sentence": claim.sentence,
        "measure": claim.measure,
        "units": list(MEASURES[claim.measure]),
        "claimed": {"low": claim.ends[0], "high": claim.ends[1], "unit": claim.unit, "tolerance": claim.tolerance},
        "conditions": claim.conditions,
        "baseline": claim.other_side,
        "bounds": limits,
        "called_out": one.called_out or None,
        "verdict": one.verdict,
        "against": [_against_as_json(claim, its) for its in one.against],
        "command": one.command,
    }


def _against_as_json(claim: Claim, its: Against) -> dict[str, object]:
    told = claim.measured_in.told
    known = None if isinstance(its.figure, NotKnown) else its.figure
    ends = sorted(told(end) for end in (known.low, known.high) if end is not None) if known else []
    return {
        "device": its.device,
        "profile": its.profile,
        "measurements": list(its.ids),
        "status": its.status,
        "measured": known and {
            "value": told(known.value), "interval": ends or None, "unit": claim.unit, "own": asdict(known),
        },
        "ratio": its.times,
        "differences": [asdict(one) for one in its.differences],
        "verdict": its.verdict,
        "why": its.why,
    }  # fmt: skip


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
