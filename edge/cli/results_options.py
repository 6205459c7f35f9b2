"""Options that pick measurements, alike for all commands that take them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli import completion

if TYPE_CHECKING:
    from pathlib import Path

    from edge.inventory.devices import Fleet
    from edge.results.filters import Filter
    from edge.results.store import Store

PickDevice = Annotated[
    str | None,
    typer.Option(
        "--device",
        "-d",
        help="Names, groups, tags, profiles or families, joined by and/or/not.",
        autocompletion=completion.devices,
    ),
]
PickModel = Annotated[
    str | None, typer.Option("--model", help="A model; * stands for anything.", autocompletion=completion.models)
]
PickVerdict = Annotated[
    list[str] | None, typer.Option("--verdict", help="VALID, INVALID or UNJUDGED; repeat it for several.")
]
PickRun = Annotated[
    str | None, typer.Option("--run", help="A run, or how its id begins.", autocompletion=completion.runs)
]
PickSince = Annotated[
    str | None, typer.Option("--since", help="Begun since: 7d, 12h, 2026-01-31 or 2026-01-31T12:00 (UTC).")
]
ALL = 2**62
"""For --last: every one."""

Last = Annotated[int | None, typer.Option("--last", help="How many, counted from the newest.", min=1, max=ALL)]


def wanted(
    device: str | None, model: str | None, verdict: list[str] | None, run: str | None, since: str | None
) -> Filter:
    from edge.results.filters import Filter

    return Filter(device, model, tuple(verdict or ()), run, since)


def fleet_for(device: str | None, given: Path | None) -> Fleet | None:
    """Tags and groups are those of the fleet file, which is read where an expression may name one."""
    from edge.cli.common import load_fleet

    return load_fleet(given) if device is not None else None


def chosen(
    store: Store,
    ids: list[str] | None,
    asked: Filter,
    last: int | None,
    fleet: Fleet | None,
    *,
    quiet: bool = False,
) -> list[str]:
    """Those with the ids that were given, or else what the filter picks; `quiet` draws no progress. Errors: ConfigError
    where both are given."""
    import contextlib

    from edge.cli.progress import drawn
    from edge.places import places
    from edge.results.catalogue import pick
    from edge.results.filters import Filter
    from profiles.errors import ConfigError
    from profiles.progress import silent

    if ids:
        if asked != Filter() or last is not None:
            raise ConfigError("ids are given, and --run, --device, --last or the like; choose one", where="ID")
        return [store.find(one) for one in ids]
    with contextlib.nullcontext(silent) if quiet else drawn() as progress:
        return list(pick(places().results, asked, progress, fleet=fleet, most=last or ALL).ids)
