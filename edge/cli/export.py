"""edgebench export: a model from its framework to an artifact."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edge.cli.common import JsonOption, command, print_json, say

if TYPE_CHECKING:
    from edge.engines import Ahead, AheadOfTime
    from export.artifact import Artifact, Store
    from profiles.progress import Progress

ModelArguments = Annotated[
    list[str], typer.Argument(metavar="MODEL", help="A profile's name, torchvision:NAME, keras:NAME or FILE.onnx.")
]
WeightsHelp = "pretrained, random, or the path of a weights file."


@command
def export(
    models: ModelArguments,
    framework: Annotated[
        Literal["pytorch", "tensorflow", "all"] | None,
        typer.Option(help="Which framework's implementation.", show_default="all that are installed"),
    ] = None,
    precision: Annotated[
        Literal["fp32", "fp16"] | None,
        typer.Option(help="FP16 is written into the graph.", show_default="fp32; fp16 with --engine"),
    ] = None,
    batch: Annotated[
        str | None, typer.Option(help="A number, or dynamic.", show_default="dynamic; 1 with --engine")
    ] = None,
    bounds: Annotated[
        list[str] | None,
        typer.Option(help="MIN:OPT:MAX of a dynamic batch; repeat it for several profiles of an engine."),
    ] = None,
    opset: Annotated[
        int | None, typer.Option(help="TensorRT 8 reads 17 at most; a file keeps its own.", show_default="18")
    ] = None,
    weights: Annotated[str, typer.Option(help=WeightsHelp)] = "pretrained",
    engine: Annotated[
        str | None, typer.Option(metavar="RUNTIME", help="Also build engines here, ahead of time: tensorrt-rtx.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="GPUs to build engines for, comma between: sm80 is an A100.")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", help="KEY=VALUE for the build, of docs/options.md; repeat it.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write a plain copy below this folder.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Export and build anew, cached or not.")] = False,
    json: JsonOption = False,
) -> None:
    """Export models to ONNX, checked against their framework; with --engine, to engines for GPUs elsewhere.

    Example: edgebench export resnet50 --framework all --precision fp16 --weights random

    Example: edgebench export resnet50 --engine tensorrt-rtx --target sm80,sm89 --bounds 1:8:32
    """
    from device_agents.contract import Precision
    from edge.cli.options import parse_bounds
    from edge.cli.progress import drawn
    from edge.places import places
    from edge.planning import exports
    from export.api import export_model, write_copy
    from export.artifact import Store

    store = Store(places().artifacts)
    limits = parse_bounds(bounds or [])
    wanted = _ahead(engine, target, option or [], batch=batch, bounded=bool(limits), fresh=fresh)
    if wanted is not None and precision is None:
        say("chosen: precision fp16 (engines are for GPUs)", err=True)
    made: list[Artifact] = []
    with drawn() as progress, _builder(wanted, store, progress) as builder:
        for ref, name in exports(models, framework):
            artifact = export_model(
                ref,
                framework=name,
                precision=Precision(precision or ("fp32" if wanted is None else "fp16")),
                batch=_batch(batch, wanted, is_file=ref.path is not None, bounded=bool(limits)),
                weights=weights,
                store=store,
                progress=progress,
                opset=opset,
                bounds=limits,
                fresh=fresh,
            )
            made += [artifact] if builder is None else builder.engines(artifact, progress)
    copies = [write_copy(artifact, out) if out is not None else None for artifact in made]
    if json:
        print_json({"artifacts": [_as_json(*pair) for pair in zip(made, copies, strict=True)]})
        return
    for artifact, copy in zip(made, copies, strict=True):
        _print(artifact, copy)


def _ahead(
    engine: str | None, target: str | None, options: list[str], *, batch: str | None, bounded: bool, fresh: bool
) -> Ahead | None:
    """Which engines to build, None for none. Errors: ConfigError for what cannot be built here."""
    from edge.cli.options import parse_options
    from edge.engines import RUNTIME, TARGETS, Ahead, parse_targets
    from export.api import MAX_BATCH
    from profiles.errors import ConfigError
    from profiles.load import unknown

    if engine is None:
        if target is not None or options:
            where = "--option" if target is None else "--target"
            raise ConfigError("it is for an engine, and none is asked for", where=where, fix=f"--engine {RUNTIME}")
        return None
    if engine == "tensorrt":
        fix = f"`edgebench deploy` does that; --engine {RUNTIME} is for GPUs that are not here"
        raise ConfigError("TensorRT engines are built on the device that runs them", where="--engine", fix=fix)
    if engine != RUNTIME:
        raise unknown("runtime to build for", engine, (RUNTIME,), where="--engine")
    if target is None:
        raise ConfigError("an engine is for one kind of GPU", where="--engine", fix=f"--target {','.join(TARGETS)}")
    if batch == "dynamic" and not bounded:
        fix = "say what it may be, such as --bounds 1:8:32"
        raise ConfigError("an engine takes no batch without bounds", where="--batch", fix=fix)
    number = _number(batch) if batch and batch != "dynamic" else 1
    if not 1 <= number <= MAX_BATCH:
        raise ConfigError(f"{number} is not between 1 and {MAX_BATCH}", where="--batch")
    return Ahead(parse_targets(target), number, parse_options(options), fresh)


@contextmanager
def _builder(wanted: Ahead | None, store: Store, progress: Progress) -> Iterator[AheadOfTime | None]:
    if wanted is None:
        yield None
        return
    from edge.cli.common import load_fleet
    from edge.engines import ahead_of_time
    from edge.inventory import LOCAL
    from edge.places import places

    with ahead_of_time(wanted, load_fleet(None).devices[LOCAL], store, places(), progress) as builder:
        yield builder


def _batch(text: str | None, wanted: Ahead | None, *, is_file: bool, bounded: bool) -> int | str:
    """Of the ONNX graph. That of an engine is dynamic whatever the engine's, so that it is the one that `deploy` takes,
    but a user's file is fixed to it, as it may have a fixed one already."""
    if wanted is not None and not bounded:
        return wanted.batch if is_file else "dynamic"
    return _number(text) if text and text != "dynamic" else "dynamic"


