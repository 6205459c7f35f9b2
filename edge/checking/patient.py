"""A device as its probe told it, and what a check finds wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from device_agents.contract import ControlReport, Reading, Scalar, Word
from device_agents.formats import l4t
from edge.agent.finding import Found
from edge.inventory.devices import Device


class Severity(Word):
    STOPS = "stops"
    """The device cannot do what its profile wants."""
    SPOILS = "spoils"
    """It can, and the figures would be wrong, INVALID, or of another runtime than the profile's first."""
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """What is wrong, why it matters or how it is known, and the command or line of fleet.toml that mends it."""

    check: str
    severity: Severity
    what: str
    why: str
    command: str


@dataclass(frozen=True)
class Patient:
    """A device that answered. `found` is by backend, never empty; `asked` is our clock before and after, in seconds
    (unix): with many devices there may be minutes between. `control` is what a job may change there, None where
    nobody asked."""

    device: Device
    found: Mapping[str, Found]
    asked: tuple[float, float]
    control: ControlReport | None = None

    @property
    def any(self) -> Found:
        return next(iter(self.found.values()))

    @property
    def kind(self) -> str:
        return self.any.probe.kind

    @property
    def on_gpu(self) -> bool:
        """Whether it has a GPU, and is expected to use it."""
        return "cpu" not in (self.kind, self.device.profile.kind)

    def reading(self, name: str) -> Reading:
        probe = self.any.probe
        return probe.context.get(name) or probe.identity.get(name) or Reading(unknown="not told")

    def value(self, name: str) -> Scalar | None:
        return self.reading(name).value

    def number(self, name: str) -> float | None:
        value = self.value(name)
        return float(value) if isinstance(value, (int, float)) else None

    def fact(self, backend: str, name: str) -> Reading:
        """What a backend tells of itself where it runs."""
        nothing = Reading(unknown="not told")
        return self.found[backend].report.facts.get(name, nothing) if backend in self.found else nothing

    def runs(self, backend: str) -> bool:
        return backend in self.found and self.found[backend].report.version.unknown is None

    @property
    def wanted(self) -> list[str]:
        """The profile's backends that this edgebench has, the best first."""
        return [name for name in self.device.profile.backends if name in self.found]

    @property
    def first_running(self) -> str | None:
        """The one that `--backend auto` takes."""
        return next((name for name in self.wanted if self.runs(name)), None)

    @property
    def cuda(self) -> str | None:
        """The CUDA release of a Jetson's JetPack, such as 12.6."""
        return l4t.cuda_of(str(self.value("l4t") or ""))

    @property
    def driver_cuda(self) -> str | None:
        """The newest CUDA that the driver says it knows, such as 12.6, where somebody asked it."""
        value = self.fact("tensorrt", "driver_cuda").value
        return str(value) if value is not None and numbers(str(value)) else None

    @property
    def driver(self) -> tuple[int, ...]:
        return numbers(str(self.value("gpu_driver_version") or ""))


def numbers(text: str) -> tuple[int, ...]:
    """(535, 129, 3) of `535.129.03`; () of what does not begin with a number."""
    match = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(int(word) for word in match.group().split(".")) if match else ()
