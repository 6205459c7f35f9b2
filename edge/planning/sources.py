"""Where a model of a plan comes from: which frameworks and weights, and the artifact of every cell."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from device_agents.contract import Dim, DimRange, Precision
from edge.planning import choosing, sizes
from edge.planning.ahead import engine_for
from edge.planning.choosing import Choices, Survey
from edge.planning.models import options_of, resolve, weights_of
from edge.planning.plan import AHEAD, Cell
from edge.planning.request import Request
from edge.planning.sizes import Size
from export import native
from export.api import Options, export_model, find_any, frameworks_of, installed, require
from export.artifact import Artifact, Format, Store, sha256_file
from export.asking import OWN_WEIGHTS, content_of
from export.models import ONNX, ModelRef
from profiles.errors import ConfigError, ExportError
from profiles.progress import Progress

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
        self._sizes: dict[tuple[str, str, Precision], Size | None] = {}

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

    def size(self, ref: ModelRef, framework: str, precision: Precision) -> Size | None:
        """The size that the artifact which is there is tuned for, where it takes others, too, or has another than the
        model itself; None where it is no matter of choice."""
        size = self._own_size(ref, framework, precision)
        if size is not None:
            why = "what the artifact that is there is for"
            self._choices.say(f"size {sizes.told(size)} of {ref.name}/{framework} ({why})")
        return size

    def own_size(self, refs: Sequence[ModelRef]) -> Callable[[Cell], tuple[Size | None, Size | None]]:
        """Tells of a cell the size that it is measured at where none is asked for, and which that is in pixels."""
        by_name = {ref.name: ref for ref in refs}

        def told(cell: Cell) -> tuple[Size | None, Size | None]:
            ref = by_name[cell.model]
            size = self._own_size(ref, cell.framework, cell.precision)
            return size, size or model_size(ref)

        return told

    def _own_size(self, ref: ModelRef, framework: str, precision: Precision) -> Size | None:
        key = (ref.name, framework, precision)
        if key not in self._sizes:
            self._sizes[key] = self._find_size(ref, framework, precision)
        return self._sizes[key]

    def _find_size(self, ref: ModelRef, framework: str, precision: Precision) -> Size | None:
        weights = self.weights(ref, framework, precision)
        there = _finder(self._store, ref)(framework, precision, DYNAMIC, weights=weights, max_opset=self._max_opset)
        size = None if there is None else sizes.own(there)
        if there is None or size is None:
            return None
        if not sizes.is_free(there) and model_size(ref) in (None, size):
            return None
        return size

    def _find_frameworks(self, ref: ModelRef, precision: Precision) -> tuple[str, ...]:
        has, wanted = frameworks_of(ref), self._request.framework
        if wanted == ALL or (wanted is None and ref.path is not None):
            return has
        if wanted is not None:
            if wanted not in has:
                raise ConfigError(f"there is no {wanted} of it; it has {', '.join(has)}", where=f"model {ref.name}")
            return (wanted,)
        usable = tuple(name for name in has if installed(name) or self._there(ref, name, precision) is not None)
        if not usable:
            extras = " or ".join(f"pip install 'edgebench[{name}]'" for name in has)
            raise ConfigError(f"no framework that has {ref.name} is installed ({', '.join(has)})", fix=extras)
        self._choices.say(f"frameworks {', '.join(usable)} for {ref.name} (those that have it and are installed)")
        return usable

    def _find_weights(self, ref: ModelRef, framework: str, precision: Precision) -> str:
        weights, calibrate = self._request.weights, self._request.calibrate
        if precision is Precision.INT8 and calibrate is None and self._there(ref, framework, precision) is None:
            its = "" if framework == ONNX else f"--framework {framework} "
            fix = f"edgebench export {ref.name} {its}--precision int8 --calibrate DIR"
            message = f"no INT8 artifact of {ref.name}/{framework} is there, and what to calibrate on is not known"
            raise ConfigError(message, fix=fix)
        if ref.is_file:
            if weights not in (None, "pretrained", "random"):
                fix = "leave --weights out, or deploy the others apart"
                raise ConfigError(f"--weights {weights}: a model file has its own", where=f"model {ref.name}", fix=fix)
            return content_of(ref) or ""
        if weights is None and ref.factory is not None:
            weights = self._last_weights(ref, framework, precision)
        if weights is None:
            there = self._there(ref, framework, precision)
            if there is not None:
                self._choices.say(f"weights {there.weights} for {ref.name}/{framework} (the artifact that is there)")
                return there.weights
            self._choices.say(f"weights pretrained for {ref.name}/{framework} (--weights random needs no download)")
        if self._there(ref, framework, precision) is None:
            require(framework)
        return _named_weights(ref, weights)

    def _last_weights(self, ref: ModelRef, framework: str, precision: Precision) -> str | None:
        """Those of a factory's last export. None where they are gone, and for INT8: what is there decides then."""
        weights = weights_of(ref)
        gone = weights is not None and not Path(weights).is_file()
        if self._there(ref, framework, precision) is not None and (gone or precision is Precision.INT8):
            return None
        why = "those that the factory gives it" if weights is None else "those of its last export"
        self._choices.say(f"weights {weights or OWN_WEIGHTS} for {ref.name}/{framework} ({why})")
        return weights or OWN_WEIGHTS

    def _there(self, ref: ModelRef, framework: str, precision: Precision) -> Artifact | None:
        readable = _finder(self._store, ref)(framework, precision, DYNAMIC, max_opset=self._max_opset)
        return readable or _finder(self._store, ref)(framework, precision, DYNAMIC)


