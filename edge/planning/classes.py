"""Which engine a cell runs, and who builds it for a class of devices: the one that the operator named `builder = true`
builds, the others of its profile load exactly that engine. edge.running.builder_run does it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from device_agents.contract import LoadPattern, Timing
from edge.inventory.devices import Device, Fleet
from edge.planning import sizes
from edge.planning.choosing import Choices, Survey
from edge.planning.plan import OWN, PER_CLASS, Cell
from export.artifact import Artifact
from export.request import FREE_BATCH
from profiles.errors import ConfigError


@dataclass(frozen=True)
class Build:
    """One engine that a device builds for its class, or for itself: `cell` is what it is built for, `engine` the
    artifact that a class waits for."""

    cell: Cell
    artifact: Artifact
    engine: Future[Artifact] = field(default_factory=Future, compare=False)

    @property
    def id(self) -> str:
        """Like a cell's, and never one: 20 hexadecimal digits."""
        return hashlib.sha256(f"build {self.cell.id}".encode()).hexdigest()[:20]

    @property
    def device(self) -> str:
        return self.cell.device

    @property
    def label(self) -> str:
        return f"the engine of {self.cell.label} for its class"


def build_of(cell: Cell, artifact: Artifact, builder: str) -> Build:
    """The build that gives the engine of the cell: the same one for every cell that the engine serves."""
    profiles = cell.profiles or artifact.profiles
    tuned = profiles[0].get(FREE_BATCH) if profiles else None
    asked = replace(
        cell, device=builder, engines=OWN, pattern=LoadPattern(), timing=Timing(), hot_input=False, transfers=True,
        cold=False, inputs=None, check_with=None, repeat=0, batch=tuned.opt if tuned else cell.batch,
        size=None if sizes.declared(artifact) else cell.size,
    )  # fmt: skip
    return Build(asked, artifact)


def builders(fleet: Fleet, selected: Sequence[Device]) -> dict[str, str]:
    """Who builds for whom, by the names of the devices that load another one's engine.

    Errors: ConfigError when a builder of the fleet is needed and not among the selected devices.
    """
    by_profile = {device.profile.name: device for device in fleet.devices.values() if device.builder}
    found = {}
    for device in selected:
        builder = by_profile.get(device.profile.name)
        if builder is None or builder.name == device.name:
            continue
        if builder not in selected:
            message = f"{device.name} takes its engines from {builder.name}, the builder of {device.profile.name}"
            fix = f"add it: --device {builder.name}; or let every device build its own: --engines own"
            raise ConfigError(f"{message}, which is not among the devices", where="--engines", fix=fix)
        found[device.name] = builder.name
    return found


def whose_engine(device: Device, backend: str, builders: Mapping[str, str], survey: Survey, choices: Choices) -> str:
    """`per-class` where the device loads its builder's engine, `own` where it cannot, which is said."""
    builder = builders.get(device.name)
    if builder is None:
        if not device.builder:
            why = f"no device of profile {device.profile.name} has `builder = true`"
            choices.say(f"engines of {device.name}: its own ({why})")
        return OWN
    here, there = survey.version(device.name, backend), survey.version(builder, backend)
    if here is not None and builder in survey.found and there != here:
        what = f"{backend} {there}" if there else f"no {backend}"
        choices.say(f"engines of {device.name}: its own ({backend} {here}, and {what} on the builder {builder})")
        return OWN
    silent = builder in survey.failed
    doubt = ", which did not answer: as long as it does not, --engines own lets every device build its own"
    choices.say(f"engines of {device.name}: those that {builder} builds{doubt if silent else ''}")
    return PER_CLASS


def builds_for(
    cells: Iterable[Cell], artifacts: Mapping[str, Artifact], devices: Mapping[str, Device]
) -> dict[str, Build]:
    """The build that each cell waits for, by the cell's id; cells that one engine serves share a build."""
    builder_of = {device.profile.name: name for name, device in devices.items() if device.builder}
    known: dict[str, Build] = {}
    needed = {}
    for cell in cells:
        if cell.engines == PER_CLASS:
            build = build_of(cell, artifacts[cell.id], builder_of[devices[cell.device].profile.name])
            needed[cell.id] = known.setdefault(build.id, build)
    return needed
