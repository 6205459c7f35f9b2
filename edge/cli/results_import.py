"""edgebench results import: a bundle of somebody else's measurements, or what another tool measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edge.cli.common import JsonOption, command, print_json, say

if TYPE_CHECKING:
    from edge.results.interop.importing import Asked


@command
def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `results bundle` made, or another tool wrote.")],
    form: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="Another tool's format: docs/interop.md.", show_default="a bundle"),
    ] = None,
    device: Annotated[
        str, typer.Option("--device", "-d", help="With --as: the name of the device it was measured on.")
    ] = "",
    model: Annotated[
        str, typer.Option("--model", help="With --as: what to call the model; the file's own name otherwise.")
    ] = "",
    batch: Annotated[
        int | None, typer.Option("--batch", min=1, help="With --as: the batch, where the file does not tell.")
    ] = None,
    precision: Annotated[
        Literal["fp32", "fp16", "int8"] | None,
        typer.Option("--precision", help="With --as: the precision, where the file does not tell."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Store the measurements of a bundle, or of another tool.

    They are checked and marked as imported; what is here already stays as it is.

    With --as, keep another tool's results, marked as foreign: shown beside ours, and never VALID.

    Example: edgebench results import orin.tar.gz

    Example: edgebench results import times.json --as trtexec-times --device orin-1 --model resnet50
    """
    from device_agents.contract import Precision
    from edge.results.interop.importing import Asked
    from profiles.errors import ConfigError

    if form is None:
        if device or model or batch or precision:
            raise ConfigError("a bundle says itself what was measured", fix="leave the other options out, or say --as")
        _import_bundle(file, json=json)
        return
    if not device:
        raise ConfigError("on which device it was measured is not said", where="--device", fix="name it")
    _import_foreign(file, form, Asked(device, model, batch, precision and Precision(precision)), json=json)


def _import_bundle(file: Path, *, json: bool) -> None:
    from edge.places import places
    from edge.quantities import counted
    from edge.results import unpacking

    came = unpacking.import_bundle(file, places().results)
    if json:
        print_json({"imported": came.new, "kept": came.kept})
        return
    there = f"; {counted(len(came.kept), 'measurement')} of it stayed as they were here" if came.kept else ""
    say(f"{counted(len(came.new), 'measurement')} imported from {file}{there}")


def _import_foreign(file: Path, form: str, asked: Asked, *, json: bool) -> None:
    from edge.places import places
    from edge.report import row_json, rows
    from edge.results.interop.importing import measurement_of
    from edge.results.store import Store

    store = Store(places().results)
    measurement, samples = measurement_of(file, form, asked)
    is_there = store.readable(measurement.id)
    store.add(measurement, samples)
    if json:
        print_json({"measurement": row_json.as_json(rows.read(store, measurement.id)), "is_there": is_there})
        return
    label = f"{measurement.cell.device} {measurement.cell.label}"
    say(f"{'there already' if is_there else 'imported'}: {label}, measurement {measurement.id}")
