"""What a run that is taken up keeps of what it had measured: nothing that its device would measure otherwise by now."""

from __future__ import annotations

from collections.abc import Sequence

from edge.agent.finding import Found
from edge.inventory.devices import Device
from edge.places import Places
from edge.planning.choosing import Survey
from edge.planning.plan import Cell, Plan
from edge.planning.probing import Probe
from edge.results.store import Measurement
from edge.running.journal import Journal
from profiles.progress import Progress

_TOLD = 3  # changes that a sentence names


def look_again(
    plan: Plan,
    journal: Journal,
    devices: Sequence[Device],
    survey: Survey,
    places: Places,
    progress: Progress,
    probe: Probe,
) -> Survey:
    """The survey, and what was not asked before the plan was made: the runtimes of cells that a run had measured when
    it was interrupted. A device that does not answer now keeps what it measured."""
    wanted: dict[str, dict[str, None]] = {}  # every backend once, in the plan's order
    for cell in plan.cells:
        looked = cell.device in survey.failed or cell.backend in survey.found.get(cell.device, {})
        if journal.resumed and not looked and journal.of(cell).done is not None:
            wanted.setdefault(cell.device, {})[cell.backend] = None
    worth = [device for device in devices if device.name in wanted]
    if not worth:
        return survey
    found, failed = probe(worth, places, progress, {name: tuple(its) for name, its in wanted.items()})
    both = {name: {**survey.found.get(name, {}), **found.get(name, {})} for name in {**survey.found, **found}}
    return Survey(both, {**survey.failed, **failed})


def found_for(cell: Cell, survey: Survey) -> Found | None:
    """What the cell's device answered of its backend; None where it was not asked, or did not answer."""
    return survey.found.get(cell.device, {}).get(cell.backend)


def changed(measurement: Measurement, found: Found | None) -> str:
    """What is another on the device than when this was measured (`runtime_version was 10.3.0.30, is 11.4.0.106`): its
    runtime, or of its identity what both times are known of; "" where nothing is, or nobody could look."""
    if found is None:
        return ""
    result, version = measurement.result, found.report.version
    was = {name: reading.value for name, reading in result.identity.items()}
    now = {name: reading.value for name, reading in found.probe.identity.items()}
    if measurement.cell.power_mode is not None:  # it was in that mode for as long as it was measured
        now.pop("power_mode", None)
    facts = [("runtime_version", result.switches.get("runtime_version"), version.value)]
    facts += [(name, was[name], value) for name, value in now.items() if name in was]
    unlike = [f"{name} was {old}, is {new}" for name, old, new in facts if None not in (old, new) and old != new]
    return "; ".join(unlike[:_TOLD]) + (f"; and {len(unlike) - _TOLD} more" if len(unlike) > _TOLD else "")
