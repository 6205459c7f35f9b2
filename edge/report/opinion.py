"""A second opinion beside ours: what, ours, theirs, the ratio; and what makes the two unlike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from device_agents.contract import EngineUse, Opinion, ProcessResult
from edge.results.stats import Summary, milliseconds

_MEDIAN = "_median"


@dataclass(frozen=True)
class Ratio:
    """One figure as we have it and as another tool does, in `unit`; `ratio` is ours over theirs."""

    figure: str
    unit: str
    ours: float | None
    theirs: float

    @property
    def ratio(self) -> float | None:
        return self.ours / self.theirs if self.ours is not None and self.theirs else None


def ratios(opinion: Opinion | None, summary: Summary) -> list[Ratio]:
    """The parts in the order in which they come, then the throughput; empty without an opinion."""
    if opinion is None:
        return []
    found = []
    for name in sorted(opinion.figures_ns, key=_place):
        ours = summary.parts.get(name.removesuffix(_MEDIAN))
        theirs_ms = opinion.figures_ns[name] / 1e6
        found.append(Ratio(name.replace("_", " "), "ms", None if ours is None else ours / 1e6, theirs_ms))
    if opinion.throughput_per_s is not None:
        found.append(Ratio("throughput", "images/s", summary.throughput_per_s, opinion.throughput_per_s))
    return found


def figures(found: Sequence[Ratio]) -> list[str]:
    """A small table, a line each; empty without any figure."""
    if not found:
        return []
    lines = [("", "ours", "theirs", "ours/theirs")]
    for one in found:
        ratio = "-" if one.ratio is None else f"{one.ratio:.3f}" if one.ratio < 10 else f"{one.ratio:.1f}"
        lines.append((one.figure, _value(one.ours, one.unit), _value(one.theirs, one.unit), ratio))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = ("  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines)
    return ["  " + line for line in aligned]


def caveats(opinion: Opinion, engine: EngineUse | None, *, invalid: bool) -> list[str]:
    """Why the two are less comparable than they look, a sentence each."""
    told = ["our measurement is INVALID, so the ratios say little"] if invalid and not opinion.error else []
    version = engine.report.runtime_version if engine else ""
    if opinion.version and version and not _same(opinion.version, version):
        told.append(f"{opinion.tool} is of version {opinion.version}, the engine of {version}")
    return told


def _same(one: str, other: str) -> bool:
    """As far as both tell, without the build number."""
    return all(a == b for a, b in zip(one.split(".")[:3], other.split(".")[:3], strict=False))


def _place(name: str) -> int:
    part = name.removesuffix(_MEDIAN)
    return ProcessResult.PARTS.index(part) if part in ProcessResult.PARTS else len(ProcessResult.PARTS)


def _value(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    return f"{milliseconds(value * 1e6)} ms" if unit == "ms" else f"{value:.1f} {unit}"
