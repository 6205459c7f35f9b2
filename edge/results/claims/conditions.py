"""In what a measurement differs from the conditions of a claim, and what of that makes it another thing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from device_agents.contract import Scalar
from edge.results.store import Measurement
from profiles.claim_schema import Conditions
from profiles.load import model_profile, model_profile_names


@dataclass(frozen=True)
class Difference:
    """`matters` where figures under the one say nothing of a figure under the other: another device, batch, size,
    precision, runtime, load or option. Versions, how long was warmed up and timed, and what a plain request has
    otherwise and the claim doesn't tell (`claimed` is ""), are named and do not."""

    name: str
    claimed: str
    measured: str
    matters: bool

    def __str__(self) -> str:
        claimed = f"claimed {self.claimed}" if self.claimed else "which is not claimed"
        return f"{self.name} {self.measured or 'not told'}, {claimed}"


def differences(wanted: Conditions, measurement: Measurement) -> tuple[Difference, ...]:
    """The ones that matter first. What a claim does not tell is taken for what a plain request has."""
    return (*_that_matter(wanted, measurement), *_others(wanted, measurement), *_not_told(wanted, measurement))


def _that_matter(wanted: Conditions, measurement: Measurement) -> Iterator[Difference]:
    cell = measurement.cell
    pairs = (
        ("device", wanted.device, measurement.origin.device_profile),
        ("power mode", wanted.power_mode, _reading(measurement, "power_mode")),
        ("framework", wanted.framework, cell.framework),
        ("precision", wanted.precision, cell.precision),
        ("batch", wanted.batch, cell.batch),
        ("size", None if cell.pattern.sizes else wanted.sides, _size(measurement)),
        ("load", wanted.load, cell.pattern),
    )
    for name, claimed, measured in pairs:
        if claimed is not None and claimed != measured:
            yield Difference(name, _told(claimed), _told(measured), matters=True)
    if wanted.backends and cell.backend not in wanted.backends:
        yield Difference("backend", " or ".join(wanted.backends), cell.backend, matters=True)
    for option, value in wanted.options.items():
        used = _in_force(measurement, option)
        if used != value:
            yield Difference(option, str(value), "" if used is None else str(used), matters=True)


def _others(wanted: Conditions, measurement: Measurement) -> Iterator[Difference]:
    result = measurement.result
    version = str(result.switches.get("runtime_version", ""))
    alike = not wanted.backends or measurement.cell.backend in wanted.backends
    if wanted.runtime is not None and alike and not begins(version, wanted.runtime):
        yield Difference(f"{measurement.cell.backend} version", wanted.runtime, version, matters=False)
    counted = (
        ("warm-up", wanted.warmup, min(process.warmup.count for process in result.processes)),
        ("iterations", wanted.iterations, min(process.timed.count for process in result.processes)),
    )
    for name, claimed, measured in counted:
        if claimed is not None and measured < claimed:
            yield Difference(name, f"{claimed:,}", f"{measured:,}", matters=False)


def _not_told(wanted: Conditions, measurement: Measurement) -> Iterator[Difference]:
    """One image, of the model's own size, and no option: the rest of a claim that doesn't tell more."""
    cell = measurement.cell
    if wanted.batch is None and cell.batch != 1:
        yield Difference("batch", "", str(cell.batch), matters=False)
    if wanted.sides is None and cell.size is not None:
        yield Difference("size", "", _told(cell.size), matters=False)
    for option, value in sorted(cell.options.items()):
        if option not in wanted.options:
            yield Difference(option, "", str(value), matters=False)


def _size(measurement: Measurement) -> tuple[int, int] | None:
    """Height and width: what was asked for, what the artifact is for, or what the model takes by its profile."""
    found = measurement.cell.size or measurement.origin.size
    if found is None and measurement.cell.model in model_profile_names():
        height, width = model_profile(measurement.cell.model).input.shape[-2:]
        return height, width
    return found


def begins(version: str, wanted: str) -> bool:
    """2.5 is the beginning of 2.5.1, and not of 2.51."""
    return version == wanted or version.startswith((f"{wanted}.", f"{wanted}+"))


def _in_force(measurement: Measurement, option: str) -> Scalar | None:
    """What was asked for, else what the runtime said that it did by itself."""
    asked = measurement.cell.options.get(option)
    return measurement.result.switches.get(option) if asked is None else asked


def _reading(measurement: Measurement, name: str) -> str:
    reading = measurement.result.identity.get(name)
    return "" if reading is None or reading.value is None else str(reading.value)


def _told(value: object) -> str:
    if value is None:
        return ""
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)
