"""Comparisons for people: sentences, a table for a terminal, one for GitHub; and the same as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from edge.quantities import counted
from edge.report.columns import Column, Spare, listing
from edge.results.compare import THROUGHPUT, Comparison, Finding, Standing
from edge.results.ratios import Ratio
from profiles.errors import printable

_SPARES = (
    Spare("processes", if_alike=True),
    Spare("J"),
    Spare("images/s"),
    Spare("p99"),
    Spare("processes"),
    Spare("B is", at_last=True),
    Spare("A", at_last=True),
    Spare("B", at_last=True),
)
_FIGURES = ("time", "p99", "images/s", "J")
_STYLES = {Standing.REGRESSION: "red", Standing.UNDECIDED: "yellow", Standing.KEPT: "green"}


def sentence(one: Comparison) -> str:
    """`resnet18 ...: B takes 1.08 x as long as A, 95 % interval 1.05 to 1.11: slower; ...`."""
    says = f"{one.label}: B ({one.name_b}) takes {told(one.time)} as long as A ({one.name_a})"
    if one.finding is Finding.WITHIN_RUN:
        return f"{says}: within run, no verdict: one process a side says nothing of the next"
    return f"{says}: {one.finding}; {_of_threshold(one)}"


def others(one: Comparison) -> Iterator[str]:
    """What else was compared, a line each."""
    named = (("p99", one.p99), (THROUGHPUT, one.throughput), ("joules an inference", one.energy))
    for name, ratio in named:
        if ratio is not None and name != one.by:
            yield f"{name}: {told(ratio)}"
    yield f"of {one.how}"


def told(ratio: Ratio) -> str:
    """`1.08 x, 95 % interval 1.05 to 1.11,`; `1.08 x` where there is none."""
    if ratio.low is None or ratio.high is None:
        return f"{figure(ratio.value)} x"
    about = "about " if ratio.approximate else ""
    return f"{figure(ratio.value)} x (95 % interval {about}{figure(ratio.low)} to {figure(ratio.high)})"


def figure(value: float) -> str:
    """Three decimals near 1, where they matter; three digits elsewhere."""
    return f"{value:.3f}" if 0.5 < value < 2 else f"{value:.3g}"


def table(found: Sequence[Comparison], width: int) -> str:
    """A row a pair, B over A."""
    columns = [Column(name, cells, right=name in _FIGURES) for name, cells in _cells(found)]
    styles = [_STYLES.get(one.standing, "") for one in found]
    return listing(columns, width, _SPARES, styles)


def markdown(found: Sequence[Comparison]) -> str:
    """A table of GitHub-flavoured Markdown."""
    columns = [(name, cells) for name, cells in _cells(found) if any(cells)]
    names = [name for name, _ in columns]
    lines = [names, ["---"] * len(names), *map(list, zip(*(cells for _, cells in columns), strict=True))]
    return "\n".join(f"| {' | '.join(map(escape, line))} |" for line in lines)


def summary(found: Sequence[Comparison], notes: Sequence[str]) -> str:
    """What a pull request is to be told: how it stands, the table, and what was not compared or is unlike."""
    of_cells = [f"{one.label}: {note}" for one in found for note in one.notes]
    lines = [f"- {escape(note)}" for note in (*notes, *of_cells)]
    return "\n".join([f"### {headline(found)}", "", markdown(found), *([""] if lines else []), *lines])


def headline(found: Sequence[Comparison]) -> str:
    """`edgebench: 1 regression in 3 comparisons (5 %), 1 undecided`."""
    counts = Counter(one.standing for one in found)
    worse = counts[Standing.REGRESSION]
    regressions = counted(worse, "regression") if worse else "no regression"
    rest = [f"{counts[one]} {one}" for one in (Standing.UNDECIDED, Standing.NOT_JUDGED) if counts[one]]
    of = f"{regressions} in {counted(len(found), 'comparison')} ({found[0].threshold * 100:g} %)"
    return f"edgebench: {', '.join([of, *rest])}"


def escape(text: str) -> str:
    """Nothing in it is Markdown: no cell ends early, no name becomes a link, a tag or emphasis."""
    kept = printable(text).replace("\\", "\\\\")
    for letter in "|`*_[]<>~":
        kept = kept.replace(letter, f"\\{letter}")
    return kept


def as_json(one: Comparison) -> dict[str, object]:
    """Ratios are B over A; `time` is of the latency, so that above 1 is slower."""
    return {**asdict(one), "finding": one.finding, "standing": one.standing}


def _cells(found: Sequence[Comparison]) -> Iterator[tuple[str, list[str]]]:
    yield "request", [one.label for one in found]
    yield "A", [one.name_a for one in found]
    yield "B", [one.name_b for one in found]
    yield "time", [_short(one.time) for one in found]
    yield "p99", [_short(one.p99) for one in found]
    yield "images/s", [_short(one.throughput) for one in found]
    yield "J", [_short(one.energy) for one in found]
    yield "processes", [one.how for one in found]
    yield "B is", [str(one.finding) for one in found]
    yield "threshold", [f"{one.standing} ({one.threshold * 100:g} %)" for one in found]


def _short(ratio: Ratio | None) -> str:
    """`1.080 (1.050 to 1.110)`; `~` where approximate."""
    if ratio is None or ratio.low is None or ratio.high is None:
        return "" if ratio is None else figure(ratio.value)
    about = "~" if ratio.approximate else ""
    return f"{figure(ratio.value)} ({about}{figure(ratio.low)} to {figure(ratio.high)})"


def _of_threshold(one: Comparison) -> str:
    limit = f"{one.threshold * 100:g} %"
    return {
        Standing.REGRESSION: f"a regression, as the whole interval lies beyond {limit}",
        Standing.UNDECIDED: f"undecided whether by more than {limit}: the interval lies on both sides",
        Standing.KEPT: f"not by more than {limit}",
        Standing.NOT_JUDGED: "",
    }[one.standing]
