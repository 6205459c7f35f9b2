"""edgebench profiles: the devices and models that are known by name."""

from __future__ import annotations

from typing import Annotated

import typer

from edge.cli import completion
from edge.cli.common import JsonOption, command, console_width, print_json

app = typer.Typer(help="Device and model profiles.", no_args_is_help=True)


@app.command("list")
@command
def list_profiles(json: JsonOption = False) -> None:
    """List the device and model profiles.

    Example: edgebench profiles list
    """
    from edge.report.columns import Column, Spare, listing
    from profiles import load

    devices = [load.device_profile(name) for name in load.device_profile_names()]
    models = [load.model_profile(name) for name in load.model_profile_names()]
    if json:
        print_json({"devices": devices, "models": models})
        return
    rows = [("device", one.name, one.family, one.description) for one in devices]
    rows += [("model", one.name, ", ".join(one.frameworks), one.description) for one in models]
    told = [
        Column(name, cells)
        for name, cells in zip(("", "name", "of", "description"), zip(*rows, strict=True), strict=True)
    ]
    typer.echo(listing(told, console_width(), (Spare("of"),)))


@app.command("show")
@command
def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Of a device or a model.", autocompletion=completion.profiles)
    ],
    json: JsonOption = False,
) -> None:
    """Show one profile, all of it.

    Example: edgebench profiles show jetson-agx-orin-64gb
    """
    from device_agents.contract import dumps
    from profiles import load

    found = load.device_profile(name) if name in load.device_profile_names() else load.model_profile(name)
    if json:
        print_json(found)
    else:
        typer.echo(dumps(found, indent=2))
