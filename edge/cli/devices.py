"""edgebench devices: which there are, what they are, what ails them, whether their host keys are trusted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli import completion
from edge.cli.canary import canary
from edge.cli.common import FleetOption, JsonOption, command, console_width, load_fleet, print_json, say
from edge.cli.devices_import import import_devices

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edge.agent.finding import Found
    from edge.checking.patient import Finding
    from edge.trust import Offer
    from profiles.errors import EdgebenchError

app = typer.Typer(help="The devices of the fleet.", no_args_is_help=True)
app.command("import")(import_devices)
app.command("canary")(canary)

Expression = Annotated[
    str | None,
    typer.Argument(
        metavar="EXPR",
        help="Names, groups, tags, profiles or families, joined by and/or/not.",
        autocompletion=completion.devices,
    ),
]


@app.command("list")
@command
def list_devices(expr: Expression = None, fleet: FleetOption = None, json: JsonOption = False) -> None:
    """List the devices of the fleet file, and its groups.

    Example: edgebench devices list 'orin and lab'
    """
    from edge.inventory.selector import ARGUMENT, select
    from edge.report.columns import Column, Spare, listing

    known = load_fleet(fleet)
    devices = select(known, expr, ARGUMENT) if expr else tuple(known.devices.values())
    names = {device.name for device in devices}
    groups = {name: its for name, its in known.groups.items() if not expr or names & set(its)}
    if json:
        rows = [
            {"name": d.name, "address": d.address, "profile": d.profile.name, "family": d.family, "tags": list(d.tags)}
            for d in devices
        ]
        print_json({"devices": rows, "groups": {name: list(its) for name, its in groups.items()}})
        return
    columns = [
        Column("device", [device.name for device in devices]),
        Column("address", [device.address for device in devices]),
        Column("profile", [device.profile.name for device in devices]),
        Column("family", [device.family for device in devices]),
        Column("tags", [", ".join(device.tags) for device in devices]),
    ]
    typer.echo(listing(columns, console_width(), (Spare("family"),)))
    for name, its in groups.items():
        say(f"group {name}: {', '.join(its) or 'nobody'}")


@app.command("probe")
@command
def probe(expr: Expression = None, fleet: FleetOption = None, json: JsonOption = False) -> int:
    """Log in and tell what each device is and which runtimes it has.

    Example: edgebench devices probe orin-1
    """
    from edge.agent.expansion import pick
    from edge.cli.progress import drawn
    from edge.inventory.selector import ARGUMENT
    from edge.places import places
    from edge.planning.probing import probe_all

    with drawn() as progress:
        devices = pick(load_fleet(fleet), expr or "all", places(), progress, ARGUMENT)
        found, failed = probe_all(devices, places(), progress)
    if json:
        answers = {
            name: {
                "probe": next(iter(backends.values())).probe,
                "backends": {key: {"python": item.python, "report": item.report} for key, item in backends.items()},
            }
            for name, backends in found.items()
        }
        print_json({"devices": answers, "failed": {name: error.info() for name, error in failed.items()}})
    else:
        for name, backends in found.items():
            _print_device(name, backends)
        _print_failed(failed)
    return _exit_code(found, failed)


def _print_device(name: str, backends: Mapping[str, Found]) -> None:
    probe = next(iter(backends.values())).probe
    say(f"{name}: {probe.kind}, {probe.free_bytes / 1e9:.1f} GB free in {probe.workdir}")
    for backend, found in backends.items():
        version = found.report.version
        say(f"  {backend}: {version.unknown or version.value} (python {found.python}, {found.version})")
        for key, reading in found.report.facts.items():
            say(f"    {key}: {reading}" + (f" ({reading.unknown})" if reading.unknown else ""))
    for key, reading in {**probe.identity, **probe.context}.items():
        say(f"  {key}: {reading}" + (f" ({reading.unknown})" if reading.unknown else ""))


@app.command("doctor")
@command
def doctor(expr: Expression = None, fleet: FleetOption = None, json: JsonOption = False) -> int:
    """Find what keeps devices from their job, and what mends it.

    Nothing is mended here.

    Example: edgebench devices doctor orin
    """
    import time

    from edge.agent.expansion import pick
    from edge.checking.doctor import examine, healthy, unanswered
    from edge.checking.looking import look
    from edge.checking.patient import Patient
    from edge.cli.progress import drawn
    from edge.inventory.selector import ARGUMENT
    from edge.places import places

    with drawn() as progress:
        devices = pick(load_fleet(fleet), expr or "all", places(), progress, ARGUMENT)
        earliest = time.time()
        found, failed = look(devices, places(), progress)
    asked = (earliest, time.time())
    findings = {
        device.name: unanswered(device, failed[device.name])
        if device.name in failed
        else examine(Patient(device, found[device.name].backends, asked, found[device.name].control))
        for device in devices
    }
    if json:
        rows = {name: {"healthy": healthy(each), "findings": each} for name, each in findings.items()}
        print_json({"devices": rows})
    else:
        for name, each in findings.items():
            _print_findings(name, each)
    well = {name: healthy(each) for name, each in findings.items()}
    return _exit_code(any(well.values()), not all(well.values()))


def _print_findings(name: str, findings: Sequence[Finding]) -> None:
    if not findings:
        say(f"{name}: OK")
        return
    say(f"{name}:")
    for finding in findings:
        say(f"  {finding.severity}: {finding.what}" + (f" ({finding.why})" if finding.why else ""))
        if finding.command:
            say(f"    {finding.command}")


@app.command("trust")
@command
def trust(
    expr: Annotated[
        str,
        typer.Argument(
            metavar="EXPR", help="Names, groups, tags, profiles or families.", autocompletion=completion.devices
        ),
    ],
    fingerprints: Annotated[
        Path | None, typer.Option(help="Accept only keys listed in this file, as `ssh-keygen -lf` prints them.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Let new keys take the place of other ones.")] = False,
    fleet: FleetOption = None,
    json: JsonOption = False,
) -> int:
    """Show the host keys of devices, ask once, and keep them.

    They go into our own known_hosts.

    Example: edgebench devices trust orin-1 --fingerprints keys.txt
    """
    from edge import trust as work
    from edge.inventory.selector import ARGUMENT, select
    from edge.places import places
    from profiles.errors import TransportError

    offers: list[Offer] = []
    failed: dict[str, EdgebenchError] = {}
    known = load_fleet(fleet)
    for device in known.entries(select(known, expr, ARGUMENT)):
        try:
            offer = work.fetch(device, places())
            offers.append(work.listed(offer, fingerprints) if fingerprints else offer)
        except TransportError as error:
            failed[device.name] = error
    for offer in offers:
        _show(offer, err=json)
    new = [offer for offer in offers if offer.new]
    sure = yes or fingerprints is not None or not new or _confirm(new)
    written: list[str] = []
    for offer in new if sure else ():
        try:
            work.accept(offer, replace=replace)
            written.append(offer.device.name)
        except TransportError as error:
            failed[offer.device.name] = error
    if json:
        keys = {offer.device.name: [str(key) for key in offer.keys] for offer in offers}
        print_json({"keys": keys, "written": written, "failed": {name: e.info() for name, e in failed.items()}})
    else:
        for name in written:
            say(f"{name}: trusted")
        if not sure:
            say("not trusted; nothing was written")
        elif offers and not new:
            say("all of these are trusted already")
        _print_failed(failed)
    trusted = [offer for offer in offers if not offer.new or offer.device.name in written]
    return _exit_code(trusted, [*failed, *(new if not sure else ())])


def _show(offer: Offer, *, err: bool) -> None:
    for key in offer.keys:
        state = "new" if key in offer.new else "known already"
        say(f"{offer.device.name} ({offer.device.address}): {key} ({state})", err=err)


def _confirm(new: Sequence[Offer]) -> bool:
    from profiles.errors import ConfigError

    names = ", ".join(offer.device.name for offer in new)
    try:
        return typer.confirm(f"Do these keys belong to {names}?", default=False, err=True)
    except typer.Abort:
        fix = "answer y or n, or pass --yes or --fingerprints FILE"
        raise ConfigError("nobody answered whether the keys are right", where=names, fix=fix) from None


def _print_failed(failed: Mapping[str, EdgebenchError]) -> None:
    for error in failed.values():
        say(f"failed: {error}", err=True)


def _exit_code(done: object, failed: object) -> int:
    if not failed:
        return 0
    return 3 if done else 1
