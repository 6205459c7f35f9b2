"""edgebench export: a model from its framework to an artifact."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edge.cli import completion
from edge.cli.common import FleetOption, JsonOption, command, load_fleet, quantity, say

if TYPE_CHECKING:
    from edge.planning.opsets import Ceiling
    from export.models import ModelRef
    from profiles.progress import Progress

ModelArguments = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL",
        help="A profile's name, torchvision:NAME, keras:NAME, a file (.onnx, .pt2, .keras, .h5), a SavedModel folder, "
        "or package.module:factory.",
    ),
]
WeightsHelp = "pretrained, random, or the path of a weights file."

_YOURS = "Models of your own"
_GRAPH = "What the graph is like"
_CHECK = "Checking and calibrating"
_ENGINES = "Engines ahead of time"


@command
def export(
    models: ModelArguments,
    framework: Annotated[
        Literal["pytorch", "tensorflow", "all"] | None,
        typer.Option(help="Which framework's implementation.", show_default="all that are installed"),
    ] = None,
    precision: Annotated[
        Literal["fp32", "fp16", "int8"] | None,
        typer.Option(help="Written into the graph.", show_default="fp32; fp16 with --engine"),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help=WeightsHelp, show_default="pretrained, or those of the last export of a name")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write a plain copy below this folder.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Export and build anew, cached or not.")] = False,
    json: JsonOption = False,
    batch: Annotated[
        str | None,
        typer.Option(help="A number, or dynamic.", show_default="dynamic; 1 with --engine", rich_help_panel=_GRAPH),
    ] = None,
    bounds: Annotated[
        list[str] | None,
        typer.Option(
            help="MIN:OPT:MAX of a dynamic batch; repeat it for several profiles of an engine.", rich_help_panel=_GRAPH
        ),
    ] = None,
    native: Annotated[
        bool,
        typer.Option(
            "--native",
            help="What --backend pytorch and tensorflow run: weights or a SavedModel instead of a graph.",
            rich_help_panel=_GRAPH,
        ),
    ] = False,
    size: Annotated[
        str | None,
        typer.Option(
            help="Of images: 320, 480x640 (height x width), or free within 224:384:512 (MIN:OPT:MAX, of each side).",
            show_default="the model's own",
            rich_help_panel=_GRAPH,
        ),
    ] = None,
    opset: Annotated[
        str | None,
        typer.Option(
            help="A number, or auto: the newest that the runtimes of --device read. A file keeps its own.",
            show_default="18",
            rich_help_panel=_GRAPH,
        ),
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(
            "--device",
            "-d",
            help="Devices that --opset auto asks.",
            autocompletion=completion.devices,
            rich_help_panel=_GRAPH,
        ),
    ] = None,
    fleet: FleetOption = None,
    head: Annotated[
        Literal["full", "raw"] | None,
        typer.Option(
            help="Of a detector: raw leaves NMS out, which TensorRT wants.", show_default="full", rich_help_panel=_GRAPH
        ),
    ] = None,
    preprocess: Annotated[
        Literal["outside", "in-graph"] | None,
        typer.Option(
            help="in-graph takes uint8 NHWC images, as cameras give them.",
            show_default="outside",
            rich_help_panel=_GRAPH,
        ),
    ] = None,
    keras_preprocessing: Annotated[
        Literal["keep", "strip"] | None,
        typer.Option(
            help="Rescaling and Normalization layers of a Keras model; strip moves them to the manifest.",
            show_default="keep",
            rich_help_panel=_GRAPH,
        ),
    ] = None,
    io: Annotated[
        Literal["model", "fp32"],
        typer.Option(help="Type of inputs and outputs of an FP16 graph.", rich_help_panel=_GRAPH),
    ] = "model",
    fp16_method: Annotated[
        Literal["auto", "native", "convert", "autocast"],
        typer.Option(
            help="native: PyTorch's .half(); autocast wants edgebench[modelopt].",
            rich_help_panel=_GRAPH,
        ),
    ] = "auto",
    calibrate: Annotated[
        str | None,
        typer.Option(metavar="DIR|NPZ|random", help="What int8 takes its ranges from.", rich_help_panel=_CHECK),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="A folder of images to check with, beside the seeded ones.", rich_help_panel=_CHECK),
    ] = None,
    skip_unreadable: Annotated[
        bool,
        typer.Option("--skip-unreadable", help="Pass over images that cannot be read.", rich_help_panel=_CHECK),
    ] = False,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Find the first node where a failed export departs from FP32.", rich_help_panel=_CHECK
        ),
    ] = False,
    timeout: Annotated[
        str,
        typer.Option(
            metavar="DURATION", help="How long one step of an export may take, such as 2h.", rich_help_panel=_CHECK
        ),
    ] = "30 min",
    reference: Annotated[
        Path | None,
        typer.Option(
            help="Of an .onnx file: input:NAME and output:NAME arrays from where it was made (.npz).",
            rich_help_panel=_CHECK,
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="What results call your model.", rich_help_panel=_YOURS)] = None,
    version: Annotated[str | None, typer.Option(help="Of your model.", rich_help_panel=_YOURS)] = None,
    input_: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="NAME:DTYPE:SHAPE",
            help="For example images:float32:batch,3,224,224; where the model does not say it.",
            rich_help_panel=_YOURS,
        ),
    ] = None,
    mean: Annotated[
        str | None, typer.Option(help="Of pixels of 0 to 1, a value a channel.", rich_help_panel=_YOURS)
    ] = None,
    std: Annotated[
        str | None, typer.Option(help="Of pixels of 0 to 1, a value a channel.", rich_help_panel=_YOURS)
    ] = None,
    task: Annotated[
        Literal["classification", "segmentation", "detection", "video", "optical_flow", "other"] | None,
        typer.Option(help="What outputs are judged by.", rich_help_panel=_YOURS),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Names of the classes, a line each.", rich_help_panel=_YOURS)
    ] = None,
    unsafe: Annotated[
        bool,
        typer.Option(
            "--unsafe",
            help="Let a .pt2 or .keras file run the code that it holds: only for files you trust.",
            rich_help_panel=_YOURS,
        ),
    ] = False,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="RUNTIME", help="Also build engines here, ahead of time: tensorrt-rtx.", rich_help_panel=_ENGINES
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(help="GPUs to build engines for, comma between: sm80 is an A100.", rich_help_panel=_ENGINES),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option", help="KEY=VALUE for the build, of docs/options.md; repeat it.", rich_help_panel=_ENGINES
        ),
    ] = None,
) -> int:
    """Export models to ONNX, checked against their framework.

    With --engine, to engines for GPUs elsewhere.

    A factory, and a .pt2 or .keras file with --unsafe, run their own code on this machine.

    Example: edgebench export resnet50 --framework all --precision fp16 --weights random

    Example: edgebench export net.onnx --name net --version 3 --precision int8 --calibrate images/ --mean 0 --std 1

    Example: edgebench export resnet50 --engine tensorrt-rtx --target sm80,sm89 --bounds 1:8:32
    """
    from device_agents.contract import Precision
    from edge.cli.export_engines import engine_builder, engines_wanted, graph_batch
    from edge.cli.export_forms import Typed, form
    from edge.cli.export_options import parse_folder
    from edge.cli.export_told import Told
    from edge.cli.progress import drawn
    from edge.places import places
    from edge.planning.make_plan import exports
    from edge.planning.options import parse_bounds
    from edge.quantities import parse_duration
    from export.api import export_model
    from export.artifact import Format, Store
    from export.models import renamed
    from export.native import FORMATS
    from export.registry import register
    from profiles.errors import ConfigError

    if len(models) > 1 and (name or version):
        raise ConfigError("one name is for one model", where="--name", fix="export them one after the other")
    if native and engine:
        raise ConfigError("an engine is built of a graph", where="--native", fix="leave out one of the two")
    store, timeout_s = Store(places().artifacts), quantity(parse_duration, timeout, "--timeout")
    limits = parse_bounds(bounds or [])
    typed = Typed(
        models,
        weights,
        form(
            size=size,
            head=head,
            keras_preprocessing=keras_preprocessing,
            preprocess=preprocess,
            inputs=input_,
            mean=mean,
            std=std,
            task=task,
            labels=labels,
            unsafe=unsafe,
        ),
        {
            "io": io,
            "fp16_method": fp16_method,
            "calibrate": calibrate,
            "images": images,
            "reference": reference,
            "skip_unreadable": skip_unreadable,
        },
    )
    told = Told(json, parse_folder(out))
    wanted = engines_wanted(engine, target, option or [], batch=batch, bounded=bool(limits), fresh=fresh)
    if wanted is not None and precision is None:
        say("chosen: precision fp16 (engines are for GPUs)", err=True)
    with told, drawn() as progress, engine_builder(wanted, store, progress) as builder:
        found = exports(models, framework)
        asked = [(renamed(ref, name, version), its) for ref, its in found]
        opsets = _opsets(opset, device, fleet, asked, progress)
        for (known, _), (ref, its), its_opset in zip(found, asked, opsets, strict=True):
            with told.one():
                options, its_weights = typed.of(known)
                artifact = export_model(
                    ref,
                    framework=its,
                    precision=Precision(precision or ("fp32" if wanted is None else "fp16")),
                    batch=graph_batch(batch, wanted, is_file=ref.path is not None, bounded=bool(limits)),
                    weights=its_weights,
                    store=store,
                    progress=progress,
                    opset=its_opset,
                    bounds=limits,
                    options=options,
                    fresh=fresh,
                    explain=explain,
                    timeout_s=timeout_s,
                    format=FORMATS.get(its, Format.SAVEDMODEL) if native else Format.ONNX,
                )
                register(store, ref, its, options, its_weights)
                told.made([artifact] if builder is None else builder.engines(artifact, progress))
    return told.code


def _opsets(
    text: str | None,
    device: list[str] | None,
    fleet: Path | None,
    asked: Sequence[tuple[ModelRef, str]],
    progress: Progress,
) -> list[int | None]:
    """What each of the pairs is to be written in, None for the default; of auto the choice is told. Errors:
    ConfigError."""
    from edge.cli.export_options import AUTO_OPSET, parse_opset
    from export.api import opsets
    from export.models import ONNX
    from profiles.errors import ConfigError

    number = parse_opset(text)
    if number != AUTO_OPSET:
        if device:
            raise ConfigError("only --opset auto asks devices", where="--device", fix="--opset auto")
        return [number] * len(asked)
    if not device:
        raise ConfigError("auto asks devices, and none is named", where="--opset", fix="--device EXPR")
    highest = _ceiling(device, fleet, progress)
    found: list[int | None] = []
    for ref, framework in asked:
        if ref.kind == ONNX:
            found.append(highest.opset)
            continue
        chosen, why = highest.within(opsets(framework))
        say(f"chosen: {why} for {ref.name}/{framework}", err=True)
        found.append(chosen)
    return found


def _ceiling(device: list[str], fleet: Path | None, progress: Progress) -> Ceiling:
    from edge.inventory.selector import any_of, select
    from edge.places import places
    from edge.planning.choosing import AUTO
    from edge.planning.opsets import ceiling
    from edge.planning.probing import survey

    devices = select(load_fleet(fleet), any_of(device))
    return ceiling(devices, survey((AUTO,), devices, places(), progress, abilities=False))
