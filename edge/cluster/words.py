"""What a controller and a worker say to each other: JSON, never objects that a reader would have to trust."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from device_agents.contract import DataSet, ErrorInfo, Labelled, from_json, to_json
from edge.agent.finding import Found
from edge.inventory.devices import Device
from edge.planning.plan import Cell
from edge.results.store import LabelledImages, OwnInputs
from edge.running.device_run import Failed, Ok, Outcome, Skipped
from edge.running.journal import Progress
from edge.running.policy import Policy
from export.artifact import Artifact
from profiles import errors
from profiles.errors import EdgebenchError

_ENDS: Mapping[str, type[Outcome]] = {kind.__name__: kind for kind in (Ok, Failed, Skipped)}


@dataclass(frozen=True)
class Awaited:
    """An engine that cells of a device wait for: what it is built for and of, as planning.classes.Build has it."""

    cell: Cell
    artifact: Any


@dataclass(frozen=True)
class Start:
    """What a worker needs to begin with a device. `progress` is what the journal knows of its cells and engines,
    `found` what the device was found to have, `builds` are the engines that cells wait for, by the cell's id, `spent`
    the bytes that went over its link in this run."""

    version: str
    run: str
    device: Any
    cells: tuple[Cell, ...]
    progress: Mapping[str, Progress]
    policy: Policy
    failures: int
    found: Mapping[str, Found]
    rebuild: bool
    builds: Mapping[str, Awaited]
    spent: int = 0


@dataclass(frozen=True)
class Supplies:
    """What came of a cell's wish: why there is nothing, or the artifact, the operator's own data and labelled images,
    and the engine that was built ahead of time. Their files have been received."""

    error: ErrorInfo | None = None
    artifact: Any = None
    used: OwnInputs | None = None
    data: DataSet | None = None
    ahead: Any = None
    images_used: LabelledImages | None = None
    images: Labelled | None = None


@dataclass(frozen=True)
class Engine:
    """What came of a build that cells wait for."""

    error: ErrorInfo | None = None
    artifact: Any = None


@dataclass(frozen=True)
class Down:
    """What the controller says: up to which message it has taken everything, which of them it could not; how many cells
    of the run have failed; what has come for cells, and of builds, by their ids; how long it waits for an answer."""

    taken: int
    wait_s: float
    failures: int = 0
    refused: Mapping[str, ErrorInfo] = field(default_factory=dict)
    supplies: Mapping[str, Supplies] = field(default_factory=dict)
    engines: Mapping[str, Engine] = field(default_factory=dict)


@dataclass(frozen=True)
class Up:
    """What a worker says, numbered from 1; 0 is what nobody waits for."""

    number: int
    kind: str
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """All that a worker has to say by now; the samples of message N travel beside it under `str(N)`."""

    messages: tuple[Up, ...]


def device_to_json(device: Device) -> Any:
    """Its paths are those of the machine that reads them: what is below our home is below its reader's."""
    return _told_paths(to_json(device))


def device_from_json(data: Any) -> Device:
    device = dict(data)
    _read_paths(device)
    if "workdir" in device:
        device["workdir"] = PurePosixPath(device["workdir"])
    return from_json(Device, device)


def artifact_to_json(artifact: Artifact) -> Any:
    """Without its path, which is another one elsewhere."""
    manifest = to_json(artifact)
    del manifest["path"]
    return manifest


def artifact_from_json(data: Any, path: Path) -> Artifact:
    return from_json(Artifact, {**data, "path": path})


def outcome_to_json(outcome: Outcome) -> Any:
    return {"end": type(outcome).__name__, **to_json(outcome)}


def outcome_from_json(data: Mapping[str, Any]) -> Outcome:
    """Errors: SchemaViolation, KeyError."""
    facts = dict(data)
    found: Outcome = from_json(_ENDS[facts.pop("end")], facts)
    return found


def error_of(info: ErrorInfo) -> EdgebenchError:
    """The error that was told, of the class that its code is of."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, EdgebenchError)]
    kind = next((kind for kind in kinds if kind.code == info.code), errors.AgentError)
    error = kind(info.message, where=info.where, fix=info.fix, stage=info.stage)
    error.code = info.code
    return error


def _told_paths(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _told_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_told_paths(item) for item in value]
    if isinstance(value, PurePath):
        home = Path.home()
        return f"~/{value.relative_to(home)}" if value.is_relative_to(home) else str(value)
    return value


def _read_paths(reach: dict[str, Any]) -> None:
    for key in ("key", "known_hosts"):
        if key in reach:
            reach[key] = Path(reach[key]).expanduser()
    for hop in reach.get("gateways") or ():
        _read_paths(hop)
