"""`deploy --release`: what was just measured stays on its device as a version, where its figures allow it."""

from __future__ import annotations

import contextlib
import getpass
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from device_agents.contract import (
    SCHEMA,
    ErrorInfo,
    FileEntry,
    Release,
    ReleasedEngine,
    ReleasedMeasurement,
    ReleaseState,
    SchemaViolation,
    check_model,
    check_version,
)
from edge import version
from edge.agent.asking import ask_all, get_ready
from edge.agent.session import Session
from edge.inventory.devices import Device
from edge.places import Places
from edge.planning import choosing
from edge.planning.choosing import Survey
from edge.planning.classes import build_of
from edge.planning.plan import Cell, Plan
from edge.planning.sizes import is_golden
from edge.releases.commands import activate_on, make_on
from edge.releases.requirements import THROUGHPUT, Requirement, figures
from edge.report.rows import Row
from edge.results.verdict import Status
from export import native
from export.artifact import SHAPES, TOLD, Artifact
from export.artifact import Store as Artifacts
from profiles.errors import ConfigError, EdgebenchError, ExportError, RunError, TransportError
from profiles.progress import Progress

# After these the measurement is still good: the same command, or one with a new version, goes on from it.
_STILL_GOOD = ("device_io", "release_busy", "release_taken", "release_damaged")


@dataclass(frozen=True)
class Wish:
    """`deploy --release VERSION --require ... --activate`. Errors: ConfigError."""

    version: str
    requirements: tuple[Requirement, ...] = ()
    activate: bool = False

    def __post_init__(self) -> None:
        try:
            check_version(self.version)
        except SchemaViolation as error:
            raise ConfigError(error.message, where="--release") from None


@dataclass(frozen=True)
class Released:
    """A release that is on its device, as `state` says; `release` is the manifest that it was to have."""

    device: str
    release: Release
    state: ReleaseState
    activated: bool = False

    @property
    def unjudged(self) -> tuple[str, ...]:
        """The rules of the verdict that had no data."""
        return tuple(dict.fromkeys(rule for one in self.release.measurements for rule in one.unjudged))


@dataclass(frozen=True)
class NotReleased:
    """Why a device has no release, or has it, and not activated (`made`). `invalid`: its measurement is. `again`: what
    was measured is still good, and the same command goes on from it."""

    device: str
    model: str
    error: ErrorInfo
    invalid: bool = False
    made: bool = False
    again: bool = False


Outcome = Released | NotReleased


def check_plan(plan: Plan) -> None:
    """Errors: ConfigError where more than one thing would be released on a device under one name, or the model's name
    can be none of a folder."""
    for (device, model), cells in _by_release(plan).items():
        if cells[0].backend in native.FORMATS:
            message = f"a release of {model} on {device} is a graph or an engine, and {cells[0].backend} runs neither"
            raise ConfigError(message, where="--release", fix="--backend onnxruntime, or tensorrt")
        if len({replace(cell, batch=0).id for cell in cells}) > 1:
            raise _several(device, model, ", ".join(cell.label for cell in cells))
        try:
            check_model(model)
        except SchemaViolation as error:
            fix = "give it another with `edgebench export --name`"
            raise ConfigError(error.message, where="--release", fix=fix) from None


def check_shared(plan: Plan, artifact: Callable[[Cell], Artifact], survey: Survey) -> None:
    """Errors: ConfigError where the batches of a device have a graph or an engine each."""
    for (device, model), cells in _by_release(plan).items():
        if len(cells) < 2:
            continue
        with contextlib.suppress(ExportError):  # what cannot be exported fails by itself
            made = [artifact(cell) for cell in cells]
            graphs = set(map(_graph_files, made))
            builds = choosing.builds(device, cells[0].backend, survey)
            engines = {build_of(cell, its, device).id for cell, its in zip(cells, made, strict=True)} if builds else ()
            if len(graphs) > 1 or len(engines) > 1:
                batches = ", ".join(str(cell.batch) for cell in cells)
                what = "a graph" if len(graphs) > 1 else "an engine"
                raise _several(device, model, f"batches {batches} with {what} each")


def release_all(
    wish: Wish, rows: Sequence[Row], plan: Plan, devices: Sequence[Device], artifacts: Artifacts, places: Places,
    progress: Progress,
) -> tuple[Outcome, ...]:  # fmt: skip
    """Release what was measured, on all devices at once, where all batches were measured and may be. What has no
    measurement failed already, and is in no outcome."""
    asked = _by_release(plan)
    measured: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        measured.setdefault((row.measurement.cell.device, row.measurement.cell.model), []).append(row)
    outcomes: list[Outcome] = []
    ready: dict[str, list[Release]] = {}
    for (device, model), its in measured.items():
        if len(its) < len(asked[device, model]):
            continue
        try:
            ready.setdefault(device, []).append(_released(wish, its, artifacts))
        except _Refused as refused:
            outcomes.append(NotReleased(device, model, refused.info(), invalid=refused.invalid))
        except EdgebenchError as error:
            outcomes.append(NotReleased(device, model, error.info()))
    willing = [device for device in devices if ready.get(device.name)]
    return (*outcomes, *_on_devices(wish, ready, willing, places, progress))


def _by_release(plan: Plan) -> dict[tuple[str, str], list[Cell]]:
    """The cells that are to become one release, by device and model."""
    found: dict[tuple[str, str], list[Cell]] = {}
    for cell in plan.cells:
        found.setdefault((cell.device, cell.model), []).append(cell)
    return found


