"""edgebench init: a fleet file and a sweep to start from, by questions on a terminal or by flags in scripts."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli.common import JsonOption, command, print_json, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge.agent.finding import Found
    from edge.checking.meeting import Acquaintance
    from edge.inventory.devices import Fleet
    from edge.inventory.importing import Entry, Value
    from edge.trust import Offer
    from profiles.errors import EdgebenchError

_GUESS = "auto"


@dataclass
class _Met:
    """The devices of a fleet to be, and what came of meeting each: `auto` profiles are known then."""

    defaults: Mapping[str, str | int]
    devices: list[Entry] = field(default_factory=list)
    reached: list[str] = field(default_factory=list)
    failed: dict[str, EdgebenchError] = field(default_factory=dict)


@command
def init(
    hosts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME=PROFILE@HOST",
            help="orin-1=PROFILE@10.0.0.21; without @HOST as ssh knows NAME; PROFILE may be auto. None: questions.",
        ),
    ] = None,
    user: Annotated[str | None, typer.Option(help="The user on all of them.")] = None,
    port: Annotated[int | None, typer.Option(help="The port of all of them.", min=1, max=65_535)] = None,
    key: Annotated[str | None, typer.Option(help="The private key for all of them.")] = None,
    gateway: Annotated[str | None, typer.Option(help="The gateway to all of them, as user@host:port.")] = None,
    file: Annotated[Path, typer.Option(help="Where to write.")] = Path("fleet.toml"),
    force: Annotated[bool, typer.Option("--force", help="Write over a fleet file that exists.")] = False,
    json: JsonOption = False,
) -> int:
    """Write a fleet file and a first sweep, and probe the devices.

    On a terminal, without hosts, it asks. Keys of new hosts are shown there to be confirmed; what is not confirmed,
    and all in scripts, is left to `devices trust`. Ctrl-C writes nothing.

    Example: edgebench init

    Example: edgebench init orin-1=auto@10.0.0.21 a100=a100-80gb@gpu.example.org --user nvidia
    """
    from edge.checking.meeting import Acquaintance
    from edge.inventory import first_file
    from edge.places import places

    person = not json and sys.stdin.isatty() and sys.stderr.isatty()
    given = {"user": user, "port": port, "key": key and _absolute(key), "gateway": gateway}
    try:
        if person and not hosts and not force and file.exists():
            force = _overwritten(file)
        first_file.check_free(file, force=force)
        with tempfile.TemporaryDirectory(prefix="edgebench-") as folder:
            met = _Met({name: value for name, value in given.items() if value is not None})
            acquaintance = Acquaintance(places(), Path(folder), _shown if person else _nobody)
            if hosts or not person:
                _meet_all(hosts or [], met, acquaintance, file, person=person)
            else:
                _ask_for_all(met, acquaintance, file)
    except (typer.Abort, KeyboardInterrupt):
        raise _stopped() from None
    written = first_file.write(file, _text(met), force=force)
    acquaintance.keep()
    _tell(met, written, file, json=json)
    return 0


def _meet_all(hosts: list[str], met: _Met, acquaintance: Acquaintance, file: Path, *, person: bool) -> None:
    """All that the command line names, at once."""
    from edge.cli.progress import drawn
    from edge.planning.probing import probe_all
    from profiles.errors import ConfigError, TransportError

    met.devices = _told(hosts)
    reachable = []
    for device in _fleet(met, file).entries():
        if not device.is_local:
            try:
                reachable.append(acquaintance.trusted(device) if person else device)
            except TransportError as error:
                met.failed[device.name] = error
    with drawn() as progress:
        found, failed = probe_all(reachable, acquaintance.places, progress) if reachable else ({}, {})
    met.failed.update(failed)
    met.reached = list(found)
    for index, entry in enumerate(met.devices):
        if entry.keys["profile"] == _GUESS:
            guess = _guess(found.get(entry.name))
            if guess is None:
                reason = met.failed.get(entry.name)
                why = f" ({reason.message})" if reason else ""
                fix = f"say it: {entry.name}=PROFILE@HOST; `edgebench profiles list` shows them"
                raise ConfigError(f"the profile of {entry.name} cannot be guessed{why}", where="HOST", fix=fix)
            met.devices[index] = _with(entry, profile=guess)


def _ask_for_all(met: _Met, acquaintance: Acquaintance, file: Path) -> None:
    """One device after another, until no more is named."""
    from edge.cli import init_questions as ask
    from edge.inventory.importing import Entry
    from profiles.errors import ConfigError

    while name := ask.next_name([device.name for device in met.devices]):
        keys = ask.reach(name, met.defaults)
        if isinstance(keys.get("key"), str):
            keys["key"] = _absolute(str(keys["key"]))
        entry = Entry(name, {"profile": _GUESS, **keys})
        met.devices.append(entry)
        try:
            found = _meet(name, met, acquaintance, file)
        except ConfigError as error:  # of what was just typed: it is asked for again
            met.devices.pop()
            say(f"  {error}", err=True)
            continue
        met.devices[-1] = _with(entry, profile=ask.profile(_guess(found)))
    if not ask.sure(file, met.devices):
        raise typer.Abort


def _meet(name: str, met: _Met, acquaintance: Acquaintance, file: Path) -> dict[str, Found] | None:
    """What the device told of itself, which is said; None where it was not reached, and why. Errors: ConfigError."""
    from edge.checking.guessing import name_of
    from edge.cli.progress import drawn
    from edge.planning.probing import probe_all
    from profiles.errors import TransportError

    device = _fleet(met, file).devices[name]
    try:
        device = acquaintance.trusted(device)
        with drawn() as progress:
            answers, failed = probe_all([device], acquaintance.places, progress)
    except TransportError as error:
        answers, failed = {}, {name: error}
    met.failed.update(failed)
    if name in failed:
        say(f"  not reached yet: {failed[name]}", err=True)
        return None
    met.reached.append(name)
    probe = next(iter(answers[name].values())).probe
    say(f"  reached: {name_of(probe) or probe.kind}", err=True)
    return answers[name]


def _told(hosts: list[str]) -> list[Entry]:
    from edge.inventory.importing import Entry
    from edge.inventory.unlisted import parse_told
    from profiles.errors import ConfigError

    entries: dict[str, Entry] = {}
    for text in hosts:
        try:
            told = parse_told(text)
            if told.name in entries:
                raise ConfigError(f"{told.name} is named twice", fix="each name once")
        except ConfigError as error:
            error.where = "HOST"
            raise
        keys: dict[str, Value | None] = {"profile": told.profile, "host": told.host, "port": told.port}
        entries[told.name] = Entry(told.name, {name: value for name, value in keys.items() if value is not None})
    return list(entries.values())


def _fleet(met: _Met, file: Path) -> Fleet:
    """The fleet as far as it is known; a profile that is to be guessed is one that asks for nothing."""
    from edge.checking.guessing import UNNAMED
    from edge.inventory.first_file import fleet_text
    from edge.inventory.importing import check

    devices = [_with(one, profile=UNNAMED) if one.keys["profile"] == _GUESS else one for one in met.devices]
    return check(fleet_text(met.defaults, devices), file)


def _text(met: _Met) -> str:
    from edge.inventory.first_file import fleet_text

    return fleet_text(met.defaults, met.devices)


def _with(entry: Entry, *, profile: str) -> Entry:
    from dataclasses import replace

    return replace(entry, keys={**entry.keys, "profile": profile})


def _guess(found: Mapping[str, Found] | None) -> str | None:
    from edge.checking.guessing import guessed

    return guessed(next(iter(found.values())).probe) if found else None


def _absolute(key: str) -> str:
    """As the fleet file has it, whose folder is where relative paths begin."""
    return key if key.startswith("~") else str(Path(key).absolute())


def _overwritten(file: Path) -> bool:
    from edge.cli import init_questions

    return init_questions.overwrite(file)


def _shown(offer: Offer) -> bool:
    from edge.cli import init_questions

    return init_questions.confirmed(offer)


def _nobody(_: Offer) -> bool:
    return False


def _stopped() -> KeyboardInterrupt:
    stop = KeyboardInterrupt()
    stop.message = "stopped; nothing was written"  # type: ignore[attr-defined]
    return stop


def _tell(met: _Met, written: tuple[Path, ...], file: Path, *, json: bool) -> None:
    from profiles.errors import HostKeyError

    if json:
        failed = {name: error.info() for name, error in met.failed.items()}
        print_json({"file": str(file), "written": list(map(str, written)), "reached": met.reached, "failed": failed})
        return
    for path in written:
        typer.echo(f"wrote {path}")
    for name in met.reached:
        say(f"{name}: reached")
    for name, reason in met.failed.items():
        say(f"{name}: not reached yet: {reason}")
    where = "" if file == Path("fleet.toml") else f" --fleet {file}"
    strangers = [name for name, reason in met.failed.items() if isinstance(reason, HostKeyError)]
    if strangers:
        say(f"next: edgebench devices trust {','.join(strangers)}{where}")
    else:
        target = f" --device {met.devices[0].name}{where}" if met.devices else ""
        say(f"next: edgebench deploy resnet18 --weights random --quick{target}")
