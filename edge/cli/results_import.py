"""edgebench results import: what another tool measured, beside what we did."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from edge.cli.common import JsonOption, command, print_json, say


@command
def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that another tool wrote.")],
    form: Annotated[str, typer.Option("--as", metavar="NAME", help="What it is: a format of docs/interop.md.")],
    device: Annotated[str, typer.Option("--device", "-d", help="The name of the device it was measured on.")],
    model: Annotated[str, typer.Option("--model", help="What to call the model; the file's own name otherwise.")] = "",
    batch: Annotated[
        int | None, typer.Option("--batch", min=1, help="The batch, where the file does not tell.")
    ] = None,
    precision: Annotated[
        Literal["fp32", "fp16", "int8"] | None,
        typer.Option("--precision", help="The precision, where the file does not tell."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Keep another tool's results, marked as foreign: shown beside ours, and never VALID."""
    from device_agents.contract import Precision
    from edge.places import places
    from edge.report import rows
    from edge.results.interop.importing import Asked, measurement_of
    from edge.results.store import Store

    store = Store(places().results)
    measurement, samples = measurement_of(file, form, Asked(device, model, batch, precision and Precision(precision)))
    is_there = store.readable(measurement.id)
    store.add(measurement, samples)
    if json:
        print_json({"measurement": rows.as_json(rows.read(store, measurement.id)), "is_there": is_there})
        return
    label = f"{measurement.cell.device} {measurement.cell.label}"
    say(f"{'there already' if is_there else 'imported'}: {label}, measurement {measurement.id}")
