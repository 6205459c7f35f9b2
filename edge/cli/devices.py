"""edgebench devices: which there are, what they are, whether their host keys are trusted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli.common import FleetOption, JsonOption, command, console_width, load_fleet, print_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edge.trust import Offer
    from profiles.errors import EdgebenchError

app = typer.Typer(help="The devices of the fleet.", no_args_is_help=True)

Expression = Annotated[
    str | None, typer.Argument(metavar="[EXPR]", help="Names, tags, profiles or families, joined by and/or/not.")
]


@app.command("list")
@command
def list_devices(expr: Expression = None, fleet: FleetOption = None, json: JsonOption = False) -> None:
    """List the devices of the fleet file."""
    from rich.table import Table

    from edge.report.table import render
    from edge.selector import select

    known = load_fleet(fleet)
    devices = select(known, expr) if expr else tuple(known.devices.values())
    if json:
        rows = [
            {"name": d.name, "address": d.address, "profile": d.profile.name, "family": d.family, "tags": list(d.tags)}
            for d in devices
        ]
        print_json({"devices": rows})
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("device", "address", "profile", "family", "tags"):
        table.add_column(name)
    for device in devices:
        table.add_row(device.name, device.address, device.profile.name, device.family, ", ".join(device.tags))
    typer.echo(render(table, console_width()))


@app.command("probe")
@command
def probe(expr: Expression = None, fleet: FleetOption = None, json: JsonOption = False) -> int:
    """Log in, install the agent and tell what each device is and which runtimes it has."""
    from edge.cli.progress import drawn
    from edge.places import places
    from edge.probing import probe_all
    from edge.selector import select
    from profiles.errors import printable

    devices = select(load_fleet(fleet), expr or "all")
    with drawn() as progress:
        found, failed = probe_all(devices, places(), progress)
    if json:
        answers = {name: {"python": item.python, "probe": item.probe} for name, item in found.items()}
        print_json({"devices": answers, "failed": {name: error.info() for name, error in failed.items()}})
    else:
        for name, item in found.items():
            typer.echo(f"{name}: {item.probe.kind}, python {item.python}, {item.probe.free_bytes / 1e9:.1f} GB free")
            for backend, report in item.probe.backends.items():
                typer.echo(f"  {backend}: {report.version if report.version.value else report.version.unknown}")
            for key, reading in {**item.probe.identity, **item.probe.context}.items():
                typer.echo(printable(f"  {key}: {reading}" + (f" ({reading.unknown})" if reading.unknown else "")))
        _print_failed(failed)
    return _exit_code(found, failed)


@app.command("trust")
@command
def trust(
    expr: Annotated[str, typer.Argument(metavar="EXPR", help="Names, tags, profiles or families.")],
    fingerprints: Annotated[
        Path | None, typer.Option(help="Accept only keys listed in this file, as `ssh-keygen -lf` prints them.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Let new keys take the place of other ones.")] = False,
    fleet: FleetOption = None,
    json: JsonOption = False,
) -> int:
    """Show the SHA256 host keys of devices, ask once, and keep them in our own known_hosts."""
    from edge import trust as work
    from edge.places import places
    from edge.selector import select
    from profiles.errors import TransportError

    offers, failed = [], {}
    for device in select(load_fleet(fleet), expr):
        try:
            offer = work.fetch(device, places())
            offers.append(work.listed(offer, fingerprints) if fingerprints else offer)
        except TransportError as error:
            failed[device.name] = error
    if not json:
        _show(offers)
    sure = yes or fingerprints is not None
    written = work.accept(offers, lambda new: sure or _confirm(new), replace=replace)
    if json:
        keys = {offer.device.name: [str(key) for key in offer.keys] for offer in offers}
        names = [offer.device.name for offer in written]
        print_json({"keys": keys, "written": names, "failed": {name: e.info() for name, e in failed.items()}})
    else:
        for offer in written:
            typer.echo(f"{offer.device.name}: trusted, in {offer.file}")
        _print_failed(failed)
    refused = [offer for offer in offers if offer.new and offer not in written]
    return _exit_code([*written, *(o for o in offers if not o.new)], [*failed, *refused])


def _show(offers: Sequence[Offer]) -> None:
    for offer in offers:
        for key in offer.keys:
            state = "new" if key in offer.new else "known already"
            typer.echo(f"{offer.device.name} ({offer.device.address}): {key} ({state})")


def _confirm(new: Sequence[Offer]) -> bool:
    names = ", ".join(offer.device.name for offer in new)
    return typer.confirm(f"Do these keys belong to {names}?", default=False, err=True)


def _print_failed(failed: Mapping[str, EdgebenchError]) -> None:
    for name, error in failed.items():
        typer.echo(f"failed {name}: {error}", err=True)


def _exit_code(done: object, failed: object) -> int:
    if not failed:
        return 0
    return 3 if done else 1
