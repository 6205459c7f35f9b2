"""Where a run stands, for people: a table of devices that fits, the counts, what failed and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge.quantities import counted, told_bytes, told_duration
from edge.report.columns import Column, Spare, listing
from edge.running.watching import DeviceStatus, RunStatus
from edge.sweeps.estimate import DeviceShare, Estimate
from edge.sweeps.runs import Run

_SPARES = (Spare("for"), Spare("so far"), Spare("last failure"), Spare("left"))


def devices(status: RunStatus, width: int, *, most: int | None = None) -> str:
    """A row a device: those that work first, then those with failures; `most` of them, where it is drawn again and
    again."""
    names = sorted(status.devices, key=lambda name: _rank(status.devices[name]))
    shown = names if most is None else names[:most]
    rows = [status.devices[name] for name in shown]
    if not rows:
        return ""
    columns = [
        Column("device", shown),
        Column("done", [f"{one.done} of {one.total}" for one in rows], right=True),
        Column("failed", [str(one.failed or "") for one in rows], right=True),
        Column("skipped", [str(one.skipped or "") for one in rows], right=True),
        Column("doing", [one.doing for one in rows]),
        Column("so far", [_part(one) for one in rows], right=True),
        Column(
            "for", [told_duration(max(status.at - one.since, 0.0)) if one.doing else "" for one in rows], right=True
        ),
        Column("left", [_left(one) for one in rows], right=True),
        Column("last failure", [one.error[:60] for one in rows]),
    ]
    more = f"\n... and {len(names) - len(shown)} more" if len(shown) < len(names) else ""
    return listing(columns, width, _SPARES, tell=most is None) + more


def counts(status: RunStatus) -> str:
    """`34 of 48 cells done, 2 failed (1 connect, 1 run), 3 skipped; about 12 min left`."""
    parts = [f"{status.count('done')} of {status.count('total')} cells done"]
    failed, skipped = status.count("failed"), status.count("skipped")
    if failed:
        parts.append(f"{failed} failed{_by_stage(status.failures)}")
    parts += [f"{skipped} skipped"] if skipped else []
    eta_s = status.eta_s
    left = f"; about {told_duration(eta_s)} left" if eta_s and not status.ended else ""
    return ", ".join(parts) + left


def unfinished(run: Run) -> str:
    """Of a plan that is looked at again before it goes on."""
    done = f"{run.status.count('done')} of {counted(run.status.count('total'), 'cell')}"
    goes_on = "is under way" if run.under_way else "is what the same command goes on with"
    return f"run {run.id} of this plan {goes_on}: {done} done already"


def runs(found: Sequence[Run], width: int) -> str:
    """A row a run."""
    columns = [
        Column("sweep", [run.name for run in found]),
        Column("run", [run.id for run in found]),
        Column("begun (UTC)", [run.started_at[:16].replace("T", " ") for run in found]),
        Column("state", [run.state for run in found]),
        Column("devices", [str(len(run.status.devices)) for run in found], right=True),
        Column("done", [f"{run.status.count('done')} of {run.status.count('total')}" for run in found], right=True),
        Column("failed", [str(run.status.count("failed") or "") for run in found], right=True),
    ]
    return listing(columns, width, (Spare("begun (UTC)"), Spare("devices")))


def shares(found: Estimate, width: int) -> str:
    """What each device would do, a row a device."""
    rows = list(found.devices.values())
    columns = [
        Column("device", list(found.devices)),
        Column("cells", [str(one.cells) for one in rows], right=True),
        Column("to send", [_to_send(one) for one in rows], right=True),
        Column("takes", [told_duration(one.seconds) for one in rows], right=True),
    ]
    return listing(columns, width, ())


def _to_send(one: DeviceShare) -> str:
    """What is to be exported has no size yet."""
    if not one.exports:
        return told_bytes(one.bytes)
    return f"{told_bytes(one.bytes)} and more" if one.bytes else "not known yet"


def _by_stage(failures: Mapping[str, int]) -> str:
    return f" ({', '.join(f'{count} {stage}' for stage, count in sorted(failures.items()))})" if failures else ""


def _rank(one: DeviceStatus) -> int:
    if one.doing:
        return 0
    return 1 if one.failed else 2 if one.left else 3


def _part(one: DeviceStatus) -> str:
    """Of a file that is sent; cells are counted beside it."""
    if one.whole <= one.total or not one.doing.startswith("upload"):
        return ""
    return f"{told_bytes(one.part)} of {told_bytes(one.whole)}"


def _left(one: DeviceStatus) -> str:
    return told_duration(one.eta_s) if one.left and one.eta_s is not None else ""
