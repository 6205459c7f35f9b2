"""edgebench release: which versions devices keep for their services, and which is current there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli import completion
from edge.cli.common import FleetOption, JsonOption, command, console_width, load_fleet, print_json, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from device_agents.contract import ReleaseState
    from edge.inventory.devices import Device, Fleet
    from profiles.errors import EdgebenchError

app = typer.Typer(help="Releases: what stays on devices for production.", no_args_is_help=True)

Model = Annotated[str, typer.Argument(metavar="MODEL", help="The model's name, as `release list` shows it.")]
Version = Annotated[str, typer.Argument(metavar="VERSION", help="As `release list` shows it.")]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--device",
        "-d",
        help="Names, groups, tags, profiles or families, joined by and/or/not.",
        show_default=False,
        autocompletion=completion.devices,
    ),
]


@app.command("list")
@command
def list_releases(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="This one alone.")] = None,
    device: Where = None,
    fleet: FleetOption = None,
    json: JsonOption = False,
) -> int:
    """List the releases on devices, and what differs over the fleet.

    Example: edgebench release list --device orin
    """
    from device_agents.contract import Releases
    from edge.cli.progress import drawn
    from edge.places import places
    from edge.releases import commands
    from edge.report.releases import differences, table

    with drawn() as progress:
        found, failed = commands.look(_devices(load_fleet(fleet), device or ["all"]), places(), progress)
    if model is not None:
        found = {name: Releases(tuple(one for one in its.models if one.model == model)) for name, its in found.items()}
    unlike = differences(found)
    if json:
        rows = [{"device": name, **_plain(one)} for name, its in found.items() for one in its.models]
        print_json({"releases": rows, "differences": unlike, "failed": _as_json(failed)})
    elif any(its.models for its in found.values()):
        typer.echo(table(found, console_width()))
        alike = ["no difference between these devices"] if len(found) > 1 else []
        for line in ["", *(unlike or alike)] if unlike or alike else ():
            say(line)
    elif found:
        of = f" of {model}" if model else ""
        say(f"no releases{of} yet; make one with: edgebench deploy {model or 'resnet18'} --device NAME --release v1")
    return _ended(found, failed, json=json)


@app.command("activate")
@command
def activate(
    model: Model,
    version: Version,
    device: Where = None,
    percent: Annotated[
        float | None, typer.Option(help="This share of the devices; a larger one holds it.", show_default="all")
    ] = None,
    ring: Annotated[str | None, typer.Option(help="Those of the devices with this tag.", show_default="all")] = None,
    fleet: FleetOption = None,
    json: JsonOption = False,
) -> int:
    """Make a version the current one, and run the release_hook.

    When that fails, the version before is put back.

    Example: edgebench release activate resnet18 v7 --device orin --percent 10
    """
    from edge.cli.progress import drawn
    from edge.places import places
    from edge.releases import commands, picking
    from profiles.errors import ConfigError

    known = load_fleet(fleet)
    if percent is not None and ring is not None:
        raise ConfigError("is one way to pick devices, and --ring another", where="--percent", fix="give one of them")
    devices = _devices(known, device or (["all"] if ring else None))
    commands.checked(model, version)
    if ring is not None:
        devices = picking.of_ring(known, devices, ring)
    elif percent is not None:
        devices = picking.share(model, devices, percent)
        say(f"chosen: {', '.join(one.name for one in devices)} (--percent {percent:g})", err=json)
    with drawn() as progress:
        done, failed = commands.activate(model, version, devices, places(), progress)
    return _told(done, failed, "current is", json=json)


@app.command("rollback")
@command
def rollback(model: Model, device: Where = None, fleet: FleetOption = None, json: JsonOption = False) -> int:
    """Make the previous version the current one again.

    The device's release_hook is run.

    Example: edgebench release rollback resnet18 --device orin
    """
    from edge.cli.progress import drawn
    from edge.places import places
    from edge.releases import commands

    devices = _devices(load_fleet(fleet), device)
    with drawn() as progress:
        done, failed = commands.activate(model, None, devices, places(), progress)
    return _told(done, failed, "rolled back, current is", json=json)


@app.command("remove")
@command
def remove(
    model: Model,
    version: Version,
    device: Where = None,
    previous: Annotated[bool, typer.Option("--previous", help="Also what a rollback would restore.")] = False,
    fleet: FleetOption = None,
    json: JsonOption = False,
) -> int:
    """Remove a version from devices, never the current one.

    Example: edgebench release remove resnet18 v6 --device orin
    """
    from edge.cli.progress import drawn
    from edge.places import places
    from edge.releases import commands

    devices = _devices(load_fleet(fleet), device)
    with drawn() as progress:
        done, failed = commands.remove(model, version, devices, places(), progress, previous_too=previous)
    return _told(done, failed, f"{version} removed, current is", json=json)


def _devices(known: Fleet, device: list[str] | None) -> tuple[Device, ...]:
    """One of each host, as its GPUs share its releases. Errors: ConfigError where none are named: what changes devices
    does not guess which."""
    from edge.inventory.selector import any_of, select
    from profiles.errors import ConfigError

    if not device:
        raise ConfigError("no device is named", where="--device", fix="name some, or all: --device all")
    return known.entries(select(known, any_of(device)))


def _told(done: Mapping[str, ReleaseState], failed: Mapping[str, EdgebenchError], what: str, *, json: bool) -> int:
    if json:
        rows = [{"device": name, **_plain(state)} for name, state in done.items()]
        print_json({"done": rows, "failed": _as_json(failed)})
    else:
        for name, state in done.items():
            say(f"{name}: {state.model}: {what} {state.current or 'none'} (previous: {state.previous or 'none'})")
    return _ended(done, failed, json=json)


def _plain(one: object) -> dict[str, object]:
    from device_agents.contract import to_json

    return {"current": None, "previous": None, **to_json(one)}


def _as_json(failed: Mapping[str, EdgebenchError]) -> list[dict[str, object]]:
    return [{"device": name, "error": error.info()} for name, error in failed.items()]


def _ended(done: object, failed: Mapping[str, EdgebenchError], *, json: bool) -> int:
    if not json:
        for error in failed.values():
            say(f"failed: {error}", err=True)
    return (3 if done else 1) if failed else 0
