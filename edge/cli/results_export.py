"""edgebench results export: measurements as a file that other programs read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli import completion
from edge.cli.common import FleetOption, JsonOption, command, print_json, say
from edge.cli.results_options import (
    Last,
    PickDevice,
    PickModel,
    PickRun,
    PickSince,
    PickVerdict,
    chosen,
    fleet_for,
    wanted,
)

if TYPE_CHECKING:
    from edge.results.store import Store

_STDOUT = "-"


@command
def export(
    measurements: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ID", help="Ids, or how they begin; or --run and the like.", autocompletion=completion.measurements
        ),
    ] = None,
    out: Annotated[str, typer.Option("--out", "-o", metavar="FILE", help="The file to write; - is stdout.")] = _STDOUT,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="csv, jsonl, parquet, or another tool's: docs/interop.md.",
            show_default="as the file is called",
        ),
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
    """Write measurements to a file, as a table or for another tool.

    Example: edgebench results export --device orin --out orin.csv

    Example: edgebench results export 3f9a --format chrome-trace --out trace.json
    """
    from edge.places import places
    from edge.quantities import counted
    from edge.results import formats
    from edge.results.store import Store
    from profiles.errors import ConfigError

    if json and out == _STDOUT:
        raise ConfigError("stdout can have one of --json and the file", fix="name a file with --out")
    name = formats.named(form or Path(out).suffix.removeprefix("."))
    store = Store(places().results)
    ids = chosen(store, measurements, wanted(device, model, verdict, run, since), last, fleet_for(device, fleet))
    damaged = _print(name, store, ids) if out == _STDOUT else formats.write(name, store, ids, Path(out))
    for mistake in damaged.values():
        say(f"edgebench: left out: {mistake}", err=True)
    written = [one for one in ids if one not in damaged]
    if json:
        print_json({"file": out, "format": name, "measurements": written, "damaged": list(damaged.values())})
    elif out != _STDOUT:
        say(f"{counted(len(written), 'measurement')} in {out}")


def _print(name: str, store: Store, ids: list[str]) -> dict[str, str]:
    import tempfile

    from edge.results import formats

    with tempfile.TemporaryDirectory(prefix="edgebench-") as folder:
        file = Path(folder) / "out"
        damaged = formats.write(name, store, ids, file)
        sys.stdout.buffer.write(file.read_bytes())
        sys.stdout.buffer.flush()
    return damaged
