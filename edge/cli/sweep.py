"""edgebench sweep: a plan of axes, measured over a fleet; and edgebench sweeps: what became of such runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli import completion
from edge.cli.common import FleetOption, JsonOption, command, console_width, load_fleet, print_json, say

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from edge.inventory.devices import Device, Fleet
    from edge.planning.choosing import Choices
    from edge.planning.plan import Cell
    from edge.running.executors import Executor
    from edge.running.journal import Begin
    from edge.running.policy import Policy
    from edge.sweeps import runs as files
    from edge.sweeps.estimate import Estimate
    from edge.sweeps.plan_file import Sweep
    from profiles.progress import Progress

runs = typer.Typer(help="Runs of sweeps: which there are, where they stand.", no_args_is_help=True)

RunArgument = Annotated[
    str,
    typer.Argument(metavar="RUN", help="Its id, how that begins, or the sweep's name.", autocompletion=completion.runs),
]


@command
def sweep(
    plan: Annotated[
        str,
        typer.Argument(
            metavar="PLAN", help="A plan file, or the name of one that edgebench has.", autocompletion=completion.plans
        ),
    ],
    device: Annotated[
        list[str] | None,
        typer.Option(
            "--device",
            "-d",
            help="Instead of the plan's devices.",
            show_default="the plan's, else all",
            autocompletion=completion.devices,
        ),
    ] = None,
    weights: Annotated[str | None, typer.Option(help="Instead of the plan's: pretrained, random or a file.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="As the plan's `quick`: a first look.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the unfinished run, or refuse.")] = False,
    failed_only: Annotated[
        bool, typer.Option("--failed-only", help="Measure what failed in the latest run, and nothing else.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin a new run, whatever is unfinished.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be measured, sent and waited for; do nothing.")
    ] = False,
    max_failures: Annotated[
        int | None, typer.Option(help="Begin no new cell after so many have failed.", min=1)
    ] = None,
    repeat_invalid: Annotated[
        int | None,
        typer.Option(
            help="Measure anew what is INVALID for what may pass, so often.",
            show_default="the plan's, else 1",
            min=0,
            max=10,
        ),
    ] = None,
    wait_online: Annotated[
        str | None, typer.Option(help="How long a device may be out of reach: 12h.", show_default="the plan's, else 0")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="tls://HOST:PORT", help="A Dask cluster whose workers reach the devices: docs/fleet.md."),
    ] = None,
    tls_ca_file: Annotated[
        Path | None, typer.Option(help="For tls://: the authority.", show_default="Dask's configuration")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="For tls://: our certificate.", show_default="as above")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="For tls://: its key.", show_default="as above")] = None,
    fleet: FleetOption = None,
    json: JsonOption = False,
) -> int:
    """Measure a plan of models, frameworks, precisions and batches.

    An unfinished run of the same plan is taken up: what is measured is not measured again.

    Example: edgebench sweep nightly.toml --device 'orin and lab' --dry-run

    Example: edgebench sweep first-look
    """
    import time

    from edge.cli.progress import drawn
    from edge.sweeps.plan_file import load_sweep
    from profiles.load import sweep_plan

    since = time.monotonic()
    asked = load_sweep(sweep_plan(plan), weights=weights, quick=quick)
    begin = _begin(resume=resume, failed_only=failed_only, fresh=fresh)
    policy = _policy(asked.policy, max_failures, repeat_invalid, wait_online)
    known = load_fleet(fleet)
    with drawn() as progress:
        devices = _devices(asked, known, device, progress)
    with _reached(devices, scheduler, tls_ca_file, tls_cert, tls_key) as executor:
        return _sweep(asked, known, devices, executor, begin, policy, since, dry_run=dry_run, json=json)


def _sweep(
    asked: Sweep,
    known: Fleet,
    devices: tuple[Device, ...],
    executor: Executor,
    begin: Begin,
    policy: Policy,
    since: float,
    *,
    dry_run: bool,
    json: bool,
) -> int:
    from edge import deploy as work
    from edge.cli.board import drawn_board
    from edge.cli.outcome import as_json, print_deployment, say_choices
    from edge.cli.progress import drawn
    from edge.places import places
    from edge.planning.choosing import Choices
    from edge.planning.classes import builders
    from edge.planning.plan import PER_CLASS, Plan
    from edge.planning.probing import survey
    from edge.running.journal import Begin, failed
    from edge.sweeps import runs as files
    from edge.sweeps.expand import expand, identity
    from edge.sweeps.plan_file import located
    from export.artifact import Store
    from profiles.progress import silent

    builds_for = builders(known, devices) if asked.base.engines == PER_CLASS else None
    choices = Choices()
    with drawn() as progress, located(asked.source):
        found = survey(asked.backends, devices, places(), progress, abilities=asked.abilities, probe=executor.probe)
    store = Store(places().artifacts)
    cells = expand(asked, devices, known, store, choices, found, builds_for)
    whole = Plan(cells, name=asked.name, sweep=identity(asked, devices, builds_for))
    say_choices(choices, err=json)
    if dry_run:
        from edge.planning.sources import ArtifactSource
        from edge.sweeps.estimate import estimate, took_s

        there = ArtifactSource(asked.base, store, silent, found, cells).there
        found_run = None if begin is Begin.FRESH else files.unfinished(places().results, whole.id)
        _print_estimate(
            estimate(cells, there, took_s(places().results, whole.id)), cells, choices, found_run, json=json
        )
        return 0
    if begin is Begin.FAILED and not failed(places().results, whole):
        say(f"nothing failed in the latest run of {asked.name}", err=json)
        if json:
            print_json({"sweep": asked.name, "choices": choices.lines, "measurements": [], "failed": [], "skipped": []})
        return 0
    with drawn_board() as (board, progress):
        deployment = work.deploy(
            asked.base,
            whole,
            devices,
            places(),
            progress,
            survey=found,
            begin=begin,
            since=since,
            policy=policy,
            watch=lambda journal: files.told(journal, board),
            executor=executor,
        )
    if json:
        print_json({"sweep": asked.name, **as_json(deployment, choices)})
    else:
        print_deployment(deployment)
    return deployment.exit_code


@runs.command("list")
@command
def list_runs(json: JsonOption = False) -> None:
    """List the runs of sweeps, the newest first.

    Example: edgebench sweeps list
    """
    from edge.places import places
    from edge.report import standing
    from edge.sweeps.runs import runs

    found = runs(places().results)
    if json:
        print_json({"runs": [{**vars(run), "state": run.state} for run in found]})
    elif found:
        typer.echo(standing.runs(found, console_width()))
    else:
        say("no sweep ran yet; begin with: edgebench sweep first-look --device local")


@runs.command("status")
@command
def status(
    run: RunArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show it until it ends.")] = False,
    json: JsonOption = False,
) -> None:
    """Show where a run stands, from any terminal.

    Example: edgebench sweeps status nightly --follow
    """
    from edge.places import places
    from edge.report import standing
    from edge.sweeps import runs as files

    root = places().results
    found = _followed(run) if follow and not json else files.find(root, run)
    if json:
        print_json({**vars(found), "state": found.state})
        return
    say(f"{found.name}, run {found.id}: {found.state}, begun {found.started_at}")
    typer.echo(standing.devices(found.status, console_width()))
    say(standing.counts(found.status))
    if found.state == "stopped":
        say("nobody works on it: the same `edgebench sweep` goes on with it")
    elif found.state == "finished" and found.status.count("failed"):
        say("the same `edgebench sweep` with --failed-only measures what failed")


def _followed(run: str) -> files.Run:
    """Drawn again each second, on a terminal; only the end elsewhere."""
    import sys

    from rich.console import Console
    from rich.live import Live

    from edge.cli.board import screenful
    from edge.places import places
    from edge.sweeps import runs as files

    root = places().results
    if not sys.stdout.isatty():
        return files.follow(root, run, lambda _: None)
    with Live(console=Console(), transient=True, auto_refresh=False) as live:
        return files.follow(root, run, lambda now: live.update(screenful(now.status), refresh=True))


def _devices(asked: Sweep, known: Fleet, given: list[str] | None, progress: Progress) -> tuple[Device, ...]:
    from edge.agent.expansion import pick
    from edge.inventory.selector import any_of
    from edge.places import places

    if given:
        return pick(known, any_of(given), places(), progress)
    return pick(known, asked.devices, places(), progress, f"{asked.source}, key 'devices'")


def _reached(
    devices: Sequence[Device], scheduler: str | None, ca_file: Path | None, cert: Path | None, key: Path | None
) -> AbstractContextManager[Executor]:
    """Who reaches the devices for as long as the block lasts."""
    import contextlib

    from edge.running.executors import Threads
    from profiles.errors import ConfigError

    if scheduler is not None:
        from edge.cluster.scheduler import Certificates, connected

        return connected(scheduler, Certificates(ca_file, cert, key), devices)
    if ca_file or cert or key:
        raise ConfigError(
            "certificates are for a scheduler", where="--tls-*", fix="name it: --scheduler tls://HOST:PORT"
        )
    return contextlib.nullcontext(Threads())


def _begin(*, resume: bool, failed_only: bool, fresh: bool) -> Begin:
    from edge.running.journal import Begin
    from profiles.errors import ConfigError

    if resume + failed_only + fresh > 1:
        fix = "give one of them"
        raise ConfigError("--resume, --failed-only and --fresh exclude each other", where="sweep", fix=fix)
    if failed_only:
        return Begin.FAILED
    return Begin.RESUME if resume else Begin.FRESH if fresh else Begin.GO_ON


def _policy(policy: Policy, max_failures: int | None, repeat_invalid: int | None, wait_online: str | None) -> Policy:
    from dataclasses import replace

    from edge.quantities import parse_duration
    from profiles.errors import ConfigError

    if max_failures is not None:
        policy = replace(policy, max_failures=max_failures)
    if repeat_invalid is not None:
        policy = replace(policy, repeat_invalid=repeat_invalid)
    if wait_online is None:
        return policy
    try:
        return replace(policy, wait_online_s=parse_duration(wait_online))
    except ValueError as error:
        raise ConfigError(str(error), where="--wait-online") from None


def _print_estimate(
    found: Estimate, cells: Sequence[Cell], choices: Choices, unfinished: files.Run | None, *, json: bool
) -> None:
    from edge.quantities import counted, told_bytes, told_duration
    from edge.report import standing

    if json:
        last = unfinished and {"run": unfinished.id, "state": unfinished.state, "done": unfinished.status.count("done")}
        told = {"choices": choices.lines, "notes": choices.notes, "estimate": found, "unfinished": last}
        print_json({"cells": cells, **told})
        return
    typer.echo(f"\n{standing.shares(found, console_width())}\n")
    least = "" if found.known == found.cells else "at least "
    on = f"{counted(found.cells, 'cell')} on {counted(len(found.devices), 'device')}"
    say(f"{on}, {least}{told_duration(found.seconds)}: nothing was begun")
    if unfinished is not None:
        say(standing.unfinished(unfinished))
    if found.bytes:
        say(f"at most {told_bytes(found.bytes)} of models to send; what a device has already is not sent again")
    if found.exports:
        say(f"to be exported first, and not among these bytes: {', '.join(found.exports)}")
