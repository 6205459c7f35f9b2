"""From what was asked to a plan: which frameworks, backends, precisions; every choice made for the operator is told."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from device_agents.contract import Precision
from edge.inventory.devices import Device
from edge.planning import choosing, references, sizes
from edge.planning.ahead import engine_for
from edge.planning.choosing import Choices, Survey
from edge.planning.classes import whose_engine
from edge.planning.models import resolve
from edge.planning.plan import AHEAD, OWN, Cell, Plan
from edge.planning.request import Request
from edge.planning.sources import ALL, Sources
from edge.planning.targets import RUNTIME
from export import native
from export.api import frameworks_of, installed
from export.artifact import Store
from export.asking import refuse_sizes
from export.models import ModelRef
from export.request import FREE_BATCH
from profiles.errors import ConfigError, RunError

CHECKED_WITH_TRTEXEC = "tensorrt"


def make_plan(
    request: Request,
    devices: Sequence[Device],
    store: Store,
    choices: Choices,
    survey: Survey | None = None,
    builders: Mapping[str, str] | None = None,
) -> Plan:
    """Expand the request into cells, device by device. `builders` says who builds for whom, and is None where every
    device builds its own. Errors: ConfigError for whatever cannot be meant."""
    for device in devices:
        request.wishes.check(device)
    refs = [resolve(text) for text in request.models]
    for ref in refs if request.load.sizes else ():
        refuse_sizes(ref)
    survey = survey or Survey()
    sources = Sources(request, store, choices, _oldest_opset(request, devices, survey))
    cells = [
        Cell(
            device=device.name,
            model=ref.name,
            framework=framework,
            backend=backend,
            precision=precision,
            batch=batch,
            weights=sources.weights(ref, framework, precision),
            pattern=request.load,
            timing=request.timed,
            options=dict(request.options),
            hot_input=request.hot_input,
            transfers=request.transfers,
            build=build,
            profiles=tuple({FREE_BATCH: bounds} for bounds in request.bounds),
            inputs=request.inputs_sha256,
            dataset=request.dataset_sha256,
            check_with=_second_opinion(request, backend, choices),
            engines=engines,
            size=size,
            lock_clocks=request.wishes.lock_clocks,
            power_mode=request.wishes.power_mode,
            persistence=request.wishes.persistence,
            shared=request.wishes.shared,
            cold=request.cold,
        )
        for device in devices
        for precision in [_precision(request, device, choices)]
        for ref in refs
        for framework in sources.frameworks(ref, precision)
        for backend in (choosing.there if request.if_there else choosing.backends)(
            request.backends, device, survey, choices
        )
        if _runs(backend, framework, ref, precision, choices)
        for engines in [_engines(request, device, backend, builders, survey, choices)]
        for batch in request.batches or (1,)
        for size in request.sizes
        or (None if engines == AHEAD or request.load.sizes else sources.size(ref, framework, precision),)
        for build in _builds(request, device, backend, survey, choices)
    ]
    if request.load.sizes:
        cells = references.with_references(cells, request.plainly_timed, sources.own_size(refs))
    if not cells and not request.if_there:
        asked = ", ".join(request.backends)
        raise ConfigError(f"{asked} runs none of these models", where="--backend", fix="name its framework's models")
    _say_opsets(cells, survey, choices)
    _say_timing(request, choices)
    plan = Plan(choosing.own_options(cells, survey, choices), request.rebuild)
    if request.engines == AHEAD:
        _check_ahead(plan, dict(zip((ref.name for ref in refs), request.models, strict=True)), store, survey, choices)
    return plan


def _runs(backend: str, framework: str, ref: ModelRef, precision: Precision, choices: Choices) -> bool:
    """Whether the backend runs models of that framework: one that is a framework runs its own. Errors: ConfigError for
    a model that it does not run on a device."""
    form = native.FORMATS.get(backend)
    if form is None:
        return True
    if backend != framework:
        choices.say(f"{ref.name}/{framework} is not measured with {backend}, which runs its own models")
        return False
    native.refuse(ref, framework, precision, form)
    return True


def _oldest_opset(request: Request, devices: Sequence[Device], survey: Survey) -> int | None:
    """The newest opset that every device reads, as far as they were asked; None for any."""
    found = [
        choosing.max_opset(device.name, backend, survey)
        for device in devices
        for backend in choosing.backends(request.backends, device, survey, Choices())
    ]
    return min((opset for opset in found if opset is not None), default=None)


def _precision(request: Request, device: Device, choices: Choices) -> Precision:
    if request.precision is not None:
        return request.precision
    choices.say(f"precision {device.profile.precision} (profile {device.profile.name})")
    return device.profile.precision


def _engines(
    request: Request,
    device: Device,
    backend: str,
    builders: Mapping[str, str] | None,
    survey: Survey,
    choices: Choices,
) -> str:
    if request.engines == AHEAD and backend == RUNTIME:
        return AHEAD
    if builders is None or not choosing.builds(device.name, backend, survey):
        return OWN
    return whose_engine(device, backend, builders, survey, choices)


def _check_ahead(plan: Plan, named: Mapping[str, str], store: Store, survey: Survey, choices: Choices) -> None:
    """Errors: ConfigError where an engine is not there, or was to be built otherwise. A device that did not tell what
    it can load fails by itself."""
    cells = [cell for cell in plan.cells if cell.engines == AHEAD]
    if not cells:
        message = f"only {RUNTIME} builds ahead of time, and nothing is to be measured with it"
        raise ConfigError(message, where="--engines", fix=f"--backend {RUNTIME}")
    for cell in cells:
        report = survey.report(cell.device, cell.backend)
        for name in cell.options:
            if report is not None and name in report.build_options:
                fix = "leave it out here, and give it to `edgebench export --engine`"
                raise ConfigError(f"{name} is for building, and the engine is built", where="--option", fix=fix)
        with contextlib.suppress(RunError):
            engine = engine_for(cell, store, survey, named=named[cell.model])
            at = sizes.own(engine) if cell.size is None and sizes.is_free(engine) else None
            tuned = f", tuned for {sizes.told(at)}" if at else ""
            what = f"engine {engine.short_id} of {cell.label} on {cell.device}"
            choices.say(f"{what}: built here for {engine.target}{tuned}")


def _builds(request: Request, device: Device, backend: str, survey: Survey, choices: Choices) -> Sequence[int]:
    if request.builds == 1:
        return (0,)
    if not choosing.builds(device.name, backend, survey):
        choices.say(f"{backend} on {device.name} builds no engine: it is measured once, not {request.builds} times")
        return (0,)
    return range(1, request.builds + 1)


def _second_opinion(request: Request, backend: str, choices: Choices) -> str | None:
    if request.check_with is None or backend == CHECKED_WITH_TRTEXEC:
        return request.check_with
    choices.say(f"no second opinion on {backend}: {request.check_with} runs engines of {CHECKED_WITH_TRTEXEC} alone")
    return None


def _say_opsets(cells: Sequence[Cell], survey: Survey, choices: Choices) -> None:
    for cell in cells:
        opset = choosing.max_opset(cell.device, cell.backend, survey)
        if opset is not None:
            version = survey.version(cell.device, cell.backend)
            choices.say(f"opset {opset} or older for {cell.device} ({cell.backend} {version} reads no newer)")


def _say_timing(request: Request, choices: Choices) -> None:
    timing = request.timed
    if request.batches is None:
        choices.say("batch 1")
    if request.pattern is None:
        choices.say("pattern serial")
    plural = "process" if timing.processes == 1 else "processes"
    warm_up = f"warm-up {timing.warmup_s:g} s or until stable, max {timing.warmup_cap_s:g} s"
    if request.load.sizes:
        _say_drawn(request, choices)
    if request.load.kind == "soak":
        choices.say(f"timing {timing.processes} {plural} of {timing.duration_s:g} s; {warm_up}")
        return
    choices.say(
        f"timing {timing.processes} {plural}, at least {timing.duration_s:g} s and {timing.iterations} inferences "
        f"but at most {timing.cap_s:g} s; {warm_up}"
    )


def _say_drawn(request: Request, choices: Choices) -> None:
    told = ", ".join(map(str, request.load.sizes))
    timing = request.plainly_timed
    choices.say(
        f"sizes {told}: each is measured alone, too, for the overhead (at least {timing.duration_s:g} s and "
        f"{timing.iterations} inferences)"
    )


def exports(models: Sequence[str], framework: str | None) -> list[tuple[ModelRef, str]]:
    """The (model, framework) pairs that `export` was asked for; without a framework, those that are installed. Errors:
    ConfigError for a factory that may be of either."""
    pairs = []
    for text in models:
        ref = resolve(text)
        has = frameworks_of(ref)
        if framework is None and ref.factory is not None and len(has) > 1:
            fix = "say --framework pytorch or tensorflow"
            raise ConfigError("its module imports both frameworks or neither", where=text, fix=fix)
        if framework is None:
            wanted = tuple(name for name in has if installed(name)) or has[:1]  # the first: its error names the extra
        else:
            wanted = has if framework == ALL else (framework,)
        pairs += [(ref, name) for name in wanted]
    return pairs
