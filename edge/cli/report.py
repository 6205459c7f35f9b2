"""edgebench report: measurements as a page, in a file or live."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli import completion
from edge.cli.common import FleetOption, JsonOption, command, print_json, say
from edge.cli.optional import Optional
from edge.cli.results_options import (
    Last,
    PickDevice,
    PickModel,
    PickRun,
    PickSince,
    PickVerdict,
    chosen,
    fleet_for,
    wanted,
)

if TYPE_CHECKING:
    from edge.report.live.source import Source
    from edge.report.page.document import Reader

_HOST, _PORT = "127.0.0.1", 8765

Report = Optional.of({"--claims": "article"})
"""`--claims` alone is of the article that edgebench comes with."""


@command
def report(
    measurements: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ID", help="Ids, or how they begin; or --run and the like.", autocompletion=completion.measurements
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write one file that needs no network.")
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Serve the page, and keep it up to date, until Ctrl-C.")] = False,
    claims: Annotated[
        str | None,
        typer.Option(
            "--claims",
            metavar="[FILE|NAME]",
            help="Set what somebody claims beside what was measured: a TOML file, or one of ours.",
            show_default="article, where nothing is named",
            autocompletion=completion.claims,
        ),
    ] = None,
    matrix: Annotated[
        bool, typer.Option("--matrix", help="PyTorch or TensorFlow: every figure of both, or why there is none.")
    ] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="With --claims or --matrix: tables for a pull request.")
    ] = False,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    host: Annotated[
        str, typer.Option(help="With --live: where to listen. Others than this machine need --token.")
    ] = _HOST,
    port: Annotated[int, typer.Option(help="With --live; 0 takes a free one.", min=0, max=65535)] = _PORT,
    token: Annotated[
        str | None, typer.Option(help="With --live: what a reader has to know.", envvar="EDGEBENCH_REPORT_TOKEN")
    ] = None,
    device: PickDevice = None,
    model: PickModel = None,
    verdict: PickVerdict = None,
    run: PickRun = None,
    since: PickSince = None,
    last: Last = None,
    fleet: FleetOption = None,
    json: JsonOption = False,
) -> None:
    """Show measurements as one page with plots, in a file or live.

    Example: edgebench report --html nightly.html --run 20261123t --open

    Example: edgebench report --live --device orin

    Example: edgebench report --claims --matrix
    """
    from edge.places import places
    from edge.report.page.document import Reader
    from edge.results.store import Store
    from profiles.load import claims_file

    told = claims is not None or matrix
    _check(html, live=live, told=told, markdown=markdown, served=(host, port) != (_HOST, _PORT))
    known = fleet_for(device, fleet)
    held = None if claims is None else claims_file(claims)
    store, reader = Store(places().results), Reader(places().results, places().artifacts, held)

    def choose(only: str | None = model) -> list[str]:
        asked = wanted(device, only, verdict, run, since)
        return chosen(store, measurements, asked, last, known, quiet=live)

    if html is None and not live:
        from edge.cli.report_claims import models, tell

        few = None if measurements or model or last or matrix else models(held)
        ids = choose() if few is None else [one for only in few for one in choose(only)]
        tell(store, ids, held, matrix=matrix, markdown=markdown, json=json)
        return
    picks = {"--device": device, "--model": model, "--run": run, "--since": since, "--last": last}
    picks["--claims"] = claims
    words = [*(measurements or ()), *_typed(picks), *(word for one in verdict or () for word in ("--verdict", one))]
    typed = ["edgebench", "report", "--html", str(html or "report.html"), *words]
    if html is not None:
        _write(reader, choose(), typed, html, show=show, json=json)
    else:
        from edge.report.live.source import Source

        _serve(Source(places().results, reader, choose, typed), host, port, token, show=show, json=json)


def _check(html: Path | None, *, live: bool, told: bool, markdown: bool, served: bool) -> None:
    """Errors: ConfigError for words that say nothing, or one thing twice."""
    from profiles.errors import ConfigError

    if (html is not None) and live:
        raise ConfigError("say one of --html FILE and --live", where="report")
    if str(html) == "-":
        raise ConfigError("a page is a file", where="--html", fix="name one, such as report.html")
    if served and not live:
        raise ConfigError("--host and --port are for --live", where="report", fix="leave them out")
    if html is None and not live and not told:
        raise ConfigError("say --html FILE, --live, --claims or --matrix", where="report")
    if markdown and (html is not None or live or not told):
        fix = "leave out --html and --live, and say --claims or --matrix"
        raise ConfigError("--markdown is of claims and the matrix", where="report", fix=fix)


def _typed(picks: Mapping[str, object]) -> Iterator[str]:
    for option, value in picks.items():
        if value is not None:
            yield from (option, str(value))


def _write(reader: Reader, ids: Sequence[str], typed: Sequence[str], target: Path, *, show: bool, json: bool) -> None:
    from edge.quantities import counted, told_bytes
    from edge.report.page.document import MOST_LIVE
    from edge.report.page.html import offline
    from edge.results.formats import part_of
    from profiles.errors import ConfigError, ResultError

    if not ids:
        raise ConfigError("no measurement is so", where="report", fix="`edgebench results list` shows those there are")
    if len(ids) > MOST_LIVE and not json:
        say(f"reading {len(ids):,} measurements, some 10 ms each ...", err=True)
    document = reader.document(ids, typed)
    page = offline(document).encode()
    try:
        with part_of(target) as part:
            part.write_bytes(page)
    except OSError as error:
        raise ResultError(f"cannot be written ({error.strerror})", where=str(target)) from None
    held, damaged = len(document["cells"]), document["damaged"]
    for mistake in damaged:
        say(f"edgebench: left out: {mistake}", err=True)
    if json:
        print_json({"file": str(target), "bytes": len(page), "measurements": held, "damaged": damaged})
    else:
        say(f"{counted(held, 'measurement')} in {target} ({told_bytes(len(page))})")
    if show:
        _open(target.resolve().as_uri())


def _serve(source: Source, host: str, port: int, token: str | None, *, show: bool, json: bool) -> None:
    import contextlib

    from edge.report.live.guard import check_token
    from edge.report.live.server import address, listen, serve

    check_token(host, token)
    source.now()  # what is wrong with the choice is said here, not in the page
    with contextlib.closing(listen(host, port)) as listening:
        where = address(listening, host, token)
        if json:
            print_json({"address": where})
        else:
            say(f"live at {where} until Ctrl-C")
        if show:
            _open(where)
        serve(source, listening, host, token)


def _open(address: str) -> None:
    import webbrowser

    if not webbrowser.open(address):
        say(f"edgebench: no browser was found; open {address}", err=True)
