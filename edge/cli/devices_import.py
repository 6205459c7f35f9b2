"""edgebench devices import: hosts that Ansible or ssh knows, as entries of fleet.toml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge.cli.common import JsonOption, command, print_json, say


@command
def import_devices(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="An Ansible inventory, what ansible-inventory --list prints, or ~/.ssh/config."
        ),
    ],
    profile: Annotated[str | None, typer.Option(metavar="NAME", help="The profile of those without another.")] = None,
    profile_of: Annotated[
        list[str] | None, typer.Option(metavar="GROUP=NAME", help="The profile of a group, or of one host.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Only hosts and groups that fit, such as 'orin-*'.")
    ] = None,
    write: Annotated[
        Path | None, typer.Option(metavar="FLEET", help="Add them to this fleet file.", show_default="print them")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Take hosts over from Ansible or ~/.ssh/config.

    What cannot be taken over is said on stderr.

    Example: edgebench devices import hosts.ini --profile-of orins=jetson-agx-orin-64gb --write fleet.toml
    """
    from edge.inventory import ansible, importing, ssh_hosts

    path = file.expanduser()
    profiles = _profiles(profile_of or [])
    known = ssh_hosts.read(path) if ssh_hosts.is_ssh_config(path) else ansible.read(path)
    importing.check_profiles(known, profile, profiles)
    hosts = importing.only(known, only or [])
    lines = importing.told(hosts)
    for line in lines:
        say(line, err=True)
    devices = importing.entries(hosts, profile, profiles)
    text = importing.render(devices, file)
    if write is None:
        importing.check(text, file)
    else:
        importing.add(text, devices, write)
    if json:
        names = [device.name for device in devices]
        print_json({"devices": names, "file": str(write) if write else None, "toml": text, "not_taken": lines})
    elif write is None:
        typer.echo(text, nl=False)
    else:
        where = "" if write == Path("fleet.toml") else f" --fleet {write}"
        say(f"{write}: {len(devices)} devices added; next: edgebench devices trust all{where}")


def _profiles(pairs: list[str]) -> dict[str, str]:
    from profiles.errors import ConfigError

    found: dict[str, str] = {}
    for pair in pairs:
        group, _, name = pair.partition("=")
        if not group or not name:
            fix = "for example orins=jetson-agx-orin-64gb"
            raise ConfigError(f"{pair!r} is not GROUP=NAME", where="--profile-of", fix=fix)
        if found.setdefault(group, name) != name:
            raise ConfigError(f"{group} is given two profiles", where="--profile-of", fix="give it one")
    return found
