"""edgebench results bundle: passing measurements on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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


@command
def bundle(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The archive: .tar.gz or .zip.")],
    measurements: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ID", help="Ids, or how they begin; or --run and the like.", autocompletion=completion.measurements
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
    """Put measurements into one archive that others can import.

    It holds results, samples, what was asked for, manifests and hashes; no weights, no hosts.

    Example: edgebench results bundle orin.tar.gz --device orin --verdict VALID
    """
    import hashlib

    from edge import version
    from edge.places import places
    from edge.quantities import counted, told_bytes
    from edge.results import bundle as work
    from edge.results.filters import Filter
    from edge.results.store import Store
    from export.artifact import Store as Artifacts
    from profiles.errors import ConfigError

    store, asked = Store(places().results), wanted(device, model, verdict, run, since)
    if not measurements and asked == Filter() and last is None:
        raise ConfigError("say which measurements, by ids or by --run, --device, --last ...", where="ID")
    ids = chosen(store, measurements, asked, last, fleet_for(device, fleet))
    manifest = work.bundle(file, ids, store, Artifacts(places().artifacts), version())
    digest, count = hashlib.sha256(file.read_bytes()).hexdigest(), len(manifest.measurements)
    if json:
        print_json({"file": str(file), "sha256": digest, "measurements": manifest.measurements})
        return
    say(f"{counted(count, 'measurement')}, {told_bytes(file.stat().st_size)} in {file}")
    say(f"sha256 {digest}")
