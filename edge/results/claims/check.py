"""A claim beside the measurements that come nearest to it, with a verdict.

`reproduced`: the measured figure lies within the claim's tolerance of what is claimed. `not reproduced`: neither it nor
its 95 % interval does. `undecided`: its interval does. `not comparable`: something differs that matters, or the
measurement is INVALID. `not measured`: there is nothing; the command is told that would change that. Of several devices
the claim's own verdict is the first of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from device_agents.contract import Word
from edge.results.claims import coverage
from edge.results.claims.bounds import Bounds, Costs, bounds, called_out
from edge.results.claims.command import command
from edge.results.claims.conditions import Difference
from edge.results.claims.measures import Figure
from edge.results.claims.nearest import Near, nearest
from edge.results.claims.reading import Measurements
from edge.results.energy import NotKnown
from edge.results.verdict import Status
from profiles.claim_schema import COMPILE_SHARE, OVERHEAD, Claim, CompileCoverage


class Verdict(Word):
    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    UNDECIDED = "undecided"
    NOT_COMPARABLE = "not comparable"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Against:
    """A claim against one device: the figure in the measure's own unit, and how many `times` as much it is as the
    nearer end of what is claimed (1 within a range). `ids` are of the measurement, and of the baseline's where it is a
    ratio."""

    device: str
    profile: str
    ids: tuple[str, ...]
    status: str
    figure: Figure | NotKnown
    times: float | None
    differences: tuple[Difference, ...]
    verdict: Verdict
    why: str


@dataclass(frozen=True)
class Checked:
    """`bounds` are of the claim itself, `called_out` says what is impossible or absurd about it, `command` what would
    measure it."""

    claim: Claim
    verdict: Verdict
    against: tuple[Against, ...]
    bounds: Bounds | NotKnown
    called_out: str
    command: str


def check(
    claims: Sequence[Claim], among: Measurements, costs: Costs, compiled: CompileCoverage | None = None
) -> list[Checked]:
    """`compiled` is what was counted of torch.compile."""
    return [_check(claim, among, costs, compiled) for claim in claims]


def _check(claim: Claim, among: Measurements, costs: Costs, compiled: CompileCoverage | None) -> Checked:
    if claim.measure == COMPILE_SHARE:
        against = _counted(claim, compiled)
    else:
        against = tuple(_against(claim, one) for one in nearest(claim, among))
    limits = bounds(claim, costs)
    order = list(Verdict)
    verdict = min((one.verdict for one in against), key=order.index, default=Verdict.NOT_MEASURED)
    return Checked(claim, verdict, against, limits, called_out(claim, limits), command(claim))


def _counted(claim: Claim, compiled: CompileCoverage | None) -> tuple[Against, ...]:
    """A count that edgebench comes with is of no device."""
    figure = coverage.share(compiled)
    if compiled is None or isinstance(figure, NotKnown):
        return ()
    within = _within(claim, figure.value)
    verdict = Verdict.REPRODUCED if within else Verdict.NOT_REPRODUCED
    why = f"{'within' if within else 'beyond'} {claim.tolerance:.0%} of what is claimed"
    told = f"{compiled.whole} of {compiled.models} ({compiled.of}, {compiled.made_at}): {why}"
    unlike = coverage.differences(claim, compiled)
    return (Against("", "", (), "", figure, _times(claim, figure.value), unlike, verdict, told),)


def _against(claim: Claim, near: Near) -> Against:
    verdict, why = _verdict(claim, near)
    measurement, figure = near.read.measurement, near.figure
    return Against(
        device=measurement.cell.device,
        profile=measurement.origin.device_profile,
        ids=tuple(one.measurement.id for one in near.reads),
        status=str(near.status),
        figure=figure,
        times=None if isinstance(figure, NotKnown) else _times(claim, figure.value),
        differences=near.differences,
        verdict=verdict,
        why=why,
    )


def _verdict(claim: Claim, near: Near) -> tuple[Verdict, str]:
    figure = near.figure
    if isinstance(figure, NotKnown):
        return Verdict.NOT_MEASURED, figure.reason
    matters = [str(one) for one in near.differences if one.matters]
    if near.status is Status.INVALID:
        broken = dict.fromkeys(finding.rule for one in near.reads for finding in one.verdict.broken)
        matters.append(f"INVALID: {', '.join(broken)}")
    if matters:
        return Verdict.NOT_COMPARABLE, "; ".join(matters)
    return judge(claim, figure)


def judge(claim: Claim, figure: Figure) -> tuple[Verdict, str]:
    """Of a figure under the claim's own conditions."""
    if _within(claim, figure.value):
        return Verdict.REPRODUCED, f"within {claim.tolerance:.0%} of what is claimed"
    if figure.low is None or figure.high is None:
        return Verdict.NOT_REPRODUCED, f"beyond {claim.tolerance:.0%}; one process has no interval"
    least, most = _tolerated(claim)
    ends = sorted(map(claim.measured_in.told, (figure.low, figure.high)))
    if ends[0] <= most and ends[1] >= least:
        return Verdict.UNDECIDED, "the 95 % interval reaches what is claimed: measure more processes"
    return Verdict.NOT_REPRODUCED, f"beyond {claim.tolerance:.0%}, and so is the whole 95 % interval"


def _tolerated(claim: Claim) -> tuple[float, float]:
    """In the claim's own words, of which the tolerance is a share."""
    low, high = claim.ends
    return low - claim.tolerance * abs(low), high + claim.tolerance * abs(high)


def _within(claim: Claim, value: float) -> bool:
    least, most = _tolerated(claim)
    return least <= claim.measured_in.told(value) <= most


def _times(claim: Claim, value: float) -> float | None:
    """Of an overhead, the times that it makes: 1 % less than nothing is no negative factor."""
    low, high = claim.own
    if claim.measure == OVERHEAD:
        low, high, value = 1 + low, 1 + high, 1 + value
    if low <= value <= high:
        return 1.0
    end = low if value < low else high
    return value / end if end else None
