"""The build lottery: a builder times its tactics on a noisy machine, so two builds of one network are two engines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge.results.judged import Judged
from edge.results.verdict import Status


@dataclass(frozen=True)
class Lottery:
    """Engines that were built alike, as coefficients of variation of medians: `between_engines`, `between_processes`
    of one engine (None for one process each), `within_run` over ten stretches of a run (None for short ones).

    `distinct` is how many of the engine files differ, `invalid` how many engines are not among them, as their
    measurements are INVALID. The first spread contains the noise of the other two.
    """

    device: str
    label: str
    run: str
    engines: int
    distinct: int
    invalid: int
    fastest_ns: float
    slowest_ns: float
    between_engines: float
    between_processes: float | None
    within_run: float | None

    def __str__(self) -> str:
        told = [f"between engines {self.between_engines:.1%}"]
        if self.between_processes is not None:
            told.append(f"between processes of one engine {self.between_processes:.1%}")
        told.append("within run " + ("not known" if self.within_run is None else f"{self.within_run:.1%}"))
        same = "" if self.distinct == self.engines else f" ({self.distinct} of them different files)"
        left_out = f", {self.invalid} INVALID left out" if self.invalid else ""
        medians = f"medians {self.fastest_ns / 1e6:.3f} to {self.slowest_ns / 1e6:.3f} ms"
        return f"{self.device} {self.label}: {self.engines} engines{same}{left_out}, {medians}; {', '.join(told)}"


def build_lottery(rows: Iterable[Judged]) -> list[Lottery]:
    """One entry for every group of a run's measurements that differ only in the build of their engine. INVALID ones
    are compared with nothing; where fewer than two others are left there is no lottery."""
    return [_lottery(group) for group in _groups(rows) if len(_sound(group)) > 1]


def undrawn(rows: Iterable[Judged]) -> list[str]:
    """Why several builds of one request make no lottery, a sentence each."""
    return [
        f"{group[0].measurement.cell.device} {_label(group)}: {len(group) - len(_sound(group))} of {len(group)} "
        "measurements are INVALID, and a lottery takes two that are not"
        for group in _groups(rows)
        if len(_sound(group)) < 2
    ]


def _groups(rows: Iterable[Judged]) -> list[list[Judged]]:
    groups: dict[tuple[str, str], list[Judged]] = {}
    for row in rows:
        cell = row.measurement.cell
        if cell.build and row.summary.median is not None:
            key = (row.measurement.run, replace(cell, build=0).id)
            groups.setdefault(key, []).append(row)
    return [group for group in groups.values() if len({row.measurement.cell.build for row in group}) > 1]


def _sound(group: Sequence[Judged]) -> list[Judged]:
    return [row for row in group if row.verdict.status is not Status.INVALID]


def _label(group: Sequence[Judged]) -> str:
    return replace(group[0].measurement.cell, build=0).label


def _lottery(group: Sequence[Judged]) -> Lottery:
    rows = _sound(group)
    first = rows[0].measurement
    medians = [row.summary.median.value_ns for row in rows if row.summary.median is not None]
    engines = [row.measurement.result.engine for row in rows]
    return Lottery(
        device=first.cell.device,
        label=_label(group),
        run=first.run,
        engines=len(rows),
        distinct=len({engine.report.file.sha256 if engine else f"row {index}" for index, engine in enumerate(engines)}),
        invalid=len(group) - len(rows),
        fastest_ns=min(medians),
        slowest_ns=max(medians),
        between_engines=float(np.std(medians, ddof=1) / np.mean(medians)),
        between_processes=_pooled([row.summary.spread for row in rows]),
        within_run=_pooled([row.summary.within for row in rows]),
    )


def _pooled(spreads: Sequence[float | None]) -> float | None:
    """The root mean square of coefficients of variation."""
    known = [spread for spread in spreads if spread is not None]
    return math.sqrt(sum(spread * spread for spread in known) / len(known)) if known else None
