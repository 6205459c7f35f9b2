"""edgebench compare: how many times as fast, with an interval; a regression ends with exit code 4."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli.common import (
    DeviceOption,
    FleetOption,
    JsonOption,
    command,
    console_width,
    print_json,
    quantity,
    say,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.results.compare import Comparison

_REGRESSION = 4

Side = "A measurement or run by its id or how that begins, a sweep, latest, latest~1; with --live a cell."


@command
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help=Side)],
    b: Annotated[str, typer.Argument(metavar="B", help="The same; ratios are B over A.")],
    across: Annotated[
        list[str] | None,
        typer.Option(
            help="What may differ: device, framework, backend, precision, runtime, batch, power_mode, ...; repeat it."
        ),
    ] = None,
    threshold: Annotated[str, typer.Option(help="How much slower is a regression.")] = "5%",
    include_invalid: Annotated[bool, typer.Option("--include-invalid", help="Compare INVALID ones, too.")] = False,
    live: Annotated[
        bool, typer.Option("--live", help="Measure both now, in turn: A B B A. Cells: MODEL[:WORD...][@BATCH].")
    ] = False,
    device: DeviceOption = None,
    rounds: Annotated[int, typer.Option(help="Of A B B A, with --live.", min=2, max=100)] = 5,
    weights: Annotated[
        str | None, typer.Option(help="With --live: as of deploy.", show_default="of the artifact that is there")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="With --live: shorter processes.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a table for GitHub.")] = False,
    fleet: FleetOption = None,
    json: JsonOption = False,
) -> int:
    """Compare B with A: the ratio of their times, with its 95 % interval over processes.

    Exit code 4 where the whole interval lies beyond the threshold.

    Example: edgebench compare latest~1 latest

    Example: edgebench compare 720b8b80 1f2e3d4c --across framework --threshold 3%

    Example: edgebench compare --live resnet18:fp32 resnet18:fp16 --device orin-1
    """
    from edge.quantities import parse_share

    limit = quantity(parse_share, threshold, "--threshold")
    if live:
        _refuse(across, "--across", "cells of --live differ in what they are said to differ in")
        found, notes, code = _live(
            a, b, device, weights, fleet, rounds, limit, quick=quick, invalid=include_invalid, json=json or markdown
        )
    else:
        for given, option in ((device, "--device"), (quick, "--quick"), (weights, "--weights")):
            _refuse(given, option, "is for --live: measurements that are stored have theirs")
        found, notes, code = _stored(a, b, across or [], limit, invalid=include_invalid)
    _print(found, notes, markdown=markdown, json=json)
    return code


def _stored(
    a: str, b: str, across: list[str], threshold: float, *, invalid: bool
) -> tuple[list[Comparison], list[str], int]:
    from edge.answers.naming import named, sided
    from edge.places import places
    from edge.results.compare import Standing, match
    from edge.results.compare import compare as compared
    from edge.results.likeness import check_axes
    from edge.results.store import Store

    root, store = places().results, Store(places().results)
    ours, theirs = named(root, store, a), named(root, store, b)
    check_axes(across, [*ours, *theirs])
    pairs, notes = match(ours, theirs, across)
    found = [
        compared(sided(store, its), sided(store, others), threshold=threshold, across=across, invalid=invalid)
        for its, others in pairs
    ]
    worse = any(one.standing is Standing.REGRESSION for one in found)
    return found, notes, _REGRESSION * worse


def _live(
    a: str,
    b: str,
    device: list[str] | None,
    weights: str | None,
    fleet: Path | None,
    rounds: int,
    threshold: float,
    *,
    quick: bool,
    invalid: bool,
    json: bool,
) -> tuple[list[Comparison], list[str], int]:
    from dataclasses import replace

    from device_agents.contract import Timing
    from edge.answers import live
    from edge.cli.bench import bench_of, picked, the_one
    from edge.cli.outcome import print_failures, say_choices
    from edge.cli.progress import drawn
    from edge.places import places
    from edge.planning.request import Request
    from edge.results.compare import Standing
    from edge.results.store import Store

    store = Store(places().results)
    sides = live.parse_side(a, store), live.parse_side(b, store)
    base = Request(
        models=live.models(*sides), weights=weights, timing=Timing.quick() if quick else Timing(), processes=1
    )
    backends = tuple(dict.fromkeys(side.backend for side in sides))
    with drawn() as progress:
        bench = bench_of(base, backends, [the_one(picked(device, fleet, progress))], progress)
    cells = live.cells_of(*sides, bench)
    say_choices(bench.choices, err=json)
    with drawn() as progress:
        found = live.run(cells, replace(bench, progress=progress), rounds=rounds, threshold=threshold, invalid=invalid)
    print_failures(found.deployment, err=json)
    run = f"run {found.deployment.run}"
    if found.comparison is None:
        invalid_ones = f": {found.unsound}" if found.unsound else ""
        why = f"no answer, as no round is without a process that failed or is INVALID{invalid_ones}; {run}"
        return [], [why], found.deployment.exit_code
    return [found.comparison], [run], _REGRESSION * (found.comparison.standing is Standing.REGRESSION)


def _refuse(given: object, option: str, why: str) -> None:
    from profiles.errors import ConfigError

    if given:
        raise ConfigError(why, where=option, fix="leave it out")


def _print(found: Sequence[Comparison], notes: Sequence[str], *, markdown: bool, json: bool) -> None:
    from edge.report import comparison

    if json:
        print_json({"comparisons": [comparison.as_json(one) for one in found], "notes": notes})
    elif markdown and found:
        typer.echo(comparison.markdown(found))
    else:
        if len(found) > 1:
            typer.echo(f"\n{comparison.table(found, console_width())}\n")
        for one in found:
            say(comparison.sentence(one))
            for line in (*comparison.others(one), *(f"note: {note}" for note in one.notes)):
                say(f"  {line}")
    for note in notes:
        say(f"note: {note}", err=json or markdown)
