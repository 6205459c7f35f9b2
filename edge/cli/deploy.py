"""edgebench deploy: export, ship, time on the devices, bring back, say what it is worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edge.cli import completion
from edge.cli.common import DeviceOption, FleetOption, JsonOption, command, load_fleet, print_json
from edge.cli.export import WeightsHelp

if TYPE_CHECKING:
    from edge.inventory.devices import Fleet
    from edge.releases.making import Wish


@command
def deploy(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL", help="As for export, or the --name of one.", autocompletion=completion.models),
    ] = None,
    device: DeviceOption = None,
    framework: Annotated[
        Literal["pytorch", "tensorflow", "onnx", "all"] | None,
        typer.Option(help="Which framework's export.", show_default="all that are installed"),
    ] = None,
    backend: Annotated[
        str,
        typer.Option(help="Runtimes to compare, comma between; auto takes the first of the profile's that is there."),
    ] = "auto",
    precision: Annotated[
        Literal["fp32", "fp16", "int8"] | None,
        typer.Option(help="int8 takes what `export` calibrated.", show_default="fp16 on GPUs, fp32 on CPUs"),
    ] = None,
    batch: Annotated[str | None, typer.Option(help="Batch sizes, comma between.", show_default="1")] = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="Sizes of the images, height first, comma between: 224,384x320.", show_default="what it is tuned for"
        ),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help=WeightsHelp, show_default="of the artifact that is there, else pretrained")
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option(
            help="Load: serial, pipelined, rate:FPS[,poisson][,timeout:50ms], soak:10m, sizes:224-512.",
            show_default="serial",
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="One process, at most 4 s: a first look.")] = False,
    processes: Annotated[int | None, typer.Option(help="Fresh processes a cell.", show_default="5; soak 1")] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", help="KEY=VALUE for the backend, of docs/options.md; repeat it.")
    ] = None,
    hot_input: Annotated[bool, typer.Option("--hot-input", help="One input buffer: it stays in the cache.")] = False,
    transfers: Annotated[bool, typer.Option(help="Copy inputs and outputs in the timed part.")] = True,
    cold: Annotated[
        bool, typer.Option("--cold", help="The first process starts with model and runtime out of the page cache.")
    ] = False,
    inputs: Annotated[
        Path | None, typer.Option(help="Your own data: an .npz, or a folder of arrays or images.", show_default="noise")
    ] = None,
    dataset: Annotated[
        Path | None,
        typer.Option(
            help="Labelled images, a folder a class: top-1 and top-5 through the timed engine.", show_default="none"
        ),
    ] = None,
    bounds: Annotated[
        list[str] | None,
        typer.Option(
            help="MIN:OPT:MAX batch of an engine; repeat it for several profiles.", show_default="what was exported"
        ),
    ] = None,
    builds: Annotated[int, typer.Option(help="Engines to build and time: how much does one differ from the next?")] = 1,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Build engines anew, cached or not.")] = False,
    engines: Annotated[
        Literal["own", "per-class", "ahead"],
        typer.Option(help="Whose engine: the device's own, its profile's builder's, or of `export --engine`."),
    ] = "own",
    check_with: Annotated[
        Literal["trtexec"] | None, typer.Option(help="A second opinion on the same engine.", show_default="none")
    ] = None,
    lock_clocks: Annotated[
        bool, typer.Option("--lock-clocks", help="At their highest while it measures; put back afterwards.")
    ] = False,
    power_mode: Annotated[
        str | None,
        typer.Option(help="Of a Jetson, while it measures; put back afterwards.", show_default="the one that is set"),
    ] = None,
    persistence: Annotated[bool, typer.Option("--persistence", help="A driver that stays loaded meanwhile.")] = False,
    shared: Annotated[bool, typer.Option("--shared", help="Beside its product: no `quiesce` of fleet.toml.")] = False,
    release: Annotated[
        str | None, typer.Option(metavar="VERSION", help="Keep what was measured on its device.", show_default="none")
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(help="What a release has to keep: 'p99<33ms,throughput>=30/s'.", show_default="no INVALID"),
    ] = None,
    activate: Annotated[bool, typer.Option("--activate", help="Make the release the current one there.")] = False,
    repeat_invalid: Annotated[
        int, typer.Option(help="Measure anew what is INVALID for what may pass, so often.", min=0, max=10)
    ] = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure anew, do not take up an unfinished run.")] = False,
    fleet: FleetOption = None,
    json: JsonOption = False,
) -> int:
    """Export, ship, measure models on devices, bring the results back.

    Example: edgebench deploy resnet18 --device orin --batch 1,8
    """
    import time

    from device_agents.contract import Precision, Timing
    from edge import deploy as work
    from edge.agent.expansion import pick
    from edge.cli.outcome import as_json, print_deployment, say_choices
    from edge.cli.progress import drawn
    from edge.inventory.selector import any_of
    from edge.places import places
    from edge.planning.choosing import Choices
    from edge.planning.classes import builders
    from edge.planning.control import Wishes
    from edge.planning.make_plan import make_plan
    from edge.planning.options import parse_bounds, parse_options, parse_sizes
    from edge.planning.plan import OWN, PER_CLASS
    from edge.planning.probing import survey
    from edge.planning.request import Request
    from edge.releases.making import check_plan
    from edge.running.journal import Begin
    from edge.running.policy import Policy
    from export.artifact import Store

    begin = time.monotonic()
    wish = _wish(release, require, activate)
    known = load_fleet(fleet)
    names = models_of(models, known)
    with drawn() as progress:
        devices = pick(known, any_of(device or ["local"]), places(), progress)
    request = Request(
        models=names,
        framework=framework,
        backends=tuple(backend.split(",")),
        precision=Precision(precision) if precision else None,
        batches=batches_of(batch) if batch is not None else None,
        weights=weights,
        pattern=pattern,
        timing=Timing.chosen(quick),
        processes=processes,
        options=parse_options(option or []),
        hot_input=hot_input,
        transfers=transfers,
        bounds=parse_bounds(bounds or []),
        builds=builds,
        rebuild=rebuild,
        inputs=inputs,
        dataset=dataset,
        check_with=check_with,
        engines=engines,
        sizes=parse_sizes(size) if size is not None else None,
        wishes=Wishes(lock_clocks, power_mode, persistence, shared),
        cold=cold,
    )
    for each in devices:
        request.wishes.check(each)
    builds_for = builders(known, devices) if engines == PER_CLASS else None
    choices = Choices()
    again = Begin.FRESH if fresh else Begin.GO_ON
    with drawn() as progress:
        abilities = builds > 1 or engines != OWN or bool(option)
        found = survey(request.backends, devices, places(), progress, abilities=abilities)
    plan = make_plan(request, devices, Store(places().artifacts), choices, found, builds_for)
    if wish is not None:
        check_plan(plan)
    say_choices(choices, err=json)
    with drawn() as progress:
        deployment = work.deploy(
            request,
            plan,
            devices,
            places(),
            progress,
            survey=found,
            begin=again,
            since=begin,
            wish=wish,
            policy=Policy(repeat_invalid=repeat_invalid),
        )
    if json:
        print_json(as_json(deployment, choices))
    else:
        print_deployment(deployment)
    return deployment.exit_code


def _wish(version: str | None, require: list[str] | None, activate: bool) -> Wish | None:
    from edge.releases.making import Wish
    from edge.releases.requirements import parse_requirements
    from profiles.errors import ConfigError

    if version is not None:
        return Wish(version, parse_requirements(require or []), activate)
    for option, given in (("--require", require), ("--activate", activate)):
        if given:
            raise ConfigError("is about a release, and none is made", where=option, fix="add --release VERSION")
    return None


def models_of(models: list[str] | None, fleet: Fleet) -> tuple[str, ...]:
    from edge.planning.models import resolve
    from profiles.errors import ConfigError
    from profiles.load import model_profile_names

    if models:
        return tuple(models)
    if fleet.models:
        for name in fleet.models:
            try:
                resolve(name)
            except ConfigError as error:
                where = f"{fleet.where}, key 'deploy.models'"
                raise ConfigError(error.message, where=where, fix=error.fix) from None
        return fleet.models
    known = ", ".join(model_profile_names())
    raise ConfigError(f"no model is named; these could be deployed: {known}", fix="name one, or set [deploy] models")


def batches_of(text: str) -> tuple[int, ...]:
    from profiles.errors import ConfigError

    words = text.split(",")
    if not all(word.isascii() and word.isdigit() and 1 <= int(word) <= 4096 for word in words):
        raise ConfigError(f"{text!r} is no list of numbers from 1 to 4096", where="--batch", fix="for example 1,8,32")
    return tuple(dict.fromkeys(map(int, words)))
