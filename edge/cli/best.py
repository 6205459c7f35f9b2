"""edgebench best: which configurations keep limits of latency, throughput and power."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli import completion
from edge.cli.common import (
    DeviceOption,
    FleetOption,
    JsonOption,
    command,
    console_width,
    load_fleet,
    print_json,
    quantity,
    say,
)

if TYPE_CHECKING:
    from device_agents.contract import Timing
    from edge.answers.best import Found
    from edge.answers.limits import Limit
    from edge.answers.measuring import Bench
    from edge.planning.plan import Cell
    from edge.planning.request import Request

_NONE, _FAILED = 4, 1


@command
def best(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="MODEL", help="As for deploy.", autocompletion=completion.models)
    ] = None,
    device: DeviceOption = None,
    p99: Annotated[str | None, typer.Option(help="The longest latency in 100: 33ms.", show_default="any")] = None,
    fps: Annotated[str | None, typer.Option(help="The fewest images a second: 30.", show_default="any")] = None,
    power: Annotated[str | None, typer.Option(help="The most power while it runs: 15W.", show_default="any")] = None,
    batch: Annotated[str, typer.Option(help="Batch sizes to search, comma between.")] = "1,2,4,8,16,32",
    precision: Annotated[
        str | None,
        typer.Option(help="fp32, fp16, int8, comma between.", show_default="fp16 on GPUs, fp32 on CPUs"),
    ] = None,
    backend: Annotated[str, typer.Option(help="Runtimes, comma between; as for deploy.")] = "auto",
    power_mode: Annotated[
        str | None,
        typer.Option(
            "--power-mode",
            help="Of Jetsons, comma between; as for deploy.",
            show_default="as set",
        ),
    ] = None,
    framework: Annotated[str | None, typer.Option(help="As for deploy.", show_default="all that are installed")] = None,
    weights: Annotated[
        str | None, typer.Option(help="As for deploy.", show_default="of the artifact that is there, else pretrained")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="One process a measurement: a first look.")] = False,
    fleet: FleetOption = None,
    json: JsonOption = False,
) -> int:
    """Find what keeps limits: batches, precisions, runtimes, modes.

    It measures as few as that takes.

    Exit code 4 where none does.

    Example: edgebench best resnet18 --device orin-1 --p99 33ms --fps 30 --power 15W

    Example: edgebench best resnet18 --p99 50ms --precision fp32,fp16 --backend tensorrt,onnxruntime
    """
    from dataclasses import replace

    from edge.answers.best import hunt
    from edge.cli.bench import bench_of, picked
    from edge.cli.deploy import batches_of, models_of
    from edge.cli.outcome import say_choices
    from edge.cli.progress import drawn
    from edge.planning.request import Request

    wanted = _limits(p99, fps, power)
    screen, full = _timings(quick)
    base = Request(
        models=models_of(models, load_fleet(fleet)),
        framework=framework,
        backends=tuple(backend.split(",")),
        batches=batches_of(batch),
        weights=weights,
        timing=full,
    )
    requests = [one for request in _by_precision(base, precision) for one in _by_mode(request, power_mode)]
    with drawn() as progress:
        bench = bench_of(base, base.backends, picked(device, fleet, progress), progress, abilities=True)
    grid = _grid(bench, requests)
    say_choices(bench.choices, err=json)
    with drawn() as progress:
        found = hunt(replace(bench, progress=progress), grid, screen, wanted)
    return _print(found, json=json)


def _limits(p99: str | None, fps: str | None, power: str | None) -> tuple[Limit, ...]:
    from edge.answers.limits import limits
    from edge.quantities import parse_latency, parse_per_s, parse_power
    from profiles.errors import ConfigError

    given = (("--p99", p99, parse_latency), ("--fps", fps, parse_per_s), ("--power", power, parse_power))
    if not any(text is not None for _, text, _ in given):
        raise ConfigError("no limit is given", where="best", fix="say --p99 33ms, --fps 30 or --power 15W")
    return limits(*(None if text is None else quantity(reads, text, option) for option, text, reads in given))


def _timings(quick: bool) -> tuple[Timing, Timing]:
    """Of a short run, and of a full measurement, which times enough for a 99th percentile, however long that takes."""
    from dataclasses import replace

    from device_agents.contract import Timing
    from edge.results.stats import SUPPORT

    short = Timing.quick()
    full = short if quick else Timing()
    enough = -int(-SUPPORT[99.0] // full.processes)
    return short, replace(full, iterations=max(full.iterations, enough), cap_s=Timing().cap_s)


def _by_precision(base: Request, text: str | None) -> list[Request]:
    from dataclasses import replace

    from device_agents.contract import Precision
    from profiles.load import unknown

    words = [] if text is None else text.split(",")
    for word in words:
        if word not in tuple(Precision):
            raise unknown("precision", word, list(Precision), where="--precision")
    return [replace(base, precision=Precision(word)) for word in dict.fromkeys(words)] or [base]


def _by_mode(base: Request, text: str | None) -> list[Request]:
    from dataclasses import replace

    modes = [] if text is None else text.split(",")
    return [replace(base, wishes=replace(base.wishes, power_mode=mode)) for mode in dict.fromkeys(modes)] or [base]


def _grid(bench: Bench, requests: list[Request]) -> list[Cell]:
    cells = [cell for request in requests for cell in bench.cells(request)]
    return list({cell.id: cell for cell in cells}.values())


def _print(found: Found, *, json: bool) -> int:
    from edge.cli.outcome import say_failures
    from edge.report import best as report

    if json:
        print_json(report.as_json(found))
    else:
        if found.rows:
            typer.echo(f"\n{report.table(found, console_width())}\n")
        for line in report.sentences(found):
            say(line)
    say_failures(found.failures, err=json)
    if not found.rows:
        return _FAILED
    return 0 if found.meets else _NONE
