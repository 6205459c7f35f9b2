"""edgebench results: what was measured."""

from __future__ import annotations

from typing import Annotated

import typer

from edge.cli import results_export, results_import
from edge.cli.common import JsonOption, command, console_width, print_json

app = typer.Typer(help="Stored measurements.", no_args_is_help=True)
app.command("export")(results_export.export)
app.command("import")(results_import.import_file)


@app.command("list")
@command
def list_results(
    last: Annotated[int, typer.Option("--last", help="How many, counted from the newest.", min=1)] = 50,
    json: JsonOption = False,
) -> None:
    """List measurements, oldest first."""
    from edge.places import places
    from edge.report import rows, table
    from edge.results.store import Store
    from profiles.errors import ResultError

    store = Store(places().results)
    found, damaged = [], []
    ids = store.ids()
    for name in ids[-last:]:
        try:
            found.append(rows.read(store, name))
        except ResultError as error:
            damaged.append(error)
    if json:
        print_json(
            {
                "measurements": [rows.as_json(row) for row in found],
                "lotteries": rows.lotteries_as_json(found),
                "damaged": [e.info() for e in damaged],
            }
        )
        return
    for mistake in damaged:
        typer.echo(f"edgebench: {mistake}", err=True)
    if not found:
        typer.echo("no measurements yet; make one with: edgebench deploy resnet18 --weights random --quick")
        return
    typer.echo(table.measurements(found, ids=True, width=console_width()))
    if len(ids) > last:
        typer.echo(f"the last {last} of {len(ids)}; --last N shows more")


@app.command("show")
@command
def show(
    measurement: Annotated[str, typer.Argument(metavar="ID", help="An id, or how it begins.")],
    json: JsonOption = False,
) -> None:
    """Show one measurement: figures, verdict with reasons, device, versions."""
    from edge.places import places
    from edge.report import rows
    from edge.report.details import details
    from edge.results.store import Store

    store = Store(places().results)
    row = rows.read(store, store.find(measurement))
    if json:
        print_json({**rows.as_json(row), "measurement": row.measurement})
        return
    typer.echo(details(row, console_width()))
    typer.echo(f"files: {store.folder(row.measurement.id)}")
