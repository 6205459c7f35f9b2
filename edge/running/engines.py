"""Engines on the operator's machine: what other machines built becomes artifacts, whose hash the manifest holds."""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from device_agents.contract import ENGINE_FILE, EngineReport, JobResult, Scalar, dumps
from edge.agent import bundle
from edge.agent.connect import connect
from edge.agent.session import Session
from edge.inventory.devices import Device
from edge.places import Places
from edge.planning import sizes
from edge.planning.plan import Cell
from edge.planning.targets import RUNTIME
from edge.running.jobspec import job_spec, shapes_at
from export.artifact import Artifact, Format, NotChecked, Store, content_id, hash_files
from export.cache import adopt, intact
from export.request import FREE_BATCH
from profiles.errors import ConfigError, EdgebenchError, SchemaError
from profiles.load import unknown
from profiles.progress import Progress

_KEEP_DAYS = 30.0

AHEAD_OF_TIME = "built ahead of time on a machine that cannot run it: no device has checked it yet"


def bring_home(
    session: Session, job: str, store: Store, parent: Artifact, *, cell: Cell, unchecked: str
) -> tuple[Artifact, JobResult]:
    """The engine that a finished build job of the session's device made, as an artifact of the store, and the job's
    result.

    `parent` is the ONNX artifact it was built of, `cell` what for, `unchecked` why no parity figure exists.
    Errors: TransferError; SchemaError when what came is not what was built of `parent`.
    """
    result, _ = session.collect(job, parent.id)
    if result.engine is None:
        raise SchemaError("the job built no engine", where=session.device.name, stage="collect")
    report = result.engine.report
    with store.workspace() as workspace:
        folder = workspace / "artifact"
        folder.mkdir()
        session.pull_engine(report, folder)
        made = adopt_engine(
            store, folder, report, parent,
            target=_target(report, session.device), builder=session.device.name, cell=cell, unchecked=unchecked,
        )  # fmt: skip
    return made, result


def adopt_engine(
    store: Store,
    folder: Path,
    report: EngineReport,
    parent: Artifact,
    *,
    target: str,
    builder: str,
    cell: Cell,
    unchecked: str,
) -> Artifact:
    """Move a folder of the store's workspace, model.engine and its report, into the store as an artifact.

    Without optimization profiles the engine is fixed to the cell's batch and size. Errors: SchemaError when the file is
    not the one that the report describes, or the report is of another artifact.
    """
    if report.artifact != parent.id:
        raise SchemaError(f"an engine of artifact {report.artifact[:12]} came for {parent.short_id}", where=builder)
    files = hash_files(folder)
    if report.file not in files:
        raise SchemaError("the engine is not the one that its report describes", where=builder, fix="build it again")
    inputs, outputs = parent.inputs, parent.outputs
    if not report.profiles:
        inputs, outputs = shapes_at(parent, cell.batch, sizes.chosen(parent, cell.size, builder))
    draft = Artifact(
        id=content_id(files),
        path=folder,
        model=parent.model,
        framework=parent.framework,
        format=Format.ENGINE,
        precision=report.precision,
        weights=parent.weights,
        batch="dynamic" if report.profiles else cell.batch,
        inputs=inputs,
        outputs=outputs,
        model_file=ENGINE_FILE,
        files=files,
        parity=NotChecked(unchecked),
        graph=parent.graph,
        produced_by={report.runtime: report.runtime_version, "built_at": report.built_at, "builder": builder},
        parent=parent.id,
        target=target,
        profiles=report.profiles,
        task=parent.task,
        head=parent.head,
        images=parent.images,
        pixels=parent.pixels,
        labels=parent.labels,
        version=parent.version,
    )
    return adopt(store, folder, draft)


def _target(report: EngineReport, device: Device) -> str:
    """The compute capability that the engine is for, or the builder's profile where its runtime does not tell."""
    told = str(report.made_of.get("target", ""))
    capability = str(report.made_of.get("gpu_compute_cap", "")).replace(".", "")
    if told.startswith("sm"):
        return told
    return f"sm{capability}" if capability else device.profile.name


