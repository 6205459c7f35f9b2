"""What a deployment has to keep: the 99th percentile of its latency, images a second, power."""

from __future__ import annotations

from dataclasses import dataclass

from edge.report.rows import Row
from edge.results.energy import Energy, NotKnown
from edge.results.stats import milliseconds, percentile
from edge.results.store import Store

P99, PER_S, POWER = "p99", "fps", "power"
NEAR = 0.10
"""A short run that is nearer to a limit than this share of it does not say on which side a full one would be."""


@dataclass(frozen=True)
class Figures:
    """What a limit is about, of one measurement; None for what is not known."""

    p99_ns: float | None
    per_s: float
    watts: float | None


@dataclass(frozen=True)
class Limit:
    """`most` or least, of a figure, in the figure's unit: nanoseconds, images a second, watts."""

    name: str
    value: float
    most: bool

    def of(self, figures: Figures) -> float | None:
        return {P99: figures.p99_ns, PER_S: figures.per_s, POWER: figures.watts}[self.name]

    def excess(self, figures: Figures) -> float | None:
        """How far beyond it the figure is, as a share of the limit; 0 or less where it is kept, None where nobody
        knows."""
        found = self.of(figures)
        if found is None:
            return None
        return found / self.value - 1 if self.most else 1 - found / self.value

    def kept(self, figures: Figures) -> bool:
        excess = self.excess(figures)
        return excess is not None and excess <= 0

    def told(self, value: float) -> str:
        """A figure with its unit."""
        if self.name == P99:
            return f"{milliseconds(value)} ms"
        return f"{value:.1f} images/s" if self.name == PER_S else f"{value:.3g} W"

    def __str__(self) -> str:
        """`p99 33.00 ms`."""
        return f"{self.name} {self.told(self.value)}"


def limits(p99_ns: float | None, per_s: float | None, watts: float | None) -> tuple[Limit, ...]:
    """Those that are given."""
    given = ((P99, p99_ns, True), (PER_S, per_s, False), (POWER, watts, True))
    return tuple(Limit(name, value, most) for name, value, most in given if value is not None)


def figures(row: Row) -> Figures:
    """Of a full measurement: a 99th percentile is known where the samples support it."""
    p99 = row.summary.p99
    watts = row.energy.watts if isinstance(row.energy, Energy) else None
    return Figures(None if p99 is None else p99.value_ns, row.summary.throughput_per_s, watts)


def rough(row: Row, store: Store) -> Figures:
    """Of a short run: its own 99th percentile, whatever it is worth."""
    known = figures(row)
    if known.p99_ns is not None or row.summary.median is None:
        return known
    samples = store.samples_ns(row.measurement)
    runs = [samples[p.timed.offset : p.timed.offset + p.timed.count] for p in row.measurement.result.processes]
    return Figures(float(max(percentile(run, 99.0) for run in runs)), known.per_s, known.watts)


def why_unknown(limit: Limit, row: Row) -> str:
    """Why the figure of a full measurement is not known."""
    if limit.name == POWER:
        return row.energy.reason if isinstance(row.energy, NotKnown) else ""
    return f"{row.summary.samples} samples do not support it"
