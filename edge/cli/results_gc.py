"""edgebench results gc: taking away what nobody needs."""

from __future__ import annotations

from typing import Annotated

import typer

from edge.cli.common import JsonOption, command, print_json, say


@command
def gc(
    damaged: Annotated[bool, typer.Option("--damaged", help="Measurements that cannot be read, too.")] = False,
    older_than: Annotated[
        str | None, typer.Option("--older-than", help="Measurements that have been here longer, too: 90d.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; without it they are only shown.")] = False,
    json: JsonOption = False,
) -> None:
    """Show what would be removed from the store; with --yes, remove it.

    Runs that are not finished keep theirs.

    Example: edgebench results gc --older-than 90d --yes
    """
    from edge.places import places
    from edge.quantities import counted, parse_duration, told_bytes
    from edge.results.garbage import leaving, remove
    from edge.results.store import Store
    from edge.running.journal import unfinished_runs
    from profiles.errors import ConfigError

    root = places().results
    try:
        older_than_s = parse_duration(older_than) if older_than is not None else None
    except ValueError as error:
        raise ConfigError(str(error), where="--older-than") from None
    store = Store(root)
    kept = unfinished_runs(root) if older_than_s is not None else set()
    found = leaving(store, damaged=damaged, older_than_s=older_than_s, kept_runs=kept)
    for one in found if yes else ():
        remove(store, one)
    if json:
        entries = [{"path": str(one.path), "id": one.id, "why": one.why, "bytes": one.size} for one in found]
        print_json({"removed": yes, "entries": entries})
        return
    for one in found:
        say(f"{one.path}: {one.why}")
    if not found:
        say("nothing to remove")
        return
    what = f"{counted(len(found), 'folder')}, {told_bytes(sum(one.size for one in found))}"
    say(f"removed {what}" if yes else f"{what} would go; --yes removes them")
