"""edgebench paths: where things are."""

from __future__ import annotations

import typer

from edge.cli.common import FleetOption, JsonOption, command, print_json


@command
def paths(fleet: FleetOption = None, json: JsonOption = False) -> None:
    """Print where everything is kept.

    Example: edgebench paths --json
    """
    from edge.places import places

    found = places()
    rows = {
        "fleet": str(found.fleet_file(fleet) or "none (edgebench init writes ./fleet.toml)"),
        "artifacts": str(found.artifacts),
        "results": str(found.results),
        "known_hosts": str(found.known_hosts),
    }
    if json:
        print_json(rows)
        return
    for name, path in rows.items():
        typer.echo(f"{name:12} {path}")
