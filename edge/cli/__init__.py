"""The command line: one file a command, parsing and printing only. Nothing heavy is imported until a command runs."""

from __future__ import annotations

import errno
import sys
from typing import Annotated, Any

import typer

from edge.cli import (
    best,
    compare,
    deploy,
    devices,
    engines,
    export,
    init,
    paths,
    profiles,
    release,
    report,
    results,
    sweep,
)
from edge.cli.common import INTERRUPTED, print_json, state, unwritten

_UsageError: type[Exception] = typer.BadParameter.__mro__[
    1
]  # the parser's base of its refusals, which has no public name

app = typer.Typer(
    help="Export vision models, ship them to edge devices, time them there, and say what the numbers are worth.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        from edge import version

        typer.echo(f"edgebench {version()}")
        raise typer.Exit


@app.callback()
def _main(
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")] = False,
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    state.debug = debug


app.command("init")(init.init)
app.command("export")(export.export)
app.command("deploy")(deploy.deploy)
app.command("sweep")(sweep.sweep)
app.command("compare")(compare.compare)
app.command("best")(best.best)
app.command("report", cls=report.Report)(report.report)
app.add_typer(sweep.runs, name="sweeps")
app.add_typer(devices.app, name="devices")
app.add_typer(engines.app, name="engines")
app.add_typer(release.app, name="release")
app.add_typer(results.app, name="results")
app.add_typer(profiles.app, name="profiles")
app.command("paths")(paths.paths)


def main() -> None:
    """The console script."""
    try:
        code = app(standalone_mode=False)
    except _UsageError as error:
        sys.exit(_explain_usage(error))
    except typer.Abort:
        sys.exit(INTERRUPTED)
    except OSError as error:
        if state.debug or error.errno == errno.EPIPE or error.filename is not None:
            raise
        sys.exit(unwritten(error))
    finally:
        _leave_gateways()
    sys.exit(code)


def _leave_gateways() -> None:
    """Their connections outlive the devices' behind them: a command may come back to those."""
    ssh = sys.modules.get("edge.transport.ssh")
    if ssh is not None:
        ssh.close_gateways()


def _explain_usage(error: Any) -> int:
    """What the parser refuses: its own words on stderr, and a JSON object where one was asked for."""
    error.show()
    if "--json" in sys.argv:
        from device_agents.contract import ErrorInfo

        print_json({"error": ErrorInfo("usage", "", error.format_message())})
    return int(error.exit_code)
