"""edgebench devices canary: which board is unlike the others of its kind, or unlike itself."""

from __future__ import annotations

from typing import Annotated

import typer

from edge.cli import completion
from edge.cli.common import FleetOption, JsonOption, command, console_width, load_fleet, print_json, say

_FLAGGED = 4


@command
def canary(
    expr: Annotated[
        str | None,
        typer.Argument(
            metavar="EXPR",
            help="Names, groups, tags, profiles or families.",
            show_default="all",
            autocompletion=completion.devices,
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Another model, with a history of its own.", show_default="resnet18")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="One process a board, and a history of its own.")] = False,
    fleet: FleetOption = None,
    json: JsonOption = False,
) -> int:
    """Time one fixed model on boards that should be equal.

    It tells which is unlike the others, or unlike itself before.

    Exit code 4 where one is.

    Example: edgebench devices canary orin
    """
    from dataclasses import replace

    from edge.agent.expansion import pick
    from edge.answers import canary as work
    from edge.cli.bench import bench_of
    from edge.cli.outcome import print_failures, say_choices
    from edge.cli.progress import drawn
    from edge.inventory.selector import ARGUMENT
    from edge.places import places
    from edge.report import canary as report

    base = work.request(model, quick=quick)
    with drawn() as progress:
        devices = pick(load_fleet(fleet), expr or "all", places(), progress, ARGUMENT)
        bench = bench_of(base, base.backends, devices, progress)
    cells = work.cells_of(bench)
    say_choices(bench.choices, err=json)
    with drawn() as progress:
        found = work.run(cells, replace(bench, progress=progress))
    if json:
        print_json({"choices": bench.choices.lines, **report.as_json(found)})
    else:
        if found.boards:
            typer.echo(f"\n{report.table(found.boards, console_width())}\n")
        for line in report.sentences(found):
            say(line)
    print_failures(found.deployment, err=json)
    return _FLAGGED if found.flagged else found.deployment.exit_code