def _number(text: str) -> int:
    from profiles.errors import ConfigError

    if not text.isascii() or not text.isdigit():
        raise ConfigError(f"{text!r} is neither a number nor dynamic", where="--batch")
    return int(text)


def _as_json(artifact: Artifact, copy: Path | None) -> dict[str, object]:
    from device_agents.contract import to_json

    return {**to_json(artifact), "path": str(artifact.path), **({"copy": str(copy)} if copy else {})}


def _print(artifact: Artifact, copy: Path | None) -> None:
    from export.artifact import Format, Parity

    parity = artifact.parity
    if isinstance(parity, Parity):
        label = f" ({parity.label})" if parity.label else ""
        checked = f"parity {parity.error:.2g} of at most {parity.limit:.2g}{label}"
    else:
        checked = f"parity not checked: {parity.reason}"
    profiles = ", ".join(str(bounds) for profile in artifact.profiles for bounds in profile.values())
    batch = f"batch {artifact.batch}" + (f" ({profiles})" if profiles else "")
    graph, engine = artifact.graph, artifact.format is Format.ENGINE
    built = f", engine for {artifact.target} by {_runtime(artifact)}" if engine else ""
    say(f"{artifact.model} {artifact.framework} {artifact.precision} {batch}{built}: {artifact.short_id}")
    if engine:
        size = next(entry.size for entry in artifact.files if entry.name == artifact.model_file)
        say(f"  {checked}; {size / 1e6:.1f} MB, of artifact {(artifact.parent or '')[:12]}, weights {artifact.weights}")
    else:
        say(
            f"  {checked}; nodes {graph.nodes}, transposes {graph.transposes}, {graph.parameters / 1e6:.1f} M "
            f"parameters, {graph.macs / 1e9:.2f} GMAC a sample, opset {graph.opset}, weights {artifact.weights}"
        )
    typer.echo(f"  {copy or artifact.path / artifact.model_file}")


def _runtime(artifact: Artifact) -> str:
    from edge.engines import RUNTIME

    return f"{RUNTIME} {artifact.produced_by[RUNTIME]}"
