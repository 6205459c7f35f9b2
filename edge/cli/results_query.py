"""edgebench results query: other questions to what was measured."""

from __future__ import annotations

from typing import Annotated

import typer

from edge.cli.common import FleetOption, JsonOption, command, console_width, print_json
from edge.cli.results_options import (
    PickDevice,
    PickModel,
    PickRun,
    PickSince,
    PickVerdict,
    fleet_for,
    wanted,
)

_WHOLE = 1_000_000  # columns where no terminal is: other programs read whole values


@command
def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT over the views of docs/results.md.")],
    csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values.")] = False,
    device: PickDevice = None,
    model: PickModel = None,
    verdict: PickVerdict = None,
    run: PickRun = None,
    since: PickSince = None,
    fleet: FleetOption = None,
    json: JsonOption = False,
) -> None:
    """Ask the measurements in SQL; nothing can be changed.

    The views: measurements, samples, devices, artifacts, verdicts.

    Example: edgebench results query "SELECT device, min(median_ms) FROM measurements GROUP BY 1"
    """
    from edge.cli.progress import drawn
    from edge.places import places
    from edge.report import answers
    from edge.results.query import answered
    from profiles.errors import ConfigError

    if csv and json:
        raise ConfigError("--csv and --json are two outputs; choose one")
    asked, known = wanted(device, model, verdict, run, since), fleet_for(device, fleet)
    with drawn() as progress, answered(places().results, sql, asked, progress, fleet=known) as answer:
        found = answers.read(answer)
    if json:
        print_json(answers.as_json(found))
    elif csv:
        typer.echo(answers.as_csv(found), nl=False)
    else:
        typer.echo(answers.table(found, console_width(plenty=_WHOLE)))
