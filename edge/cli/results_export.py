"""edgebench results export: measurements as a file that other tools read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli.common import JsonOption, command, print_json, say

if TYPE_CHECKING:
    from edge.results.interop.given import Given
    from edge.results.store import Store

_STDOUT = "-"


@command
def export(
    measurements: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids, or how they begin.")],
    form: Annotated[str, typer.Option("--format", metavar="NAME", help="A format of docs/interop.md.")],
    out: Annotated[str, typer.Option("--out", metavar="FILE", help="The file to write; - is stdout.")],
    json: JsonOption = False,
) -> None:
    """Write measurements in the format of another tool, by their own figures and samples."""
    from edge.places import places
    from edge.results.interop import writer
    from edge.results.store import Store
    from profiles.errors import ConfigError

    if json and out == _STDOUT:
        raise ConfigError("stdout can have one of --json and --out -", fix="write to a file")
    store, write = Store(places().results), writer(form)
    given = [_given(store, store.find(name)) for name in measurements]
    data = write(given)
    if out == _STDOUT:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    _write(Path(out), data)
    if json:
        ids = [one.measurement.id for one in given]
        print_json({"written": out, "format": form, "bytes": len(data), "measurements": ids})
        return
    say(f"{out}: {len(data)} bytes of {form}")


def _given(store: Store, name: str) -> Given:
    from edge.report import rows
    from edge.results.interop.given import Given

    row = rows.read(store, name)
    return Given(row.measurement, row.summary, row.verdict, row.watched, store.samples_ns(row.measurement))


def _write(path: Path, data: bytes) -> None:
    """Errors: ConfigError where the file cannot be written."""
    from profiles.errors import ConfigError

    try:
        path.write_bytes(data)
    except OSError as error:
        raise ConfigError(f"cannot be written ({error.strerror})", where=str(path)) from None
