"""Which backend measures on a device: what was asked, what its profile prefers, what a probe found there, and why."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from edge.agent import bundle
from edge.inventory.devices import Device
from profiles.errors import ConfigError
from profiles.load import unknown

if TYPE_CHECKING:
    from device_agents.contract import BackendReport
    from edge.agent.finding import Found
    from edge.planning.plan import Cell
    from profiles.errors import EdgebenchError

AUTO = "auto"

# Their parser's version decides which graphs they read: TensorRT 8.x ends at opset 17 (onnx-tensorrt's operators.md).
_PARSES_BY_VERSION = ("tensorrt", "trtexec")
_OLDEST_MAJOR, _OLD_OPSET = 8, 17


@dataclass
class Choices:
    """What was chosen and why, one line each, in the order in which people read it; notes are of what may be a slip."""

    _said: dict[str, None] = field(default_factory=dict)
    _noted: dict[str, None] = field(default_factory=dict)

    @property
    def lines(self) -> list[str]:
        return list(self._said)

    @property
    def notes(self) -> list[str]:
        return list(self._noted)

    def say(self, line: str) -> None:
        self._said[line] = None

    def note(self, line: str) -> None:
        self._noted[line] = None


@dataclass(frozen=True)
class Survey:
    """What devices answered before the plan was made, by device and backend. A device that was not asked is in neither;
    `failed` are those that could not be asked: they fail again, with their own error, when they are measured."""

    found: Mapping[str, Mapping[str, Found]] = field(default_factory=dict)
    failed: Mapping[str, EdgebenchError] = field(default_factory=dict)

    def report(self, device: str, backend: str) -> BackendReport | None:
        found = self.found.get(device, {}).get(backend)
        return None if found is None else found.report

    def options(self, device: str, backend: str) -> frozenset[str] | None:
        """The names of those that the backend has there; None where nobody looked."""
        report = self.report(device, backend)
        return None if report is None else frozenset({**report.options, **report.build_options})

    def version(self, device: str, backend: str) -> str | None:
        """Of the backend's runtime on that device; None where it is not there, or nobody looked."""
        report = self.report(device, backend)
        return None if report is None or report.version.unknown is not None else str(report.version)


def worth_asking(asked: Sequence[str], device: Device, *, abilities: bool) -> tuple[str, ...]:
    """The backends to look for on the device before the plan is made; none where the answer would change nothing.

    `abilities` says that it matters what a backend can do: whether it builds engines, which options it has. Errors:
    ConfigError for an unknown backend.
    """
    candidates = dict.fromkeys(name for ask in asked for name in _candidates(ask, device))
    chooses = any(len(_candidates(ask, device)) > 1 for ask in asked)
    if chooses or abilities or any(name in _PARSES_BY_VERSION for name in candidates):
        return tuple(candidates)
    return ()


def backends(asked: Sequence[str], device: Device, survey: Survey, choices: Choices) -> tuple[str, ...]:
    """The backends to measure with on the device. Errors: ConfigError for an unknown one."""
    chosen = [_auto(device, survey, choices) if ask == AUTO else _candidates(ask, device)[0] for ask in asked]
    return tuple(dict.fromkeys(chosen))


def there(asked: Sequence[str], device: Device, survey: Survey, choices: Choices) -> tuple[str, ...]:
    """Those of them that run on the device, as far as it answered; the others are noted."""
    kept = []
    for name in backends(asked, device, survey, choices):
        report = survey.report(device.name, name)
        if report is not None and report.version.unknown is not None:
            choices.note(f"left out on {device.name}: {_why_not(name, report)}")
        else:
            kept.append(name)
    return tuple(kept)


def builds(device: str, backend: str, survey: Survey) -> bool:
    """Whether the backend builds engines there; where nobody answered, it is believed to."""
    report = survey.report(device, backend)
    return report is None or report.builds


def own_options(cells: Sequence[Cell], survey: Survey, choices: Choices) -> tuple[Cell, ...]:
    """The cells with the options that are for them. One that some of the backends that are compared have is left out
    for those that lack it, which is told; one that none of them has stays, for the device to refuse."""
    has = {(cell.device, cell.backend): survey.options(cell.device, cell.backend) for cell in cells}
    somebodys = {name for names in has.values() for name in names or ()}
    fitted = []
    for cell in cells:
        own = has[cell.device, cell.backend]
        foreign = [name for name in cell.options if own is not None and name in somebodys - own]
        for name in foreign:
            choices.say(f"option {name} is not for {cell.backend} on {cell.device}, which has none of that name")
        kept = {name: value for name, value in cell.options.items() if name not in foreign}
        fitted.append(replace(cell, options=kept))
    return tuple(fitted)


def max_opset(device: str, backend: str, survey: Survey) -> int | None:
    """The newest opset that the backend's parser reads on that device; None where nothing is known against any."""
    major = re.match(r"\d+", survey.version(device, backend) or "")
    if backend not in _PARSES_BY_VERSION or major is None or int(major.group()) > _OLDEST_MAJOR:
        return None
    return _OLD_OPSET


def _candidates(ask: str, device: Device) -> tuple[str, ...]:
    carried = bundle.backend_names()
    if ask == AUTO:
        usable = tuple(name for name in device.profile.backends if name in carried)
        if not usable:
            wanted = ", ".join(device.profile.backends)
            raise ConfigError(f"none of the profile's backends ({wanted}) exists yet", where=device.name)
        return usable
    if ask not in carried:
        raise unknown("backend", ask, (*carried, AUTO), where="--backend")
    return (ask,)


def _auto(device: Device, survey: Survey, choices: Choices) -> str:
    names, profile = _candidates(AUTO, device), f"profile {device.profile.name}"
    if len(names) == 1:
        choices.say(f"backend {names[0]} ({profile})")
        return names[0]
    there = next((name for name in names if survey.version(device.name, name) is not None), None)
    doctor = f"`edgebench devices doctor {device.name}` says what mends it"
    if device.name not in survey.found:
        why = f"the first choice of its {profile}, as the device gave no answer"
    elif there is None:
        why = f"the first choice of its {profile}, but none of {', '.join(names)} runs there; {doctor}"
    elif there == names[0]:
        why = f"the first choice of its {profile}, and it runs there"
    else:
        passed = [_why_not(name, survey.report(device.name, name)) for name in names[: names.index(there)]]
        why = f"its {profile} prefers {'; '.join(passed)}; {doctor}"
    chosen = there or names[0]
    version = survey.version(device.name, chosen)
    choices.say(f"backend {chosen}{f' {version}' if version else ''} on {device.name}: {why}")
    if device.profile.kind != "cpu" and _on_processor(survey.report(device.name, chosen)):
        choices.say(f"{chosen} on {device.name} has no CUDA provider: it measures the processor; {doctor}")
    return chosen


def _why_not(name: str, report: BackendReport | None) -> str:
    reason = report.version.unknown if report is not None else None
    return f"{name}, which does not run there" + (f" ({reason})" if reason else "")


def _on_processor(report: BackendReport | None) -> bool:
    """Whether a runtime names its providers, and CUDA's is not among them."""
    providers = report.facts.get("providers") if report is not None else None
    return providers is not None and providers.value is not None and "cuda" not in str(providers.value).split()
