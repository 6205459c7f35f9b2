"""The command that would measure a claim under its own conditions."""

from __future__ import annotations

from device_agents.contract import Precision
from edge.planning.choosing import AUTO
from edge.planning.plan import Cell
from edge.results.again import deploy_command
from edge.results.claims import coverage
from profiles.claim_schema import COMPILE_SHARE, RIGHT, Claim, Conditions
from profiles.load import device_profile

_ANY = "all"


def command(claim: Claim) -> str:
    """As it is typed; of a ratio both sides, one after the other."""
    if claim.measure == COMPILE_SHARE:
        return coverage.COMMAND
    sides = [claim.conditions, *([claim.other_side] if claim.other_side else [])]
    data = " --dataset DIR" if claim.measure in RIGHT else ""
    return " && ".join(_deploy(side) + data for side in sides)


def _deploy(side: Conditions) -> str:
    profile = None if side.device is None else device_profile(side.device)
    return deploy_command(
        Cell(
            device=side.device or "local",
            model=side.model or "",
            framework=side.framework or _ANY,
            backend=side.backends[0] if side.backends else AUTO,
            precision=side.precision or (profile.precision if profile else Precision.FP32),
            batch=side.batch or 1,
            weights="pretrained",
            pattern=side.load,
            options=side.options,
            size=side.sides,
            power_mode=side.power_mode,
        )
    )
