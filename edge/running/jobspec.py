"""From a cell and its artifact to the job that a device understands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from device_agents.contract import (
    SCHEMA,
    Control,
    DataSet,
    DimRange,
    EngineRequest,
    GivenEngine,
    JobSpec,
    Labelled,
    Precision,
    ShapeProfile,
    TensorSpec,
)
from edge.planning import sizes
from edge.planning.plan import Cell
from edge.running.policy import Policy
from export.artifact import Artifact, Parity
from export.judging import boxes
from export.judging.parity import LIMITS, WHOLE_LIMITS
from export.request import FREE_BATCH, FREE_HEIGHT, FREE_WIDTH
from profiles.errors import RunError

_SIDES = (FREE_HEIGHT, FREE_WIDTH)
RELATIVE, DETECTION = "relative", "detection"  # JobSpec.CHECKS

_BF16_LIMIT = 8 * LIMITS[Precision.FP16]  # three bits less of a mantissa
_DEADLINE_MARGIN_S = 600.0  # loading and checking a process may take this long beside its timed part
_LABELLED_S = 1.0  # an image that is looked at for its label, on the slowest device that anybody has
_SIZE_S = 300.0  # and as long for each size that is drawn, for which something may be compiled
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
    control: Control | None = None,
    labelled: Labelled | None = None,
) -> JobSpec:
    """The job that measures `cell` with `artifact`, inputs fixed to the cell's batch and size, or builds its engine
    alone.

    `builds` says that the device may have to build, which takes its time; `control` is what it changes there. Errors:
    RunError when the artifact has another batch or size, or declares bounds that they are outside of.
    """
    where = f"{cell.model}, artifact {artifact.short_id}"
    size = _size(cell, artifact, where)
    inputs, outputs, free = _shapes(cell, artifact, size, where)
    golden = sizes.golden_file(artifact, size)
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
        free_dims={name: dim for name, dim in free.items() if not cell.pattern.sizes or name not in _SIDES},
        pattern=cell.pattern,
        timing=cell.timing,
        golden_file=golden,
        parity_limit=None if golden is None and data is None else _parity_limit(artifact, cell),
        hot_input=cell.hot_input,
        transfers=cell.transfers,
        options=dict(cell.options),
        deadline_s=_deadline_s(cell, task, builds=builds, profiles=builds or given is not None)
        + (0.0 if labelled is None else labelled.images * _LABELLED_S),
        task=task,
        graph_inputs=artifact.inputs,
        engine=EngineRequest(_profiles(cell, artifact, free, where), cell.build, rebuild, given),
        data=data,
        check_with=cell.check_with,
        check=DETECTION if _is_detection(artifact) else RELATIVE,
        limits=_limits(artifact, cell),
        control=control or Control(),
        cold=cell.cold,
        labelled=labelled,
    )


def bounded(spec: JobSpec, policy: Policy, rested_c: float | None) -> JobSpec:
    """The job as a run puts up with it: ended by the device when its time is over, which does not run while the device
    cools down to near `rested_c`, degrees Celsius before its first cell, None where they are not known."""
    deadline_s = spec.deadline_s if policy.cell_timeout_s is None else min(spec.deadline_s, policy.cell_timeout_s)
    if policy.cool_within_c is None or rested_c is None:
        return replace(spec, deadline_s=deadline_s)
    cool_to_c, cap_s = rested_c + policy.cool_within_c, policy.cool_cap_s
    return replace(spec, deadline_s=deadline_s + cap_s, cool_to_c=cool_to_c, cool_cap_s=cap_s)


def shapes_at(
    artifact: Artifact, batch: int, sides: Mapping[str, int]
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs of the artifact at a batch, and with free sides of that size. Those of outputs stay free,
    whatever their names: what a graph makes of a size, its runtime tells. Errors: ValueError when the batch is fixed to
    another."""
    inputs = tuple(tensor.at_batch(batch, sides) for tensor in artifact.inputs)
    return inputs, tuple(tensor.at_batch(batch) for tensor in artifact.outputs)


def _size(cell: Cell, artifact: Artifact, where: str) -> sizes.Size | None:
    """The size of the job's inputs, None for the artifact's own. Errors: RunError for an artifact that cannot take the
    sizes which are drawn."""
    if not cell.pattern.sizes:
        return cell.size
    sizes.check_drawn(artifact, cell.pattern.sizes, where)
    return sizes.measured(artifact, cell.size, cell.pattern)


def _shapes(
    cell: Cell, artifact: Artifact, size: sizes.Size | None, where: str
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...], dict[str, int]]:
    """Inputs, outputs, and what the graph's free dimensions are. Errors: RunError."""
    sides = sizes.chosen(artifact, size, where)
    try:
        inputs, outputs = shapes_at(artifact, cell.batch, sides)
    except ValueError as error:
        fix = "measure that batch, or export the model with a dynamic one"
        raise RunError(str(error), where=where, stage="plan", fix=fix) from None
    for tensor in inputs:
        if not tensor.is_fixed:
            message = f"input {tensor.name!r} is {'x'.join(map(str, tensor.shape))}, and nothing says how large that is"
            raise RunError(message, where=where, stage="plan", fix="export the model with a fixed size of that input")
    pairs = zip(artifact.inputs, inputs, strict=True)
    dims = [pair for was, now in pairs for pair in zip(was.shape, now.shape, strict=True)]
    return inputs, outputs, {name: int(size) for name, size in dims if isinstance(name, str)}


