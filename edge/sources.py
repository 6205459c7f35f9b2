"""Where a model of a plan comes from: which frameworks and weights, and the artifact of every cell, and the
operator's own data for it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from device_agents.contract import Dim, Precision
from edge import choosing
from edge.ahead import engine_for
from edge.choosing import Choices, Survey
from edge.plan import AHEAD, Cell
from edge.request import Request
from export.api import export_model, find_any, frameworks_of, installed, parse_model, require
from export.artifact import Artifact, Store, sha256_file
from export.models import ModelRef
from profiles.errors import ConfigError, EdgebenchError, ExportError
from profiles.load import unknown
from profiles.progress import Progress

if TYPE_CHECKING:
    from edge.data import Prepared

ALL = "all"
DYNAMIC = "dynamic"


class Sources:
    """Which frameworks and weights a model comes from; asked for every cell, found out once a model and precision."""

    def __init__(self, request: Request, store: Store, choices: Choices, max_opset: int | None) -> None:
        self._request = request
        self._store = store
        self._choices = choices
        self._max_opset = max_opset  # that every device reads
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
        readable = find_any(self._store, ref, framework, precision, DYNAMIC, max_opset=self._max_opset)
        return readable or find_any(self._store, ref, framework, precision, DYNAMIC)


def artifact_source(
    request: Request, store: Store, progress: Progress, survey: Survey | None = None
) -> Callable[[Cell], Artifact]:
    """What finds or exports the artifact of a cell: one with a dynamic batch serves every batch, but a user's file is
    fixed to the batch, as it may have a fixed one already, unless bounds want it free: those of `deploy`, or those that
    its newest export declares. What failed once is not tried again. A cell whose
    engine was built ahead of time has the graph that it was built of. A device whose parser is old gets a graph that it
    can read; a user's file that it cannot is refused."""
    refs = {ref.name: ref for ref in map(parse_model, request.models)}

    @functools.cache
    def bounded(
        model: str, framework: str, precision: Precision, weights: str, max_opset: int | None
    ) -> Artifact | None:
        there = find_any(store, refs[model], framework, precision, DYNAMIC, weights=weights, max_opset=max_opset)
        return there if there is not None and there.profiles else None

    @functools.cache
    def make(
        model: str, framework: str, precision: Precision, batch: Dim, weights: str, max_opset: int | None
    ) -> Artifact | ExportError:
        ref = refs[model]
        if request.weights is None:
            there = find_any(store, ref, framework, precision, batch, weights=weights, max_opset=max_opset)
            if there is not None:
                return there
        export = export_model if max_opset is None else functools.partial(export_model, opset=max_opset)
        try:
            return export(
                ref,
                framework=framework,
                precision=precision,
                batch=batch,
                weights=request.weights or weights,
                store=store,
                progress=progress,
            )
        except ExportError as error:
            return error

    def artifact(cell: Cell) -> Artifact:
        if cell.engines == AHEAD:
            return store.get(str(engine_for(cell, store, survey or Survey()).parent))
        max_opset = choosing.max_opset(cell.device, cell.backend, survey or Survey())
        declared = bounded(cell.model, cell.framework, cell.precision, cell.weights, max_opset)
        if declared is not None:
            return declared
        is_file = refs[cell.model].path is not None
        batch: Dim = cell.batch if is_file and not cell.profiles else DYNAMIC
        made = make(cell.model, cell.framework, cell.precision, batch, cell.weights, max_opset)
        if isinstance(made, ExportError):
            raise made
        return made

    return artifact


def data_source(
    request: Request, artifact: Callable[[Cell], Artifact], store: Store, progress: Progress
) -> Callable[[Cell], Prepared]:
    """What makes the operator's data ready for the artifact of a cell, with the answers of the FP32 export for a
    reference where the data brings none. Errors, of the result: ConfigError for data that does not fit."""
    from edge.data import prepare

    refs = {ref.name: ref for ref in map(parse_model, request.models)}
    ready: dict[str, Prepared] = {}

    def data(cell: Cell) -> Prepared:
        its = artifact(cell)
        if request.inputs is None:
            raise RuntimeError("no data was named")
        if its.id not in ready:
            profile = refs[cell.model].profile
            image = profile.input if profile else None
            fp32 = _fp32(cell, artifact)
            ready[its.id] = prepare(request.inputs, its, store, fp32=fp32, image=image, progress=progress)
        return ready[its.id]

    return data


def _fp32(cell: Cell, artifact: Callable[[Cell], Artifact]) -> Artifact | None:
    try:
        return artifact(replace(cell, precision=Precision.FP32))
    except EdgebenchError:
        return None
