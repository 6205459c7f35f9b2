"""Which measurement comes nearest to a claim, on each device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from device_agents.contract import Precision
from edge.results.claims.conditions import Difference, differences
from edge.results.claims.measures import MEASURED, Figure, ratio
from edge.results.claims.reading import Measurements, Read
from edge.results.energy import NotKnown
from edge.results.likeness import differences as unlike
from edge.results.likeness import request_key
from edge.results.store import Measurement
from edge.results.verdict import Status
from profiles.claim_schema import OVERHEAD, Claim, Conditions

_RANKS = {Status.VALID: 0, Status.UNJUDGED: 1, Status.INVALID: 2}
_MOST = 20  # measurements of one device that differ as little as any: the newest are looked at
_PARTNERS = 3  # baselines that are tried for a variant: the newest may be INVALID


@dataclass(frozen=True)
class Near:
    """A measurement, or two of a ratio, what it says of the claim, and in what it differs from it."""

    read: Read
    figure: Figure | NotKnown
    differences: tuple[Difference, ...]
    baseline: Read | None = None

    @property
    def reads(self) -> tuple[Read, ...]:
        return (self.read,) if self.baseline is None else (self.read, self.baseline)

    @property
    def status(self) -> Status:
        """The worse of both."""
        return max((one.verdict.status for one in self.reads), key=_RANKS.__getitem__)


def nearest(claim: Claim, among: Measurements) -> Iterator[Near]:
    """For each device, by name, the one in which least differs that matters; of those the ones that have the figure
    first, then VALID ones, then those that differ least in all else, quantised ones last, then the newest. Of a ratio,
    of pairs. Other frameworks say nothing of a claim."""
    wanted, baseline = claim.conditions, claim.other_side
    frameworks = {side.framework for side in (wanted, baseline) if side is not None}
    by_device: dict[str, list[Measurement]] = {}
    for one in among.all:
        if None not in frameworks and one.cell.framework not in frameworks:
            continue
        if one.cell.model == wanted.model and bool(one.cell.pattern.sizes) == (claim.measure == OVERHEAD):
            by_device.setdefault(one.cell.device, []).append(one)
    for _, its in sorted(by_device.items()):
        found = _pairs(wanted, baseline, its, among) if baseline is not None else _single(claim, its, among)
        best = min(found, key=_order, default=None)
        if best is not None:
            yield best


def _order(near: Near) -> tuple[bool, int, int]:
    return isinstance(near.figure, NotKnown), _RANKS[near.status], len(near.differences)


def _single(claim: Claim, its: Sequence[Measurement], among: Measurements) -> Iterator[Near]:
    """The newest of those that differ least in all, quantised ones last: what they compute is not quite the model."""
    figure = MEASURED[claim.measure]
    rows = [(one, differences(claim.conditions, one)) for one in its]
    least = min((_matter(told) for _, told in rows), default=0)
    alike = sorted((row for row in rows if _matter(row[1]) == least), key=_plainness)
    for one, told in alike[:_MOST]:
        read = among.read(one)
        if read is not None:
            yield Near(read, figure(read, among), told)


def _plainness(row: tuple[Measurement, Sequence[Difference]]) -> tuple[int, bool]:
    return len(row[1]), row[0].cell.precision is Precision.INT8


def _pairs(wanted: Conditions, baseline: Conditions, its: Sequence[Measurement], among: Measurements) -> Iterator[Near]:
    """A variant with the baseline that was measured like it: alike in all in which the claim's two sides are."""
    across = _across(wanted, baseline)
    pairs = list(_sides(wanted, baseline, its, across))
    least = min((pair.matter for pair in pairs), default=0)
    for pair in [pair for pair in pairs if pair.matter == least][: _MOST * _PARTNERS]:
        read, base = among.read(pair.variant), among.read(pair.baseline)
        if read is not None and base is not None:
            told = (
                *differences(wanted, pair.variant),
                *_of_baseline(baseline, pair.baseline),
                *_environment(pair.baseline, pair.variant, across),
            )
            yield Near(read, ratio(base, read), tuple(dict.fromkeys(told)), base)


@dataclass(frozen=True)
class _Pair:
    """`matter` counts what differs from the claim and matters, on both sides."""

    matter: int
    variant: Measurement
    baseline: Measurement


def _sides(
    wanted: Conditions, baseline: Conditions, its: Sequence[Measurement], across: Sequence[str]
) -> Iterator[_Pair]:
    """The newest variants first, each with the newest of the baselines that come nearest. The two are no sides where
    the baseline is as much a variant, or less of a baseline than the variant is."""
    counted: dict[str, list[tuple[Measurement, int, int]]] = {}
    rows = []
    for one in its:
        key = request_key(one.cell, across)
        row = one, _matter(differences(wanted, one)), _matter(differences(baseline, one))
        rows.append((key, row))
        counted.setdefault(key, []).append(row)
    for key, (one, as_variant, as_baseline) in rows:
        others = [
            (other, its_baseline)
            for other, its_variant, its_baseline in counted[key]
            if as_variant < its_variant and its_baseline <= as_baseline
        ]
        least = min((count for _, count in others), default=0)
        for other in [other for other, count in others if count == least][:_PARTNERS]:
            yield _Pair(as_variant + least, one, other)


def _across(wanted: Conditions, baseline: Conditions) -> tuple[str, ...]:
    """The axes of a request in which the two sides of a ratio differ."""
    axes = {"framework": "framework", "precision": "precision", "batch": "batch", "sides": "size", "pattern": "pattern",
            "backends": "backend", "options": "options", "power_mode": "power_mode"}  # fmt: skip
    return tuple(axis for name, axis in axes.items() if getattr(wanted, name) != getattr(baseline, name))


def _matter(told: Sequence[Difference]) -> int:
    return sum(one.matters for one in told)


def _of_baseline(baseline: Conditions, other: Measurement) -> Iterator[Difference]:
    for one in differences(baseline, other):
        yield Difference(f"baseline's {one.name}", one.claimed, one.measured, one.matters)


def _environment(baseline: Measurement, variant: Measurement, across: Sequence[str]) -> Iterator[Difference]:
    """In what the device changed between the two sides, beside what is compared."""
    for one in unlike(baseline, variant):
        if not set(across) & set(one.across):
            yield Difference(f"{one.name} between the two", one.a, one.b, matters=True)