def _several(device: str, model: str, what: str) -> ConfigError:
    message = f"a release is one configuration, and of {model} on {device} there would be several: {what}"
    fix = "name one framework, backend, size and batch; --bounds lets batches share a graph and an engine"
    return ConfigError(message, where="--release", fix=fix)


class _Refused(RunError):
    """The measurement does not allow a release. `invalid`: as it is INVALID."""

    code = "not_released"

    def __init__(self, message: str, *, where: str, fix: str = "", invalid: bool = False) -> None:
        super().__init__(message, where=where, fix=fix, stage="release")
        self.invalid = invalid


def _released(wish: Wish, rows: Sequence[Row], artifacts: Artifacts) -> Release:
    """The manifest of what the rows measured. Errors: _Refused; ConfigError, ExportError when the artifact is not here
    any more."""
    for row in rows:
        _check(wish, row)
    first, engine = rows[0].measurement, _engine(rows[0])
    made = [artifacts.get(row.measurement.origin.artifact) for row in rows]
    artifact = made[0]
    if any(_engine(row) != engine for row in rows) or any(_graph_files(one) != _graph_files(artifact) for one in made):
        message = "its batches ran different graphs or engines, and a release holds one"
        raise _Refused(message, where=first.cell.device, fix="release one batch")
    return Release(
        schema=SCHEMA,
        model=first.cell.model,
        version=wish.version,
        device=first.cell.device,
        framework=first.cell.framework,
        precision=first.cell.precision,
        weights=artifact.weights,
        artifact=artifact.id,
        model_file=artifact.model_file,
        files=(*_graph_files(artifact), *((engine.file,) if engine else ())),
        backend=first.cell.backend,
        runtime_version=rows[0].runtime_version,
        inputs=artifact.inputs,
        outputs=artifact.outputs,
        measurements=tuple(map(_figures, rows)),
        released_by=f"{_user()}@{socket.gethostname()}",
        released_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        edgebench=version(),
        engine=engine,
        settings=first.result.switches,
        requirements=tuple(requirement.text for requirement in wish.requirements),
    )


def _check(wish: Wish, row: Row) -> None:
    """Errors: _Refused for a measurement that is INVALID, whose outputs nobody compared, or that breaks a
    requirement."""
    cell, where = row.measurement.cell, row.measurement.cell.device
    if row.verdict.status is Status.INVALID:
        reasons = "; ".join(f"{finding.rule}: {finding.reason}" for finding in row.verdict.broken)
        message = f"the measurement of {cell.label} is INVALID ({reasons})"
        raise _Refused(message, where=where, fix="measure again", invalid=True)
    unknown = next((finding for finding in row.verdict.unjudged if finding.rule == "parity_unknown"), None)
    if unknown is not None:
        message = f"the outputs of {cell.label} were not checked on the device ({unknown.reason})"
        raise _Refused(message, where=where, fix="export it with a reference, or take a backend that shows its outputs")
    broken = [told for requirement in wish.requirements if (told := requirement.broken(row.summary))]
    if broken:
        raise _Refused(f"{cell.label}: {'; '.join(broken)}", where=where)


def _graph_files(artifact: Artifact) -> tuple[FileEntry, ...]:
    """The graph and its data files, without what edgebench alone reads."""
    ours = (artifact.golden, SHAPES, TOLD)
    return tuple(entry for entry in artifact.files if entry.name not in ours and not is_golden(entry.name))


def _engine(row: Row) -> ReleasedEngine | None:
    use = row.measurement.result.engine
    if use is None:
        return None
    report = use.report
    return ReleasedEngine(report.key, report.file, report.runtime, report.runtime_version, report.built_at)


def _figures(row: Row) -> ReleasedMeasurement:
    values, summary = figures(row.summary), row.summary
    ms = {f"{name}_ms": value / 1e6 for name, value in values.items() if name != THROUGHPUT and value is not None}
    return ReleasedMeasurement(
        id=row.measurement.id,
        verdict=row.verdict.status.value,
        batch=row.measurement.cell.batch,
        samples=summary.samples,
        processes=summary.processes,
        throughput_per_s=summary.throughput_per_s,
        unjudged=tuple(dict.fromkeys(finding.rule for finding in row.verdict.unjudged)),
        **ms,
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


def _on_devices(
    wish: Wish, ready: Mapping[str, Sequence[Release]], devices: Sequence[Device], places: Places, progress: Progress
) -> list[Outcome]:
    if not devices:
        return []

    def work(session: Session) -> list[Outcome]:
        progress(f"{session.device.name}: releasing {wish.version}")
        get_ready(session)
        return [_release_on(session, release, activate=wish.activate) for release in ready[session.device.name]]

    done, failed = ask_all(devices, places, work)
    outcomes = [outcome for its in done.values() for outcome in its]
    lost = [_failed(name, release, error) for name, error in failed.items() for release in ready[name]]
    return [*outcomes, *lost]


def _release_on(session: Session, release: Release, *, activate: bool) -> Outcome:
    """Errors: TransportError; the device is lost with whatever else was to be released there."""
    device, made = session.device.name, False
    try:
        state = make_on(session, release)
        made = True
        if activate:
            now = activate_on(session, release.model, release.version)
            state = replace(now, changed=state.changed)
    except TransportError:
        raise
    except EdgebenchError as error:
        return _failed(device, release, error, made=made)
    return Released(device, release, state, activated=activate)


def _failed(device: str, release: Release, error: EdgebenchError, *, made: bool = False) -> NotReleased:
    again = isinstance(error, TransportError) or error.code in _STILL_GOOD
    return NotReleased(device, release.model, error.info(), made=made, again=again)
