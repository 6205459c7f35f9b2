"""What a release has to keep: `p99<33ms`, `throughput>=30/s`; whether a measurement does."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge.quantities import LATENCIES_NS
from edge.results.stats import SUPPORT, Summary
from profiles.errors import ConfigError

_SHAPE = re.compile(r"\s*([a-z0-9]+)\s*(<=|>=|<|>)\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zµ/]*)\s*\Z")
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_PER_S = "/s"
_EXAMPLES = "for example p99<33ms or throughput>=30/s"
THROUGHPUT = "throughput"
LATENCIES = ("mean", "p50", "p90", "p95", "p99")


@dataclass(frozen=True)
class Requirement:
    """A figure, how it compares, with which limit: nanoseconds, or samples (images) a second of a throughput. `unit`
    and `text` are as the operator wrote them."""

    figure: str
    comparison: str
    limit: float
    unit: str
    text: str

    def broken(self, summary: Summary) -> str:
        """Why the measurement does not keep it, with what was measured; "" where it does."""
        value = figures(summary)[self.figure]
        if value is None:
            return f"{self.figure} is not known ({_why_unknown(self.figure, summary)}), and {self.text} is required"
        if _COMPARISONS[self.comparison](value, self.limit):
            return ""
        unit = self.unit if self.figure == THROUGHPUT else f" {self.unit}"
        return f"{self.figure} is {value / LATENCIES_NS.get(self.unit, 1.0):.6g}{unit}, and {self.text} is required"


def parse_requirements(texts: Sequence[str]) -> tuple[Requirement, ...]:
    """Comparisons, comma between. Errors: ConfigError for one that is none, or has a unit that its figure has not."""
    return tuple(dict.fromkeys(_parse(word) for text in texts for word in text.split(",")))


def _parse(text: str) -> Requirement:
    match = _SHAPE.match(text)
    if match is None:
        raise ConfigError(f"{text!r} is no comparison", where="--require", fix=_EXAMPLES)
    figure, comparison, number, unit = match.groups()
    if figure != THROUGHPUT and figure not in LATENCIES:
        known = ", ".join((*LATENCIES, THROUGHPUT))
        raise ConfigError(f"{figure!r} is no figure; there are: {known}", where="--require", fix=_EXAMPLES)
    units = (_PER_S,) if figure == THROUGHPUT else tuple(LATENCIES_NS)
    if unit not in units:
        what = f"has the unit {unit!r}" if unit else "has no unit"
        raise ConfigError(f"{text.strip()!r} {what}; {figure} takes {' or '.join(units)}", where="--require")
    limit = float(number) * LATENCIES_NS.get(unit, 1.0)
    return Requirement(figure, comparison, limit, unit, f"{figure}{comparison}{number}{unit}")


def figures(summary: Summary) -> dict[str, float | None]:
    """By the names of requirements: nanoseconds, and samples (images) a second. None for what the samples do not
    support."""
    return {
        "mean": summary.mean_ns,
        "p50": summary.median.value_ns if summary.median else None,
        "p90": summary.p90_ns,
        "p95": summary.p95_ns,
        "p99": summary.p99.value_ns if summary.p99 else None,
        THROUGHPUT: summary.throughput_per_s,
    }


def _why_unknown(figure: str, summary: Summary) -> str:
    if summary.median is None:
        return "with several streams there is no latency"
    return f"{summary.samples} samples, and it takes {SUPPORT[float(figure[1:])]}: measure longer, without --quick"
