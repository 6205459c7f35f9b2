"""Engines that this machine built ahead of time, on their way to a device: the one that its GPU and runtime can load.

What is shipped is from the operator's own store alone, whose manifest holds its hash.
"""

from __future__ import annotations

import shlex

from device_agents.contract import DimRange
from edge.inventory.devices import LOCAL
from edge.planning import sizes
from edge.planning.choosing import Survey
from edge.planning.plan import Cell
from edge.planning.targets import RUNTIME, TARGETS
from export.artifact import Artifact, Format, Store
from export.cache import intact, readable
from export.request import FREE_BATCH
from profiles.errors import ConfigError, RunError

BUILDER = "this machine, ahead of time"


def engine_for(cell: Cell, store: Store, survey: Survey, *, named: str | None = None) -> Artifact:
    """The newest engine of the cell's model that its device can load and that serves its batch and size.

    Errors: RunError when the device did not tell what it can load; ConfigError when there is no engine, with the
    command that makes it, in which the model is `named` as the operator did.
    """
    target, version = _loadable(cell, survey)
    like = [artifact for artifact in readable(store) if _is_of(artifact, cell)]
    fits = [one for one in like if (one.target, one.produced_by[RUNTIME]) == (target, version) and _serves(one, cell)]
    if fits:
        return fits[-1]
    there = "; ".join(sorted({f"{one.target} by {one.produced_by[RUNTIME]}, {_for_which(one)}" for one in like}))
    message = f"there is no engine of {cell.label} {version} for {target}{f' (there is: {there})' if there else ''}"
    fix = f"make it, with {RUNTIME} {version} on this machine: {_command(cell, target, named or cell.model)}"
    if target not in TARGETS:
        fix = f"{RUNTIME} builds for {', '.join(TARGETS)} alone; --engines own"
    raise ConfigError(message, where="--engines", fix=fix)


def _loadable(cell: Cell, survey: Survey) -> tuple[str, str]:
    """Target and runtime version. Errors: RunError."""
    found = survey.found.get(cell.device, {}).get(cell.backend)
    version = survey.version(cell.device, cell.backend)
    if found is None or version is None:
        why = "it did not answer" if found is None else found.report.version.unknown
        message = f"which engine it could load is not known ({why})"
        raise RunError(message, where=cell.device, stage="probe", fix="mend that, and run the same command again")
    capability = found.probe.identity.get("gpu_compute_cap")
    if capability is None or capability.value is None:
        why = "nvidia-smi is not there" if capability is None else capability.unknown
        message = f"its GPU's compute capability is not known ({why}), and an engine is for one of them"
        raise RunError(message, where=cell.device, stage="probe", fix="let it build its own: --engines own")
    return f"sm{capability}".replace(".", ""), version


def _is_of(artifact: Artifact, cell: Cell) -> bool:
    return (
        artifact.format is Format.ENGINE
        and RUNTIME in artifact.produced_by
        and artifact.produced_by.get("builder") == LOCAL
        and (artifact.model, artifact.framework) == (cell.model, cell.framework)
        and (artifact.precision, artifact.weights) == (cell.precision, cell.weights)
        and intact(artifact)
    )


def _serves(engine: Artifact, cell: Cell) -> bool:
    bounds = _bounds(engine)
    if cell.profiles and [one[FREE_BATCH] for one in cell.profiles] != bounds:
        return False
    if cell.size is not None and not sizes.serves(engine, cell.size):
        return False
    return any(one.min <= cell.batch <= one.max for one in bounds) if bounds else engine.batch == cell.batch


def _bounds(engine: Artifact) -> list[DimRange]:
    return [one[FREE_BATCH] for one in engine.profiles if FREE_BATCH in one]


def _for_which(engine: Artifact) -> str:
    """`batch 1:8:32`, and the size where it is no matter of course."""
    told = [f"batch {', '.join(map(str, _bounds(engine))) or engine.batch}"]
    return ", ".join([*told, *(f"{name} {one}" for name, one in sizes.declared(engine).items())])


def _command(cell: Cell, target: str, named: str) -> str:
    asked = [*(("--framework", cell.framework) if cell.framework != "onnx" else ()), "--precision", str(cell.precision)]
    asked += ["--weights", cell.weights] if cell.weights == "random" else []
    for profile in cell.profiles:
        asked += ["--bounds", str(profile[FREE_BATCH])]
    asked += ["--batch", str(cell.batch)] if cell.batch > 1 and not cell.profiles else []
    asked += ["--size", sizes.told(cell.size)] if cell.size else []
    return shlex.join(["edgebench", "export", named, *asked, "--engine", RUNTIME, "--target", target])
