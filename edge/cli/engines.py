"""edgebench engines: what devices have built, and bringing one home."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli import completion
from edge.cli.common import FleetOption, JsonOption, command, console_width, load_fleet, print_json, say

if TYPE_CHECKING:
    from export.artifact import Store

app = typer.Typer(help="The engines that devices have built.", no_args_is_help=True)


@app.command("list")
@command
def list_engines(
    expr: Annotated[
        str | None,
        typer.Argument(
            metavar="EXPR",
            help="Names, groups, tags, profiles or families, joined by and/or/not.",
            autocompletion=completion.devices,
        ),
    ] = None,
    fleet: FleetOption = None,
    json: JsonOption = False,
) -> int:
    """List the engines that devices have built, newest first.

    Example: edgebench engines list orin-1
    """
    from device_agents.contract import to_json
    from edge.agent.engine_cache import engines_of
    from edge.cli.progress import drawn
    from edge.inventory.selector import ARGUMENT, select
    from edge.places import places
    from edge.report.engines import table
    from export.artifact import Store

    known = load_fleet(fleet)
    devices = known.entries(select(known, expr or "all", ARGUMENT))
    with drawn() as progress:
        found, failed = engines_of(devices, places(), progress)
    models = _models(Store(places().artifacts))
    if json:
        rows = [
            {"device": name, "model": models.get(report.artifact), **to_json(report)}
            for name, reports in found.items()
            for report in reports
        ]
        failures = [{"device": name, "error": error.info()} for name, error in failed.items()]
        print_json({"engines": rows, "failed": failures})
    elif any(found.values()):
        typer.echo(table(found, models, console_width()))
    elif found:
        typer.echo("no engines yet; a deploy builds them: edgebench deploy resnet18 --device NAME --backend tensorrt")
    if not json:
        for error in failed.values():
            say(f"failed: {error}", err=True)
    return (3 if found else 1) if failed else 0


@app.command("pull")
@command
def pull(
    key: Annotated[str, typer.Argument(metavar="KEY", help="An engine's key, or how it begins.")],
    device: Annotated[
        str, typer.Option("--device", "-d", help="The device that built it.", autocompletion=completion.devices)
    ],
    out: Annotated[Path, typer.Option(help="A new folder, for model.engine and engine.json.")],
    fleet: FleetOption = None,
    json: JsonOption = False,
) -> None:
    """Bring an engine and its manifest home, its hash checked.

    docs/use-the-engine.md loads it.

    Example: edgebench engines pull 3f9c --device orin-1 --out engine
    """
    from device_agents.contract import ENGINE_FILE, ENGINE_MANIFEST
    from edge.agent import engine_cache
    from edge.cli.progress import drawn
    from edge.inventory.selector import select
    from edge.places import places
    from edge.report.engines import gpu, size
    from profiles.errors import ConfigError

    known = load_fleet(fleet)
    devices = known.entries(select(known, device))
    if len(devices) != 1:
        raise ConfigError(
            f"{device} stands for {len(devices)} devices", where="--device", fix="name the one to pull from"
        )
    with drawn() as progress:
        report = engine_cache.pull(key, devices[0], out, places(), progress)
    if json:
        print_json({"device": devices[0].name, "out": str(out), "engine": report})
        return
    what = f"{report.runtime} {report.runtime_version} for {gpu(report)}, {size(report.file.size)}"
    say(f"{out / ENGINE_FILE}: {what}, sha256 {report.file.sha256}")
    say(f"{out / ENGINE_MANIFEST}: how it was made, key {report.key}")


def _models(store: Store) -> dict[str, str]:
    """The models of the artifacts that are here, by id."""
    from export.cache import readable

    return {artifact.id: f"{artifact.model}/{artifact.framework}" for artifact in readable(store)}