@dataclass(frozen=True)
class Ahead:
    """Which engines to build of an ONNX artifact ahead of time: one a target, for the artifact's own optimization
    profiles, or for `batch` where it declares none. `fresh` builds anew."""

    targets: tuple[str, ...]
    batch: int = 1
    options: Mapping[str, Scalar] = field(default_factory=dict)
    fresh: bool = False


class AheadOfTime:
    """Builds on this machine, by the agent's `build` job on the device `local`."""

    def __init__(self, wanted: Ahead, session: Session, version: str, store: Store, places: Places) -> None:
        self._wanted = wanted
        self._session = session
        self._version = version
        self._store = store
        self._places = places

    def engines(self, parent: Artifact, progress: Progress) -> list[Artifact]:
        """An engine for each target, from the store or built now. Errors: BuildError; what failed leaves nothing."""
        return [self._engine(parent, target, progress) for target in self._wanted.targets]

    def _engine(self, parent: Artifact, target: str, progress: Progress) -> Artifact:
        key = self._key(parent, target)
        hit = None if self._wanted.fresh else self._store.answer(key)
        if hit is not None and intact(hit):
            return hit
        what = f"{parent.model}/{parent.framework} {parent.precision} for {target}"
        progress(f"local: building {what}")
        engine = self._build(parent, self._cell(parent, target), lambda why: progress(f"local: {what}: {why}"))
        self._store.remember(key, engine)
        return engine

    def _build(self, parent: Artifact, cell: Cell, say: Callable[[str], None]) -> Artifact:
        session = self._session
        session.ship(parent.id, parent.path, parent.files)
        job = f"build-{uuid.uuid4().hex}"
        try:
            session.run(job_spec(job, cell, parent, task="build", builds=True, rebuild=self._wanted.fresh), say)
        except KeyboardInterrupt:
            self._cancel(job)
            raise
        made, _ = bring_home(session, job, self._store, parent, cell=cell, unchecked=AHEAD_OF_TIME)
        return made

    def _cancel(self, job: str) -> None:
        """The job runs apart from us: over a connection of its own, as the interrupted one may be in mid-sentence."""
        with (
            contextlib.suppress(EdgebenchError),
            contextlib.closing(connect(self._session.device, self._places)) as transport,
        ):
            self._session.reconnect(transport).cancel(job)

    def _cell(self, parent: Artifact, target: str) -> Cell:
        batch = self._wanted.batch if parent.batch == "dynamic" else int(parent.batch)
        tuned = parent.profiles[0].get(FREE_BATCH) if parent.profiles else None
        return Cell(
            device=self._session.device.name,
            model=parent.model,
            framework=parent.framework,
            backend=RUNTIME,
            precision=parent.precision,
            batch=tuned.opt if tuned else batch,
            weights=parent.weights,
            options={**self._wanted.options, "target": target},
        )

    def _key(self, parent: Artifact, target: str) -> str:
        """Names the request in the store. The agent is in it: another one may build otherwise, and knows its cache."""
        cell = self._cell(parent, target)
        facts = [RUNTIME, self._version, parent.id, cell.batch, cell.options, bundle.build().sha256]
        return hashlib.sha256(dumps(facts).encode()).hexdigest()


@contextlib.contextmanager
def ahead_of_time(
    wanted: Ahead, device: Device, store: Store, places: Places, progress: Progress
) -> Iterator[AheadOfTime]:
    """A builder on `device`, which is `local`. Errors: ConfigError when it has no TensorRT-RTX, or an option is
    unknown."""
    with contextlib.closing(connect(device, places)) as transport:
        session = Session(device, transport)
        progress(f"local: looking for {RUNTIME}")
        report = session.prepare((RUNTIME,), only_look=True)[RUNTIME].report
        if report.version.unknown is not None:
            message = f"{RUNTIME} is not installed for {device.python} ({report.version.unknown})"
            raise ConfigError(message, fix=f"pip install 'edgebench[{RUNTIME}]'")
        for name in wanted.options:
            if name not in report.build_options or name == "target":
                known = sorted({*report.build_options} - {"target"})
                raise unknown("build option", name, known, where="--option")
        yield AheadOfTime(wanted, session, str(report.version), store, places)
        session.tidy(_KEEP_DAYS)
