"""edgebench results: what was measured."""

from __future__ import annotations

from typing import Annotated

import typer

from edge.cli import completion
from edge.cli.common import FleetOption, JsonOption, command, console_width, print_json
from edge.cli.results_bundle import bundle
from edge.cli.results_export import export
from edge.cli.results_gc import gc
from edge.cli.results_import import import_file
from edge.cli.results_options import ALL, PickDevice, PickModel, PickRun, PickSince, PickVerdict, fleet_for, wanted
from edge.cli.results_query import query

app = typer.Typer(help="Stored measurements.", no_args_is_help=True)


@app.command("list")
@command
def list_results(
    last: Annotated[
        int, typer.Option("--last", help="How many: the newest, or with --sort the first.", min=1, max=ALL)
    ] = 50,
    device: PickDevice = None,
    model: PickModel = None,
    verdict: PickVerdict = None,
    run: PickRun = None,
    since: PickSince = None,
    sort: Annotated[
        str | None,
        typer.Option(
            help="A column of docs/results.md, - before it for the largest first.",
            show_default="stored_at, the newest last",
        ),
    ] = None,
    fleet: FleetOption = None,
    json: JsonOption = False,
) -> None:
    """List measurements, oldest first.

    Example: edgebench results list --device orin --verdict VALID --since 7d --sort median_ms
    """
    from edge.cli.progress import drawn
    from edge.places import places
    from edge.report import row_json, rows, table
    from edge.results.catalogue import pick
    from edge.results.store import Store
    from profiles.errors import ResultError

    store = Store(places().results)
    asked = wanted(device, model, verdict, run, since)
    with drawn() as progress:
        picked = pick(places().results, asked, progress, fleet=fleet_for(device, fleet), most=last, sort=sort)
    found, damaged = [], []
    for name in picked.ids:
        try:
            found.append(rows.read(store, name))
        except ResultError as error:
            damaged.append(error)
    if json:
        print_json(
            {
                "measurements": [row_json.as_json(row) for row in found],
                "lotteries": row_json.lotteries_as_json(found),
                "damaged": [e.info() for e in damaged],
                "total": picked.total,
            }
        )
        return
    for mistake in damaged:
        typer.echo(f"edgebench: {mistake}", err=True)
    if not found and not damaged:
        typer.echo(_nothing(any(one is not None for one in (device, model, verdict, run, since))))
    if not found:
        return
    typer.echo(table.measurements(found, ids=True, width=console_width()))
    if picked.total > last:
        typer.echo(f"{'the first' if sort else 'the last'} {last} of {picked.total}; --last N shows more")


def _nothing(filtered: bool) -> str:
    if filtered:
        return "no measurement is so; `edgebench results list` shows those there are"
    return "no measurements yet; make one with: edgebench deploy resnet18 --weights random --quick"


@app.command("show")
@command
def show(
    measurement: Annotated[
        str, typer.Argument(metavar="ID", help="An id, or how it begins.", autocompletion=completion.measurements)
    ],
    include_invalid: Annotated[
        bool, typer.Option("--include-invalid", help="Set drawn sizes against INVALID measurements of them, too.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Show one measurement: figures, verdict, device, versions.

    Example: edgebench results show 8ebbb59e
    """
    from edge.cli.progress import drawn
    from edge.places import places
    from edge.report import overhead, row_json, rows
    from edge.report.details import details
    from edge.results.store import Store
    from edge.results.watched import Watched

    store = Store(places().results)
    stored = store.get(store.find(measurement))
    samples = store.samples_ns(stored)
    row = rows.Row.from_samples(stored, samples)
    with drawn() as progress:
        over = overhead.stored(row, places().results, progress, invalid=include_invalid)
    if json:
        print_json({**row_json.as_json(row), "overhead": over, "measurement": row.measurement})
        return
    typer.echo(details(row, Watched(stored.result, samples), console_width(), over))
    typer.echo(f"files: {store.folder(row.measurement.id)}")


app.command("query")(query)
app.command("export")(export)
app.command("bundle")(bundle)
app.command("import")(import_file)
app.command("gc")(gc)
