"""From what was asked to a plan: which frameworks, backends, precisions; every choice made for the operator is told."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from device_agents.contract import Dim, LoadPattern, Precision, Scalar, SchemaViolation, Timing
from edge import bundle
from edge.inventory import Device
from edge.plan import Cell, Plan
from export.api import export_model, find_any, frameworks_of, installed, parse_model, require
from export.artifact import Artifact, Store, sha256_file
from export.models import ModelRef
from profiles.errors import ConfigError, ExportError
from profiles.load import unknown
from profiles.progress import Progress

AUTO = "auto"
ALL = "all"
DYNAMIC = "dynamic"


@dataclass(frozen=True)
class Request:
    """What `deploy` was asked. None, or AUTO, leaves the choice to edgebench."""

    models: tuple[str, ...]
    framework: str | None = None
    backends: tuple[str, ...] = (AUTO,)
    precision: Precision | None = None
    batches: tuple[int, ...] | None = None
    weights: str | None = None
    pattern: str | None = None
    timing: Timing = field(default_factory=Timing)
    options: Mapping[str, Scalar] = field(default_factory=dict)
    hot_input: bool = False
    transfers: bool = True


@dataclass
class Choices:
    """What was chosen and why, one line each, in the order in which people read it."""

    lines: list[str] = field(default_factory=list)

    def say(self, line: str) -> None:
        if line not in self.lines:
            self.lines.append(line)


def make_plan(request: Request, devices: Sequence[Device], store: Store, choices: Choices) -> Plan:
    """Expand the request into cells, device by device. Errors: ConfigError for whatever cannot be meant."""
    refs = [parse_model(text) for text in request.models]
    _check_names(refs)
    try:
        pattern = LoadPattern.parse(request.pattern or "serial")
    except SchemaViolation as error:
        raise ConfigError(error.message, where="--pattern") from None
    sources = _Sources(request, store, choices)
    cells = [
        Cell(
            device=device.name,
            model=ref.name,
            framework=framework,
            backend=backend,
            precision=precision,
            batch=batch,
            weights=sources.weights(ref, framework, precision),
            pattern=pattern,
            timing=request.timing,
            options=dict(request.options),
            hot_input=request.hot_input,
            transfers=request.transfers,
        )
        for device in devices
        for precision in [_precision(request, device, choices)]
        for ref in refs
        for framework in sources.frameworks(ref, precision)
        for backend in _backends(request, device, choices)
        for batch in request.batches or (1,)
    ]
    _say_timing(request, choices)
    return Plan(tuple(cells))


class _Sources:
    """Which frameworks and weights a model comes from; asked for every cell, found out once a model and precision."""

    def __init__(self, request: Request, store: Store, choices: Choices) -> None:
        self._request = request
        self._store = store
        self._choices = choices
        self._frameworks: dict[tuple[str, Precision], tuple[str, ...]] = {}
        self._weights: dict[tuple[str, str, Precision], str] = {}

    def frameworks(self, ref: ModelRef, precision: Precision) -> tuple[str, ...]:
        key = (ref.name, precision)
        if key not in self._frameworks:
            self._frameworks[key] = self._find_frameworks(ref, precision)
        return self._frameworks[key]

    def weights(self, ref: ModelRef, framework: str, precision: Precision) -> str:
        key = (ref.name, framework, precision)
        if key not in self._weights:
            self._weights[key] = self._find_weights(ref, framework, precision)
        return self._weights[key]

    def _find_frameworks(self, ref: ModelRef, precision: Precision) -> tuple[str, ...]:
        has, wanted = frameworks_of(ref), self._request.framework
        if wanted == ALL or (wanted is None and ref.path is not None):
            return has
        if wanted is not None:
            if wanted not in has:
                raise unknown("framework", wanted, has, where=f"model {ref.name}")
            return (wanted,)
        usable = tuple(name for name in has if installed(name) or self._there(ref, name, precision) is not None)
        if not usable:
            extras = " or ".join(f"pip install 'edgebench[{name}]'" for name in has)
            raise ConfigError(f"no framework that has {ref.name} is installed ({', '.join(has)})", fix=extras)
        self._choices.say(f"frameworks {', '.join(usable)} for {ref.name} (those that have it and are installed)")
        return usable

    def _find_weights(self, ref: ModelRef, framework: str, precision: Precision) -> str:
        weights = self._request.weights
        if ref.path is not None:
            return f"sha256:{sha256_file(ref.path)}"
        if weights is None:
            there = self._there(ref, framework, precision)
            if there is not None:
                self._choices.say(f"weights {there.weights} for {ref.name}/{framework} (the artifact that is there)")
                return there.weights
            self._choices.say(f"weights pretrained for {ref.name}/{framework} (--weights random needs no download)")
        if self._there(ref, framework, precision) is None:
            require(framework)
        if weights in (None, "pretrained", "random"):
            return weights or "pretrained"
        path = Path(weights).expanduser()
        if not path.is_file():
            fix = "--weights takes pretrained, random or the path of a file"
            raise ConfigError("no such weights file", where=weights, fix=fix)
        return f"sha256:{sha256_file(path)}"

    def _there(self, ref: ModelRef, framework: str, precision: Precision) -> Artifact | None:
        return find_any(self._store, ref, framework, precision, DYNAMIC)


def artifact_source(request: Request, store: Store, progress: Progress) -> Callable[[Cell], Artifact]:
    """What finds or exports the artifact of a cell: one with a dynamic batch serves every batch, but a user's file is
    fixed to the batch, as it may have a fixed one already. What failed once is not tried again."""
    refs = {ref.name: ref for ref in map(parse_model, request.models)}

    @functools.cache
    def make(model: str, framework: str, precision: Precision, batch: Dim) -> Artifact | ExportError:
        if request.weights is None:
            there = find_any(store, refs[model], framework, precision, batch)
            if there is not None:
                return there
        try:
            return export_model(
                refs[model],
                framework=framework,
                precision=precision,
                batch=batch,
                weights=request.weights or "pretrained",
                store=store,
                progress=progress,
            )
        except ExportError as error:
            return error

    def artifact(cell: Cell) -> Artifact:
        batch: Dim = cell.batch if refs[cell.model].path else DYNAMIC
        made = make(cell.model, cell.framework, cell.precision, batch)
        if isinstance(made, ExportError):
            raise made
        return made

    return artifact


def _check_names(refs: Sequence[ModelRef]) -> None:
    names = [ref.name for ref in refs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        fix = "name every model once; files of one name need names of their own"
        raise ConfigError(f"{', '.join(twice)} is named twice", where="MODEL", fix=fix)


def _precision(request: Request, device: Device, choices: Choices) -> Precision:
    if request.precision is not None:
        return request.precision
    choices.say(f"precision {device.profile.precision} (profile {device.profile.name})")
    return device.profile.precision


def _backends(request: Request, device: Device, choices: Choices) -> tuple[str, ...]:
    carried = bundle.backend_names()
    chosen = []
    for name in request.backends:
        if name == AUTO:
            chosen.append(_auto_backend(device, carried, choices))
        elif name in carried:
            chosen.append(name)
        else:
            raise unknown("backend", name, (*carried, AUTO), where="--backend")
    return tuple(dict.fromkeys(chosen))


def _auto_backend(device: Device, carried: Sequence[str], choices: Choices) -> str:
    wanted = device.profile.backends
    usable = [name for name in wanted if name in carried]
    if not usable:
        raise ConfigError(f"none of the profile's backends ({', '.join(wanted)}) exists yet", where=device.name)
    missing = wanted[: wanted.index(usable[0])]
    why = f"profile {device.profile.name}" + (f"; {', '.join(missing)} is not there yet" if missing else "")
    choices.say(f"backend {usable[0]} ({why})")
    return usable[0]


def _say_timing(request: Request, choices: Choices) -> None:
    timing = request.timing
    if request.batches is None:
        choices.say("batch 1")
    if request.pattern is None:
        choices.say("pattern serial")
    plural = "process" if timing.processes == 1 else "processes"
    choices.say(
        f"timing {timing.processes} {plural}, at least {timing.duration_s:g} s and {timing.iterations} inferences "
        f"but at most {timing.cap_s:g} s; warm-up {timing.warmup_s:g} s or until stable, max {timing.warmup_cap_s:g} s"
    )


def exports(models: Sequence[str], framework: str | None) -> list[tuple[ModelRef, str]]:
    """The (model, framework) pairs that `export` was asked for; without a framework, those that are installed."""
    pairs = []
    for ref in map(parse_model, models):
        has = frameworks_of(ref)
        if framework is None:
            wanted = tuple(name for name in has if installed(name)) or has[:1]  # the first: its error names the extra
        else:
            wanted = has if framework == ALL else (framework,)
        pairs += [(ref, name) for name in wanted]
    return pairs
