"""How many models torch.compile takes whole, as `benchmarks/compile_coverage.py` counted it: a record that edgebench
comes with, as it takes hours, and no measurement of the operator's."""

from __future__ import annotations

from edge.results.claims.conditions import Difference, begins
from edge.results.claims.measures import Figure
from edge.results.energy import NotKnown
from profiles.claim_schema import Claim, CompileCoverage

COMMAND = "python benchmarks/compile_coverage.py && python benchmarks/compile_totals.py"


def share(found: CompileCoverage | None) -> Figure | NotKnown:
    """Of all models that were tried: a count, which has no interval."""
    if found is None:
        return NotKnown(f"nobody has counted it; {COMMAND} does")
    return Figure(found.whole / found.models)


def differences(claim: Claim, found: CompileCoverage) -> tuple[Difference, ...]:
    """Another version of PyTorch is named, and matters as little as elsewhere."""
    wanted = claim.conditions.runtime
    if wanted is None or begins(found.torch, wanted):
        return ()
    return (Difference("pytorch version", wanted, found.torch, matters=False),)
