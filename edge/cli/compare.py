"""edgebench compare: how many times as fast, with an interval; a regression ends with exit code 4."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli import completion
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

    from edge.report.rows import Row
    from edge.results.compare import Comparison
    from edge.results.store import Store

_ROUNDS = 5
_REGRESSION = 4

Side = "A measurement or run by its id or how that begins, a sweep, latest, latest~1; with --live a cell."


@command
def compare(
    a: Annotated[
        str | None, typer.Argument(metavar="A", help=Side, autocompletion=completion.sides, show_default="latest")
    ] = None,
    b: Annotated[
        str | None,
        typer.Argument(
            metavar="B",
            help="The same; ratios are B over A. With --baseline A alone is named.",
            autocompletion=completion.sides,
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(metavar="BUNDLE", help="Hold A against this: a bundle, read and not imported, or what is stored."),
    ] = None,
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
    rounds: Annotated[int, typer.Option(help="Of A B B A, with --live.", min=2, max=100)] = _ROUNDS,
    weights: Annotated[
        str | None, typer.Option(help="With --live: as of deploy.", show_default="of the artifact that is there")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="With --live: shorter processes.")] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print for GitHub: a table; a summary of a baseline.")
    ] = False,
    fleet: FleetOption = None,
    json: JsonOption = False,
) -> int:
    """Compare B with A: a ratio of times with its 95 % interval.

    Exit code 4 where the whole interval lies beyond the threshold.

    Example: edgebench compare latest~1 latest

    Example: edgebench compare 720b8b80 1f2e3d4c --across framework --threshold 3%

    Example: edgebench compare --baseline main.tar.gz latest --threshold 5% --markdown

    Example: edgebench compare --live resnet18:pytorch:fp32 resnet18:pytorch:fp16 --device orin-1
    """
    from edge.quantities import parse_share
    from edge.results.compare import Standing

    limit = quantity(parse_share, threshold, "--threshold")
    if live:
        _refuse(across, "--across", "cells of --live differ in what they are said to differ in")
        _refuse(baseline, "--baseline", "is for measurements that are stored")
        found, notes, code = _live(
            *_both(a, b),
            device,
            weights,
            fleet,
            rounds,
            limit,
            quick=quick,
            invalid=include_invalid,
            json=json or markdown,
        )
    else:
        own = ((device, "--device"), (quick, "--quick"), (weights, "--weights"), (rounds != _ROUNDS, "--rounds"))
        for given, option in own:
            _refuse(given, option, "is for --live: measurements that are stored have theirs")
        if baseline is not None:
            _refuse(b, "B", "the baseline is what A is held against")
            found, notes = _held(baseline, a or "latest", across or [], limit, invalid=include_invalid)
        else:
            found, notes = _stored(*_both(a, b), across or [], limit, invalid=include_invalid)
        code = _REGRESSION * any(one.standing is Standing.REGRESSION for one in found)
    _print(found, notes, markdown=markdown, json=json, whole=baseline is not None)
    return code


def _both(a: str | None, b: str | None) -> tuple[str, str]:
    from profiles.errors import ConfigError

    if a is None or b is None:
        fix = "name both, such as latest~1 latest, or one and --baseline BUNDLE"
        raise ConfigError("a comparison has two sides", where="A and B", fix=fix)
    return a, b


def _held(
    word: str, run: str, across: list[str], threshold: float, *, invalid: bool
) -> tuple[list[Comparison], list[str]]:
    """The run B against the baseline A, which may be of a store that is gone when this returns."""
    from edge.answers.baseline import NAMES, baseline
    from edge.answers.naming import named
    from edge.places import places
    from edge.results.store import Store

    root = places().results
    with baseline(root, word) as kept:
        theirs = Store(root)
        return _compared((kept.store, kept.rows), (theirs, named(root, theirs, run)), across, threshold, NAMES, invalid)


def _stored(
    a: str, b: str, across: list[str], threshold: float, *, invalid: bool
) -> tuple[list[Comparison], list[str]]:
    from edge.answers.naming import named
    from edge.places import places
    from edge.results.store import Store

    root, store = places().results, Store(places().results)
    sides = (store, named(root, store, a)), (store, named(root, store, b))
    return _compared(*sides, across, threshold, ("A", "B"), invalid)


def _compared(
    a: tuple[Store, list[Row]],
    b: tuple[Store, list[Row]],
    across: list[str],
    threshold: float,
    names: tuple[str, str],
    invalid: bool,
) -> tuple[list[Comparison], list[str]]:
    from edge.answers.naming import sided
    from edge.results.compare import compare as compared
    from edge.results.compare import match
    from edge.results.likeness import check_axes

    check_axes(across, [*a[1], *b[1]])
    pairs, notes = match(a[1], b[1], across, names)
    found = [
        compared(sided(a[0], its), sided(b[0], others), threshold=threshold, across=across, invalid=invalid)
        for its, others in pairs
    ]
    return found, notes


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
    base = Request(models=live.models(*sides), weights=weights, timing=Timing.chosen(quick), processes=1)
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


def _print(found: Sequence[Comparison], notes: Sequence[str], *, markdown: bool, json: bool, whole: bool) -> None:
    """`whole`: Markdown tells the notes, too, and how all of it stands."""
    from edge.report import comparison

    if json:
        print_json({"comparisons": [comparison.as_json(one) for one in found], "notes": notes})
    elif markdown and found and whole:
        typer.echo(comparison.summary(found, notes))
        return
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
