"""What a verdict is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from device_agents.contract import Word
from edge.results.stats import Summary
from edge.results.store import Measurement
from edge.results.watched import Watched
from profiles.schema import Thresholds

_DECIMALS = 6  # of a percentage, at most


class Status(Word):
    VALID = "VALID"
    INVALID = "INVALID"
    UNJUDGED = "UNJUDGED"


@dataclass(frozen=True)
class Finding:
    """A rule that was broken (`broken`) or could not be applied, and why; `source` is where the figure was read."""

    rule: str
    broken: bool
    reason: str
    source: str = ""


@dataclass(frozen=True)
class Held:
    """A rule that was applied and not broken: the figure beside its threshold, and where it was read."""

    rule: str
    figure: str
    source: str


@dataclass(frozen=True)
class Flag:
    """Something to know about a measurement that does not make it less true."""

    name: str
    reason: str


Answer = Finding | Held | Flag


@dataclass(frozen=True)
class Verdict:
    status: Status
    findings: tuple[Finding, ...]
    flags: tuple[Flag, ...] = ()
    held: tuple[Held, ...] = ()

    @property
    def broken(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.broken)

    @property
    def unjudged(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if not finding.broken)

    @property
    def short(self) -> str:
        """`INVALID unstable, foreign_work` for a table's cell."""
        names = ", ".join(dict.fromkeys(finding.rule for finding in self.broken))
        return f"{self.status} {names}".strip()


@dataclass(frozen=True)
class Evidence:
    """All that a rule may look at."""

    measurement: Measurement
    summary: Summary
    watched: Watched

    @property
    def limits(self) -> Thresholds:
        return self.measurement.origin.thresholds

    @property
    def soaks(self) -> bool:
        """A soak is there to see a device get slower."""
        return self.measurement.cell.pattern.kind == "soak"


Rule = Callable[[Evidence], Iterable[Answer]]


def compared(rule: str, share: float, limit: float, what: str, source: str, decimals: int = 1) -> Finding | Held:
    """Held, or broken above the limit; `what` has a place for the figure."""
    if share > limit:
        return Finding(rule, True, f"{what.format(beside(limit, share, decimals))}, over {plain(limit)}", source)
    return Held(rule, f"{what.format(f'{share:.{decimals}%}')}, at most {plain(limit)}", source)


def beside(limit: float, share: float, decimals: int = 1) -> str:
    """`10.04%`, where the limit is 10%: with as many decimals as it takes to tell the two apart."""
    while decimals < _DECIMALS and f"{abs(share):.{decimals}%}" == f"{limit:.{decimals}%}":
        decimals += 1
    return f"{share:.{decimals}%}"


def plain(share: float) -> str:
    return f"{share * 100:g}%"