def _named_weights(ref: ModelRef, weights: str | None) -> str:
    """As an artifact names them. Errors: ConfigError for a file that is not there."""
    if ref.factory is not None and weights in ("pretrained", OWN_WEIGHTS):
        return OWN_WEIGHTS
    if weights in (None, "pretrained", "random"):
        return weights or "pretrained"
    path = Path(weights).expanduser()
    if not path.is_file():
        fix = "--weights takes pretrained, random or the path of a file"
        raise ConfigError("no such weights file", where=weights, fix=fix)
    return f"sha256:{sha256_file(path)}"


class ArtifactSource:
    """Finds or exports the artifact of a cell: one with a dynamic batch serves every batch, but a user's file is fixed
    to the batch, as it may have a fixed one already, unless bounds want it free: those of `deploy`, or those that its
    newest export declares. What failed once is not tried again. A cell whose engine was built ahead of time has the
    graph that it was built of. A device whose parser is old gets a graph that it can read; a user's file that it cannot
    is refused. Of a size that was asked for, one that is free in it comes first, then one of that size alone, which is
    exported where there is none. Cells that draw sizes and their static references, found among `planned`, share one in
    which all of them are free."""

    def __init__(
        self,
        request: Request,
        store: Store,
        progress: Progress,
        survey: Survey | None = None,
        planned: Iterable[Cell] = (),
    ) -> None:
        self._request = request
        self._drawn = {_drawer(cell): cell.pattern.sizes for cell in planned if cell.pattern.sizes}
        self._store = store
        self._progress = progress
        self._survey = survey or Survey()
        self._refs = {ref.name: ref for ref in map(resolve, request.models)}
        self._found: dict[_Wanted, Artifact | None] = {}
        self._made: dict[_Wanted, Artifact | ExportError] = {}

    def __call__(self, cell: Cell) -> Artifact:
        """Errors: those of the export; ConfigError; RunError for one that does not take the sizes that are drawn."""
        found, drawn = self._of(cell), self._drawn_with(cell)
        if drawn:
            sizes.check_drawn(found, drawn, f"{cell.model}, artifact {found.short_id}")
        return found

    def _of(self, cell: Cell) -> Artifact:
        there = self._declared(cell)
        if there is not None:
            return there
        wanted = self._wanted(cell)
        if wanted not in self._made:
            self._made[wanted] = self._make(wanted)
        made = self._made[wanted]
        if isinstance(made, ExportError):
            raise made
        return made

    def there(self, cell: Cell) -> Artifact | None:
        """What the cell would take if nothing were exported; None where something would be. Errors: ConfigError."""
        return self._declared(cell) or self._find(self._wanted(cell))

    def _declared(self, cell: Cell) -> Artifact | None:
        """What needs no export: the graph of an engine, or an artifact that serves more than one batch by its own
        word."""
        if cell.engines == AHEAD:
            return self._store.get(str(engine_for(cell, self._store, self._survey).parent))
        found = self._find(replace(self._wanted(cell), batch=DYNAMIC))
        return found if found is not None and (found.profiles or cell.precision is Precision.INT8) else None

    def _wanted(self, cell: Cell) -> _Wanted:
        is_graph = self._refs[cell.model].kind == ONNX
        batch: Dim = cell.batch if is_graph and not cell.profiles else DYNAMIC
        opset = choosing.max_opset(cell.device, cell.backend, self._survey)
        form = native.FORMATS.get(cell.backend, Format.ONNX)
        drawn, size = self._drawn_with(cell), cell.size
        if drawn:
            size = None
        return _Wanted(cell.model, cell.framework, cell.precision, batch, cell.weights, opset, size, form, drawn)

    def _drawn_with(self, cell: Cell) -> tuple[int, ...]:
        """The sizes that are to be free in the artifact of the cell: it draws them, or is of one of them."""
        drawn = cell.pattern.sizes or self._drawn.get(_drawer(cell), ())
        at = cell.size or model_size(self._refs[cell.model])
        if cell.pattern.sizes or (at is not None and at[0] == at[1] and at[0] in drawn):
            return drawn
        return ()

    def _find(self, wanted: _Wanted) -> Artifact | None:
        if wanted not in self._found:
            find = _finder(self._store, self._refs[wanted.model])
            serves = None if wanted.size is None else functools.partial(sizes.serves, size=wanted.size)
            if wanted.drawn:
                serves = functools.partial(_draws, size=model_size(self._refs[wanted.model]), drawn=wanted.drawn)
            self._found[wanted] = find(
                wanted.framework, wanted.precision, wanted.batch,
                weights=wanted.weights, max_opset=wanted.opset, serves=serves, format=wanted.format,
            )  # fmt: skip
        return self._found[wanted]

    def _options(self, wanted: _Wanted) -> Options:
        ref = self._refs[wanted.model]
        options = _ranged(wanted.drawn, ref) if wanted.drawn else _fixed(wanted.size, ref)
        return replace(options, calibrate=self._request.calibrate) if wanted.precision is Precision.INT8 else options

    def _make(self, wanted: _Wanted) -> Artifact | ExportError:
        ref, request = self._refs[wanted.model], self._request
        if request.weights is None or wanted.precision is Precision.INT8 or not installed(wanted.framework):
            there = self._find(wanted)  # by another version of the framework, maybe
            if there is not None:
                return there
        export = export_model if wanted.opset is None else functools.partial(export_model, opset=wanted.opset)
        try:
            return export(
                ref,
                framework=wanted.framework,
                precision=wanted.precision,
                batch=wanted.batch,
                weights=request.weights or weights_of(ref) or wanted.weights,
                store=self._store,
                progress=self._progress,
                options=self._options(wanted),
                format=wanted.format,
            )
        except ExportError as error:
            return error


