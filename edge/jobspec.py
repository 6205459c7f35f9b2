"""From a cell and its artifact to the job that a device understands."""

from __future__ import annotations

from device_agents.contract import SCHEMA, JobSpec
from edge.plan import Cell
from export.artifact import Artifact, Parity
from export.parity import LIMITS
from profiles.errors import RunError

_DEADLINE_MARGIN_S = 600.0  # loading, checking and building a process may take this long beside its timed part


def job_spec(job: str, cell: Cell, artifact: Artifact) -> JobSpec:
    """The job that measures `cell` with `artifact`, shapes fixed to the cell's batch.

    Errors: RunError when the artifact has another batch.
    """
    try:
        inputs = tuple(tensor.at_batch(cell.batch) for tensor in artifact.inputs)
        outputs = tuple(tensor.at_batch(cell.batch) for tensor in artifact.outputs)
    except ValueError as error:
        fix = "measure that batch, or export the model with a dynamic one"
        raise RunError(str(error), where=f"{cell.model}, artifact {artifact.short_id}", stage="plan", fix=fix) from None
    free = {dim for tensor in artifact.inputs for dim in tensor.shape if isinstance(dim, str)}
    timing = cell.timing
    per_process_s = timing.warmup_cap_s + timing.cap_s + _DEADLINE_MARGIN_S
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
        timing=timing,
        golden_file=artifact.golden,
        parity_limit=_parity_limit(artifact),
        hot_input=cell.hot_input,
        transfers=cell.transfers,
        options=dict(cell.options),
        deadline_s=timing.processes * per_process_s,
    )


def _parity_limit(artifact: Artifact) -> float | None:
    if artifact.golden is None:
        return None
    return artifact.parity.limit if isinstance(artifact.parity, Parity) else LIMITS.get(artifact.precision)