def _profiles(cell: Cell, artifact: Artifact, free: Mapping[str, int], where: str) -> tuple[ShapeProfile, ...]:
    """The bounds that were asked for, else those that the artifact declares; for every free dimension of the graph:
    one that nothing bounds keeps the job's size. Sides of images are bounded by the sizes that are drawn, where they
    are, and by the job's one size in a static engine."""
    asked = cell.profiles or artifact.profiles
    _check_bounds(cell, asked, free, where)
    kept = {name: DimRange(size, size, size) for name, size in free.items()}
    sides = {name: one for name, one in kept.items() if name in _SIDES}
    if cell.pattern.sizes:
        first, last = cell.pattern.sizes[0], cell.pattern.sizes[-1]
        sides = {name: DimRange(first, one.opt, last) for name, one in sides.items()}
    elif not cell.static:
        sides = sizes.declared(artifact)
    elif not cell.profiles:
        asked = tuple({FREE_BATCH: one[FREE_BATCH]} for one in asked if FREE_BATCH in one)
    return tuple({**kept, **profile, **sides} for profile in asked)


def _check_bounds(cell: Cell, asked: tuple[ShapeProfile, ...], free: Mapping[str, int], where: str) -> None:
    """Errors: RunError where the batch is fixed, or outside."""
    bounds = [profile[FREE_BATCH] for profile in asked if FREE_BATCH in profile]
    if bounds and FREE_BATCH not in free:
        fix = "leave --bounds out, or export the model with a dynamic batch"
        message = f"its batch is fixed to {cell.batch}: there is nothing to bound"
        raise RunError(message, where=where, stage="plan", fix=fix)
    if bounds and not any(one.min <= cell.batch <= one.max for one in bounds):
        message = f"batch {cell.batch} is outside the bounds that it declares ({', '.join(map(str, bounds))})"
        fix = f"give others, such as --bounds 1:{cell.batch}:{cell.batch}"
        raise RunError(message, where=where, stage="plan", fix=fix)


def _deadline_s(cell: Cell, task: str, *, builds: bool, profiles: bool) -> float:
    """Seconds after which the device ends the job itself: every process at its cap, the one that profiles layers and
    the second opinion as well, and a build."""
    timing = cell.timing
    per_process_s = timing.warmup_cap_s + timing.cap_s + _DEADLINE_MARGIN_S + _SIZE_S * len(cell.pattern.sizes)
    processes = 0 if task == "build" else timing.processes + profiles + (cell.check_with is not None)
    return processes * per_process_s + (_BUILD_S if builds else 0.0)


def _is_detection(artifact: Artifact) -> bool:
    """Whether its outputs are boxes whose order is a matter of scores that may be almost equal: final ones, or those of
    the classes of proposals."""
    final = {"boxes", "scores", "labels"} <= {tensor.name for tensor in artifact.outputs}
    return artifact.task == "detection" and (final or _are_proposals(artifact))


def _are_proposals(artifact: Artifact) -> bool:
    ranks = {tensor.name: len(tensor.shape) for tensor in artifact.outputs}
    return (ranks.get("class_logits"), ranks.get("boxes")) == (3, 4)


def _limits(artifact: Artifact, cell: Cell) -> dict[str, float]:
    """Of each output, as the gate has them. Where the framework is as far off itself at this precision, the gate let
    the artifact pass over them: the device may be twice as far off as the artifact was. Of the worst output the
    manifest has the limit, but for final boxes, which a device may match otherwise."""
    if _in_bf16(cell):
        return {one.name: _BF16_LIMIT for one in artifact.outputs if one.dtype.startswith("float")}
    by_boxes = _is_detection(artifact)
    own = boxes.LIMITS[artifact.precision] if by_boxes and not _are_proposals(artifact) else {}
    limits = {one.name: own.get(one.name, _plain_limit(one, artifact.precision)) for one in artifact.outputs}
    if _are_proposals(artifact):
        limits |= boxes.OF_PROPOSALS[artifact.precision]
    parity = artifact.parity
    if not isinstance(parity, Parity):
        return limits
    if parity.framework_error is not None:
        limits = {name: max(limit, 2 * parity.errors.get(name, 0.0)) for name, limit in limits.items()}
    return limits if by_boxes else {**limits, parity.tensor: parity.limit}


def _plain_limit(output: TensorSpec, precision: Precision) -> float:
    return (LIMITS if output.dtype.startswith("float") else WHOLE_LIMITS)[precision]


def _in_bf16(cell: Cell) -> bool:
    """Of the artifact's precision a device makes another by this option alone."""
    return cell.options.get("dtype") == "bf16"


def _parity_limit(artifact: Artifact, cell: Cell) -> float | None:
    if _in_bf16(cell):
        return _BF16_LIMIT
    return artifact.parity.limit if isinstance(artifact.parity, Parity) else LIMITS.get(artifact.precision)
