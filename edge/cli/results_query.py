"""edgebench results query and export: what was measured, for other programs and other questions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge.cli.common import FleetOption, JsonOption, command, console_width, print_json, say
from edge.cli.results_options import (
    ALL,
    Last,
    PickDevice,
    PickModel,
    PickRun,
    PickSince,
    PickVerdict,
    fleet_for,
    wanted,
)


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
    """Ask the measurements in SQL: views measurements, samples, devices, artifacts, verdicts. Nothing can be changed.

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
        typer.echo(answers.table(found, console_width()))


@command
def export(
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")],
    form: Annotated[
        str | None, typer.Option("--format", help="csv, jsonl or parquet.", show_default="as the file is called")
    ] = None,
    device: PickDevice = None,
    model: PickModel = None,
    verdict: PickVerdict = None,
    run: PickRun = None,
    since: PickSince = None,
    last: Last = None,
    fleet: FleetOption = None,
    json: JsonOption = False,
) -> None:
    """Write the figures of measurements to a file, for other programs.

    Example: edgebench results export --device orin --out orin.csv
    """
    from edge.cli.progress import drawn
    from edge.places import places
    from edge.quantities import counted
    from edge.results import formats
    from edge.results.catalogue import pick, read_all
    from profiles.errors import ConfigError

    name = form or out.suffix.removeprefix(".")
    if name not in formats.WRITERS:
        known = ", ".join(sorted(formats.WRITERS))
        raise ConfigError(f"no format {name!r}; there are: {known}", where="--format", fix="name one of them")
    asked = wanted(device, model, verdict, run, since)
    with drawn() as progress:
        picked = pick(places().results, asked, progress, fleet=fleet_for(device, fleet), most=last or ALL)
        damaged: list[str] = []
        formats.write(name, read_all(places().results, picked.ids, damaged), out)
    for mistake in damaged:
        say(f"edgebench: left out: {mistake}", err=True)
    written = len(picked.ids) - len(damaged)
    if json:
        print_json({"file": str(out), "format": name, "measurements": written, "damaged": damaged})
    else:
        say(f"{counted(written, 'measurement')} in {out}")
