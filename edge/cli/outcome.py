"""What came of a run, printed: the table, what failed, what was not begun, what it cost; and the same as data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from edge.cli.common import console_width, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from device_agents.contract import ErrorInfo
    from edge.deploy import Deployment
    from edge.planning.choosing import Choices
    from edge.planning.plan import Cell
    from edge.running.device_run import Failed

_MOST_ROWS = 100  # of a table that people read; what is longer is asked for


def say_choices(choices: Choices, *, err: bool) -> None:
    for line in choices.lines:
        say(f"chosen: {line}", err=err)
    for line in choices.notes:
        say(f"note: {line}", err=True)


def as_json(deployment: Deployment, choices: Choices) -> dict[str, object]:
    from edge.report.releases import outcomes_as_json
    from edge.report.row_json import as_json as row_as_json
    from edge.report.row_json import lotteries_as_json

    earlier, others = deployment.report.earlier, deployment.report.others
    return {
        "run": deployment.run,
        "choices": choices.lines,
        "notes": choices.notes,
        "measurements": [
            {
                **row_as_json(row),
                "earlier": row.measurement.id in earlier,
                "other_measurements": others.get(row.measurement.id, ()),
            }
            for row in deployment.rows
        ],
        "lotteries": lotteries_as_json(deployment.rows),
        "failed": [
            {"device": f.cell.device, "cell": f.cell, "attempt": f.attempt, "goes_on": f.goes_on, "error": f.error}
            for f in deployment.failures
        ],
        "skipped": [{"device": s.cell.device, "cell": s.cell, "why": s.why} for s in deployment.skipped],
        "measured_anew": [{"device": cell.device, "cell": cell, "why": why} for cell, why in deployment.report.anew],
        **outcomes_as_json(deployment.releases),
        "pythons": deployment.report.pythons,
        "model_bytes_sent": deployment.report.bytes_sent,
        "seconds": deployment.seconds,
        "building_s": deployment.building_s,
        "measuring_s": deployment.measuring_s,
    }


def print_deployment(deployment: Deployment) -> None:
    from edge.report.releases import sentences

    for device, pythons in deployment.report.pythons.items():
        say(f"chosen: python {', '.join(pythons)} on {device}")
    _print_rows(deployment)
    print_failures(deployment)
    for line in sentences(deployment.releases):
        say(line)
    _print_cost(deployment)


def print_failures(deployment: Deployment, *, err: bool = False) -> None:
    """What failed and why, and what was not begun."""
    say_failures(deployment.failures, err=err)
    _print_skipped(deployment, err=err)


def say_failures(failures: Sequence[Failed], *, err: bool) -> None:
    for alike in _alike(failures):
        _print_failures(alike, err=err)


def _print_rows(deployment: Deployment) -> None:
    from edge.report import table

    rows, report = deployment.rows, deployment.report
    if len(rows) > _MOST_ROWS:
        say(f"{len(rows)} measurements: edgebench results list --last {len(rows)}")
    elif rows:
        typer.echo(f"\n{table.measurements(rows, ids=False, width=console_width())}\n")
    if report.earlier:
        say(f"measured before in this run: {len(report.earlier)} of these; --fresh measures all anew")
    for row in rows:
        others = report.others.get(row.measurement.id)
        if others:
            what = f"{row.measurement.cell.device} {row.measurement.cell.label}"
            say(f"{what}: measured {len(others) + 1} times, as it was INVALID; not counted: {', '.join(others)}")
    for (device, why), labels in _changed(report.anew).items():
        say(f"{device} has changed since this run was interrupted ({why}): measured anew: {', '.join(labels)}")
    for note in table.notes(rows) if len(rows) <= _MOST_ROWS else ():
        say(note)


def _print_cost(deployment: Deployment) -> None:
    waited = max((row.waited_s for row in deployment.rows), default=0.0)
    if waited > 1.0:
        say(f"up to {waited:.0f} s were spent waiting for an accelerator that another job held")
    built_s = deployment.building_s
    rest = max(deployment.seconds - deployment.measuring_s - built_s, 0.0)
    building = f"{built_s:.1f} s building engines, " if built_s else ""
    say(
        f"{deployment.seconds:.1f} s, of which {building}{rest:.1f} s neither loading, checking, warming up nor "
        f"timing; {deployment.report.bytes_sent:,} bytes of models sent; run {deployment.run}"
    )
    if deployment.rows:
        say(f"more: edgebench results list, edgebench results show {deployment.rows[0].measurement.id}")


def _print_skipped(deployment: Deployment, *, err: bool) -> None:
    """What was not begun, and the counts where not all went well."""
    from edge.quantities import counted

    skipped = deployment.skipped
    if skipped:
        say(
            f"{counted(len(skipped), 'cell')} not begun: {skipped[0].why}; the same command goes on from there", err=err
        )
    if deployment.failures and len(deployment.report.outcomes) > 1:
        stages = [failure.error.stage or failure.error.code for failure in deployment.failures]
        by_stage = ", ".join(f"{stages.count(stage)} {stage}" for stage in sorted(set(stages)))
        done = len(deployment.rows)
        say(f"{done} of {len(deployment.report.outcomes)} cells done, {len(stages)} failed ({by_stage})", err=err)


def _changed(anew: Sequence[tuple[Cell, str]]) -> dict[tuple[str, str], list[str]]:
    """The labels of the cells that were measured a second time, by device and what has changed there."""
    found: dict[tuple[str, str], list[str]] = {}
    for cell, why in anew:
        found.setdefault((cell.device, why), []).append(cell.label)
    return found


def _alike(failures: Sequence[Failed]) -> list[list[Failed]]:
    """Failures of one device for one reason together: a device that is not reached says so once, not once a cell."""
    groups: dict[tuple[str, ErrorInfo, bool], list[Failed]] = {}
    for failure in failures:
        groups.setdefault((failure.cell.device, failure.error, failure.goes_on), []).append(failure)
    return list(groups.values())


def _print_failures(failures: Sequence[Failed], *, err: bool) -> None:
    from profiles.errors import sentence

    first, error = failures[0], failures[0].error
    cells = ", ".join(failure.cell.label for failure in failures)
    device, _, place = error.where.partition(", ")
    where = place if device == first.cell.device else error.where  # which the line begins with already
    what = sentence(error.message, where=where, fix=error.fix)
    say(f"failed on {first.cell.device} ({error.stage or error.code}; {cells}): {what}", err=err)
    if first.goes_on:
        say("  its measurement goes on there: run the same command again to collect it", err=err)
