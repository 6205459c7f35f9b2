"""Which measurement comes nearest to a claim, on each device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edge.results.claims.conditions import Difference, differences
from edge.results.claims.reading import Measurements, Read
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
    """A measurement, or two of a ratio, and in what they differ from the claim."""

    read: Read
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
    """For each device, by name, the one in which least differs that matters; of those VALID ones first, then those
    that differ least in all else, then the newest. Of a ratio, of pairs. Other frameworks say nothing of a claim."""
    wanted, baseline = claim.conditions, claim.other_side
    frameworks = {side.framework for side in (wanted, baseline) if side is not None}
    by_device: dict[str, list[Measurement]] = {}
    for one in among.all:
        if None not in frameworks and one.cell.framework not in frameworks:
            continue
        if one.cell.model == wanted.model and bool(one.cell.pattern.sizes) == (claim.measure == OVERHEAD):
            by_device.setdefault(one.cell.device, []).append(one)
    for _, its in sorted(by_device.items()):
        found = _pairs(wanted, baseline, its, among) if baseline is not None else _single(wanted, its, among)
        best = min(found, key=lambda near: (_RANKS[near.status], len(near.differences)), default=None)
        if best is not None:
            yield best


def _single(wanted: Conditions, its: Sequence[Measurement], among: Measurements) -> Iterator[Near]:
    for one in _least(wanted, its):
        read = among.read(one)
        if read is not None:
            yield Near(read, differences(wanted, one))


def _pairs(wanted: Conditions, baseline: Conditions, its: Sequence[Measurement], among: Measurements) -> Iterator[Near]:
    """A variant with the baseline that was measured like it: alike in all in which the claim's two sides are."""
    across = _across(wanted, baseline)
    of_baseline: dict[str, list[Measurement]] = {}
    for one in its:
        of_baseline.setdefault(request_key(one.cell, across), []).append(one)
    pairs = [
        (_matter(wanted, one) + _matter(baseline, other), one, other)
        for one in its
        for other in _least(baseline, of_baseline[request_key(one.cell, across)])[:_PARTNERS]
        if not _same(one, other, wanted, baseline)
    ]
    least = min((count for count, _, _ in pairs), default=0)
    for count, one, other in pairs[: _MOST * _MOST]:
        read, base = (among.read(one), among.read(other)) if count == least else (None, None)
        if read is not None and base is not None:
            told = (*differences(wanted, one), *_of_baseline(baseline, other), *_environment(other, one))
            yield Near(read, tuple(dict.fromkeys(told)), base)


def _across(wanted: Conditions, baseline: Conditions) -> tuple[str, ...]:
    """The axes of a request in which the two sides of a ratio differ."""
    axes = {"framework": "framework", "precision": "precision", "batch": "batch", "sides": "size",
            "pattern": "pattern", "backends": "backend", "options": "options"}  # fmt: skip
    return tuple(axis for name, axis in axes.items() if getattr(wanted, name) != getattr(baseline, name))


def _same(one: Measurement, other: Measurement, wanted: Conditions, baseline: Conditions) -> bool:
    """Whether they are no two sides: the baseline is as much a variant, or less of a baseline than the variant is."""
    return _matter(wanted, one) >= _matter(wanted, other) or _matter(baseline, other) > _matter(baseline, one)


def _least(wanted: Conditions, its: Sequence[Measurement]) -> list[Measurement]:
    """Those in which as little differs that matters as in any; the newest of them."""
    counts = [_matter(wanted, one) for one in its]
    least = min(counts, default=0)
    return [one for one, count in zip(its, counts, strict=True) if count == least][:_MOST]


def _matter(wanted: Conditions, one: Measurement) -> int:
    return sum(difference.matters for difference in differences(wanted, one))


def _of_baseline(baseline: Conditions, other: Measurement) -> Iterator[Difference]:
    for one in differences(baseline, other):
        yield Difference(f"baseline's {one.name}", one.claimed, one.measured, one.matters)


def _environment(baseline: Measurement, variant: Measurement) -> Iterator[Difference]:
    """In what the device changed between the two sides."""
    asked = {"backend", "framework", "precision", "batch", "size", "pattern", "options"}
    for one in unlike(baseline, variant):
        if not asked & set(one.across):
            yield Difference(f"{one.name} between the two", one.a, one.b, matters=True)
