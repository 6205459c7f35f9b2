"""edgebench init: a fleet file to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge.cli.common import JsonOption, command, print_json, say

_HEADER = """\
# The fleet: which devices there are and how to reach them. `edgebench devices list` shows it as it is understood.
# A device takes: host, user, port, key, known_hosts, profile, tags, python, workdir, power_mode, gateway, and more that
# docs/fleet.md tells. What is left out comes from its groups, from [defaults], then ~/.ssh/config. The device `local`,
# this machine, always exists. `edgebench profiles list` shows the profiles.
"""

_EXAMPLE = """
# [defaults]
# user = "nvidia"
#
# [devices.orin-1]
# host = "192.168.1.21"
# profile = "jetson-agx-orin-64gb"
# tags = ["lab"]
"""


@command
def init(
    hosts: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME=PROFILE@HOST", help="orin-1=PROFILE@10.0.0.21; without @HOST as ssh knows NAME."),
    ] = None,
    user: Annotated[str | None, typer.Option(help="The user on all of them.")] = None,
    file: Annotated[Path, typer.Option(help="Where to write.")] = Path("fleet.toml"),
    json: JsonOption = False,
) -> int:
    """Write a fleet file, and probe the hosts that are named.

    Example: edgebench init orin-1=jetson-agx-orin-64gb@10.0.0.21 a100=a100-80gb@gpu.example.org --user nvidia
    """
    from edge.cli.progress import drawn
    from edge.inventory import fleet_file
    from edge.places import places
    from edge.planning.probing import probe_all
    from profiles.errors import ConfigError, HostKeyError

    text = _HEADER + ("".join(_entries(hosts, user)) if hosts else _EXAMPLE)
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise ConfigError("the file exists", where=str(file), fix="edit it, or name another with --file") from None
    except OSError as error:
        raise ConfigError(f"cannot be written ({error.strerror})", where=str(file)) from None
    try:
        fleet = fleet_file.load_fleet(file)
    except ConfigError:
        file.unlink()  # what was named on the command line does not make a fleet: leave nothing behind
        raise
    devices = [device for device in fleet.devices.values() if not device.is_local]
    with drawn() as progress:
        found, failed = probe_all(devices, places(), progress) if devices else ({}, {})
    if json:
        print_json({"file": str(file), "reached": list(found), "failed": {n: e.info() for n, e in failed.items()}})
        return 0
    typer.echo(f"wrote {file}")
    for name in found:
        say(f"{name}: reached")
    for name, reason in failed.items():
        say(f"{name}: not reached yet: {reason}")
    where = "" if file == Path("fleet.toml") else f" --fleet {file}"
    strangers = [name for name, reason in failed.items() if isinstance(reason, HostKeyError)]
    if strangers:
        say(f"next: edgebench devices trust {','.join(strangers)}{where}")
    else:
        target = f" --device {devices[0].name}{where}" if devices else ""
        say(f"next: edgebench deploy resnet18 --weights random --quick{target}")
    return 0


def _entries(hosts: list[str], user: str | None) -> list[str]:
    from edge.inventory.unlisted import parse_told
    from profiles.errors import ConfigError

    names: set[str] = set()
    entries = [f'\n[defaults]\nuser = "{user}"\n'] if user else []
    for text in hosts:
        try:
            told = parse_told(text)
            if told.name in names:
                raise ConfigError(f"{told.name} is named twice", fix="each name once")
        except ConfigError as error:
            error.where = "HOST"
            raise
        names.add(told.name)
        host = f'host = "{told.host}"\n' if told.host else ""
        number = f"port = {told.port}\n" if told.port else ""
        entries.append(f'\n[devices.{told.name}]\n{host}{number}profile = "{told.profile}"\n')
    return entries
