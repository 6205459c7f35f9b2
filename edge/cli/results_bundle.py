"""edgebench results bundle and import: passing measurements on, and taking in those of others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge.cli.common import FleetOption, JsonOption, command, print_json, say
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
def bundle(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The archive: .tar.gz or .zip.")],
    measurements: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="Ids, or how they begin; or --run and the like.")
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
    """Put measurements into one archive: results, samples, what was asked for, manifests, hashes; no weights, no hosts.

    Example: edgebench results bundle orin.tar.gz --device orin --verdict VALID
    """
    import hashlib

    from edge import version
    from edge.cli.progress import drawn
    from edge.places import places
    from edge.quantities import counted, told_bytes
    from edge.results import bundle as work
    from edge.results.catalogue import pick
    from edge.results.filters import Filter
    from edge.results.store import Store
    from export.artifact import Store as Artifacts
    from profiles.errors import ConfigError

    store, asked = Store(places().results), wanted(device, model, verdict, run, since)
    if bool(measurements) == (asked != Filter() or last is not None):
        raise ConfigError("say which measurements, by ids or by --run, --device, --last ...", where="ID")
    if measurements:
        ids = [store.find(one) for one in measurements]
    else:
        with drawn() as progress:
            known = fleet_for(device, fleet)
            ids = list(pick(places().results, asked, progress, fleet=known, most=last or ALL).ids)
    manifest = work.bundle(file, ids, store, Artifacts(places().artifacts), version())
    digest, count = hashlib.sha256(file.read_bytes()).hexdigest(), len(manifest.measurements)
    if json:
        print_json({"file": str(file), "sha256": digest, "measurements": manifest.measurements})
        return
    say(f"{counted(count, 'measurement')}, {told_bytes(file.stat().st_size)} in {file}")
    say(f"sha256 {digest}")


@command
def import_bundle(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `results bundle` made.")],
    json: JsonOption = False,
) -> None:
    """Check a bundle and store its measurements, marked as imported. What is here already stays as it is.

    Example: edgebench results import orin.tar.gz
    """
    from edge.places import places
    from edge.quantities import counted
    from edge.results import unpacking

    came = unpacking.import_bundle(file, places().results)
    if json:
        print_json({"imported": came.new, "kept": came.kept})
        return
    there = f"; {counted(len(came.kept), 'measurement')} of it stayed as they were here" if came.kept else ""
    say(f"{counted(len(came.new), 'measurement')} imported from {file}{there}")
