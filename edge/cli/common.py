"""What the commands share: their options, how an error ends one, and JSON on stdout."""

from __future__ import annotations

import errno
import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec

import typer

from edge.cli import completion

if TYPE_CHECKING:
    from edge.inventory.devices import Fleet

P = ParamSpec("P")

INTERRUPTED = 130

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]
FleetOption = Annotated[Path | None, typer.Option("--fleet", help="The fleet file.", show_default="./fleet.toml")]
DeviceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--device",
        "-d",
        help="Names, groups, tags, profiles or families, joined by and/or/not; or NAME=PROFILE, a host that ssh knows.",
        show_default="local",
        autocompletion=completion.devices,
    ),
]


@dataclass
class _State:
    debug: bool = False
    json: bool = False
    told: bool = False  # whether the one object that --json promises is printed


state = _State()


def command(function: Callable[P, int | None]) -> Callable[P, None]:
    """Make a function a command: what it returns is the exit code, an EdgebenchError is one sentence on stderr."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        from device_agents.contract import ErrorInfo
        from profiles.errors import EdgebenchError, ResultError

        state.json, state.told = bool(kwargs.get("json", False)), False
        try:
            code = function(*args, **kwargs) or 0
        except EdgebenchError as error:
            if state.debug:
                raise
            code = _explain(error)
        except OSError as error:
            if state.debug or error.errno == errno.EPIPE:
                raise
            if error.filename is None:
                code = unwritten(error)
            else:
                message = f"cannot be read or written ({error.strerror})"
                code = _explain(ResultError(message, where=str(error.filename), fix="look at its owner and its rights"))
        except KeyboardInterrupt as stop:
            message = getattr(stop, "message", "stopped")
            typer.echo(f"\nedgebench: {message}", err=True)
            if state.json and not state.told:
                print_json({"error": ErrorInfo("interrupted", "", message)})
            code = INTERRUPTED
        raise typer.Exit(code)

    return run


def unwritten(error: OSError) -> int:
    """What stdout leads to takes no more."""
    say(f"edgebench: the output cannot be written ({error.strerror}); results are kept all the same", err=True)
    return 1


def say(text: str, *, err: bool = False) -> None:
    """Print one line for people. Control characters, which a device may send, become `?`."""
    from profiles.errors import printable

    typer.echo(printable(text), err=err)


def print_json(value: Any) -> None:
    from device_agents.contract import dumps

    state.told = True
    typer.echo(dumps(value, indent=2))


def quantity(reads: Callable[[str], float], text: str, option: str) -> float:
    """What an option says, by a reader of `edge.quantities`. Errors: ConfigError."""
    from profiles.errors import ConfigError

    try:
        return reads(text)
    except ValueError as error:
        raise ConfigError(str(error), where=option) from None


def load_fleet(given: Path | None) -> Fleet:
    """The fleet that --fleet, the environment or the usual places name."""
    from edge.inventory import fleet_file
    from edge.places import places

    return fleet_file.load_fleet(places().fleet_file(given))


def console_width(plenty: int = 200) -> int:
    """Columns to print tables in: the terminal's, or `plenty` where there is none."""
    import shutil

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else plenty


def _explain(error: Any) -> int:
    say(f"edgebench: {error}", err=True)
    if state.json:
        print_json({"error": error.info()})
    return int(error.exit_code)