@dataclass(frozen=True)
class _Wanted:
    """What cells have in common that share an artifact: a backend that is a framework wants its own `format`. `opset`
    is the newest that may be in it, None for any; `drawn` are sizes that it takes all of."""

    model: str
    framework: str
    precision: Precision
    batch: Dim
    weights: str
    opset: int | None
    size: Size | None
    format: Format
    drawn: tuple[int, ...] = ()


def _finder(store: Store, ref: ModelRef) -> Callable[..., Artifact | None]:
    """export.cache.find_any, of the form in which the operator's own model was exported, and rather for images of the
    model's own size than for those of another that it was exported for, too."""
    options, content, size = options_of(ref), content_of(ref) if ref.is_file else None, model_size(ref)
    like = options.head, options.pixels
    return functools.partial(
        find_any, store, ref, content=content, like=like, prefers=lambda one: size in (None, sizes.own(one))
    )


def _fixed(size: Size | None, ref: ModelRef) -> Options:
    """How to export a model for one size; the model's own needs no word."""
    options = options_of(ref)
    if size is None or size == model_size(ref):
        return options
    height, width = (DimRange(side, side, side) for side in size)
    return replace(options, size=(height, width))


def _ranged(drawn: tuple[int, ...], ref: ModelRef) -> Options:
    """How to export a model for all of these sizes: tuned for its own, where that is one of them."""
    own = model_size(ref)
    tuned = own[0] if own is not None and own[0] == own[1] and own[0] in drawn else drawn[len(drawn) // 2]
    side = DimRange(drawn[0], tuned, drawn[-1])
    return replace(options_of(ref), size=(side, side))


def _draws(artifact: Artifact, size: Size | None, drawn: tuple[int, ...]) -> bool:
    """Whether an artifact takes all sizes that are drawn, and is tuned for the model's own where that is one of them:
    what is measured without a size asked for has that."""
    return sizes.draws(artifact, drawn) and (size is None or size[0] not in drawn or sizes.own(artifact) == size)


def _drawer(cell: Cell) -> tuple[str, str, Precision, str]:
    return cell.model, cell.framework, cell.precision, cell.weights


def model_size(ref: ModelRef) -> Size | None:
    """Of the images that the model itself is for; None where its profile does not tell."""
    if ref.profile is None:
        return None
    height, width = ref.profile.input.shape[-2:]
    return height, width
