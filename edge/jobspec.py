"""From a cell and its artifact to the job that a device understands."""

from __future__ import annotations

from device_agents.contract import SCHEMA, DataSet, EngineRequest, GivenEngine, JobSpec, ShapeProfile, TensorSpec
from edge.plan import Cell
from export.artifact import FREE_BATCH, Artifact, Parity
from export.parity import LIMITS
from profiles.errors import RunError

_DEADLINE_MARGIN_S = 600.0  # loading and checking a process may take this long beside its timed part
_BUILD_S = 2 * 3600.0  # an engine may take half an hour on an Orin Nano, a large one with every tactic more


def job_spec(
    job: str,
    cell: Cell,
    artifact: Artifact,
    *,
    task: str = "measure",
    builds: bool = False,
    rebuild: bool = False,
    given: GivenEngine | None = None,
    data: DataSet | None = None,
) -> JobSpec:
    """The job that measures `cell` with `artifact`, shapes fixed to the cell's batch, or builds its engine alone.

    `builds` says that the device may have to build, which takes its time. Errors: RunError when the artifact has
    another batch, or declares bounds that the batch is outside of.
    """
    where = f"{cell.model}, artifact {artifact.short_id}"
    try:
        inputs, outputs = shapes_at(artifact, cell.batch)
    except ValueError as error:
        fix = "measure that batch, or export the model with a dynamic one"
        raise RunError(str(error), where=where, stage="plan", fix=fix) from None
    free = {dim for tensor in artifact.inputs for dim in tensor.shape if isinstance(dim, str)}
    return JobSpec(
        schema=SCHEMA,
        job=job,
        backend=cell.backend,
        artifact=artifact.id,
        files=artifact.files,
        model_file=artifact.model_file,
        precision=artifact.precision,
        inputs=inputs,
        outputs=outputs,
        batch=cell.batch,
        free_dims=dict.fromkeys(free, cell.batch),
        pattern=cell.pattern,
        timing=cell.timing,
        golden_file=artifact.golden,
        parity_limit=_parity_limit(artifact),
        hot_input=cell.hot_input,
        transfers=cell.transfers,
        options=dict(cell.options),
        deadline_s=_deadline_s(cell, task, builds=builds, profiles=builds or given is not None),
        task=task,
        graph_inputs=artifact.inputs,
        engine=EngineRequest(_profiles(cell, artifact, free, where), cell.build, rebuild, given),
        data=data,
        check_with=cell.check_with,
    )


def shapes_at(artifact: Artifact, batch: int) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs of the artifact at a batch. Errors: ValueError when it is fixed to another."""
    inputs, outputs = ([tensor.at_batch(batch) for tensor in side] for side in (artifact.inputs, artifact.outputs))
    return tuple(inputs), tuple(outputs)


def _profiles(cell: Cell, artifact: Artifact, free: set[str], where: str) -> tuple[ShapeProfile, ...]:
    """The bounds that were asked for, else those that the artifact declares; for every free dimension of the graph."""
    asked = cell.profiles or artifact.profiles
    if asked and not free:
        fix = "leave --bounds out, or export the model with a dynamic batch"
        raise RunError(
            f"its batch is fixed to {cell.batch}: there is nothing to bound", where=where, stage="plan", fix=fix
        )
    bounds = [profile[FREE_BATCH] for profile in asked if FREE_BATCH in profile]
    if bounds and not any(one.min <= cell.batch <= one.max for one in bounds):
        message = f"batch {cell.batch} is outside the bounds that it declares ({', '.join(map(str, bounds))})"
        fix = f"give others, such as --bounds 1:{cell.batch}:{cell.batch}"
        raise RunError(message, where=where, stage="plan", fix=fix)
    return asked


def _deadline_s(cell: Cell, task: str, *, builds: bool, profiles: bool) -> float:
    """Seconds after which the device ends the job itself: every process at its cap, the one that profiles layers and
    the second opinion as well, and a build."""
    timing = cell.timing
    per_process_s = timing.warmup_cap_s + timing.cap_s + _DEADLINE_MARGIN_S
    processes = 0 if task == "build" else timing.processes + profiles + (cell.check_with is not None)
    return processes * per_process_s + (_BUILD_S if builds else 0.0)


def _parity_limit(artifact: Artifact) -> float | None:
    if artifact.golden is None:
        return None
    return artifact.parity.limit if isinstance(artifact.parity, Parity) else LIMITS.get(artifact.precision)
