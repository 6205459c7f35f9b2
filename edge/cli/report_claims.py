"""Claims and the decision matrix, printed: `report --claims`, `report --matrix`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from edge.cli.common import console_width, print_json, say

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edge.results.claims.reading import Measurements
    from edge.results.store import Store
    from profiles.claim_schema import ClaimsFile


def models(claims: ClaimsFile | None) -> list[str]:
    """Those that are claimed anything of: measurements of no others need be read."""
    named = [claim.conditions.model for claim in claims.whole] if claims is not None else []
    return sorted({name for name in named if name is not None})


def tell(
    store: Store, ids: Sequence[str], claims: ClaimsFile | None, *, matrix: bool, markdown: bool, json: bool
) -> None:
    """Of these measurements; the claims where there are any, then the matrix where it is asked for."""
    from edge.results.claims.reading import Measurements

    among = Measurements.named(store, ids)
    told: dict[str, object] = {}
    if claims is not None:
        told["claims"] = _claims(claims, among, markdown=markdown, quiet=json)
    if matrix:
        told["matrices"] = _matrices(among, markdown=markdown, quiet=json, first=claims is None)
    if json:
        print_json({**told, "damaged": among.damaged})
    for mistake in among.damaged:
        say(f"edgebench: left out: {mistake}", err=True)


def _claims(claims: ClaimsFile, among: Measurements, *, markdown: bool, quiet: bool) -> dict[str, object]:
    from edge.places import places
    from edge.report import claims as report
    from edge.results.claims.bounds import Networks
    from edge.results.claims.check import check
    from export.artifact import Store as Artifacts
    from profiles.load import compile_coverage

    found = check(claims.whole, among, Networks(Artifacts(places().artifacts), among.all), compile_coverage())
    if not quiet and markdown:
        _say_lines(report.markdown(found, claims).splitlines())
    elif not quiet:
        say(report.headline(found, claims))
        typer.echo(f"\n{report.table(found, console_width())}\n")
        _say_lines(report.notes(found, claims))
    return report.as_json(found, claims)


def _matrices(among: Measurements, *, markdown: bool, quiet: bool, first: bool) -> list[dict[str, object]]:
    from edge.report import matrix as report
    from edge.results.decision.matrix import matrices

    found = list(matrices(among))
    if not found and not quiet:
        say("nothing of PyTorch or TensorFlow was measured; begin with: edgebench sweep article --device local --quick")
    for place, one in enumerate(found if not quiet else ()):
        if place or not first:
            typer.echo()
        if markdown:
            _say_lines(report.markdown(one).splitlines())
            continue
        say(report.headline(one))
        typer.echo(f"\n{report.table(one, console_width())}\n")
        _say_lines(report.notes(one))
    return [report.as_json(one) for one in found]


def _say_lines(lines: Iterable[str]) -> None:
    for line in lines:
        say(line)
