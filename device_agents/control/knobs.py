"""Which knobs there are on a device of each kind, which of them a job wants, and whether it may have them."""

from __future__ import annotations

from pathlib import Path
from typing import List, Sequence

from device_agents.contract import Control, ControlReport
from device_agents.control import discrete, jetson
from device_agents.control.knob import Knob
from device_agents.control.product import Product
from device_agents.control.record import Record
from device_agents.control.root import STAGE, Root, check_folder, line, make_folder, refused, require_folder
from device_agents.errors import DeviceError
from device_agents.state import detect_kind
from device_agents.system import System

_NOT_VOLATILE = (Product.name, jetson.PowerMode.name)


def wanted(control: Control, system: System, log: Path) -> List[Knob]:
    """In the order in which they are turned. `log` is where a product's commands may complain."""
    product = [Product(control.quiesce, control.resume, log)] if control.quiesce else []
    asked = {
        discrete.Persistence.name: control.persistence,
        jetson.PowerMode.name: control.power_mode is not None,
        jetson.ClocksOfMode.name: control.power_mode is not None,
        jetson.Clocks.name: control.lock_clocks,
    }
    there = {knob.name: knob for knob in _of_kind(system, control.power_mode or "")}
    for name, is_wanted in asked.items():
        if is_wanted and name not in there:
            raise DeviceError("no_control", STAGE, f"a {detect_kind(system)} has no {name}")
    return [*product, *(knob for name, knob in there.items() if asked[name])]


def of_step(name: str, record: Record, system: System, log: Path) -> Knob:
    """The knob that a record names. Errors: DeviceError where there is none of the name."""
    every = [*_of_kind(system.of(record.gpu), ""), Product(record.quiesce, record.resume, log)]
    for knob in every:
        if knob.name == name:
            return knob
    raise DeviceError("no_control", STAGE, f"this agent knows no {name} of a {detect_kind(system)}")


def is_volatile(name: str) -> bool:
    return name not in _NOT_VOLATILE


def check(chosen: Sequence[Knob], system: System) -> None:
    """Errors: DeviceError for a knob that is not there, or that this user may not turn and turn back."""
    for knob in chosen:
        why = knob.available()
        if why:
            raise DeviceError("no_control", STAGE, f"{knob.name} cannot be had here: {why}")
    turning = [knob for knob in chosen if not knob.is_turned()]
    commands = Root(system).missing(command for knob in turning for command in knob.commands())
    stores = any(isinstance(knob, jetson.Clocks) for knob in turning)
    if commands:
        raise refused(commands, make_folder(system) if stores and check_folder(system) else "")
    if stores:
        require_folder(system)


def report(system: System) -> ControlReport:
    """What could be turned here, and what this user is missing for it."""
    there = _of_kind(system, "")
    why_not = {knob.name: knob.available() for knob in there}
    having = [knob for knob in there if not why_not[knob.name]]
    missing = Root(system).missing(command for knob in having for command in knob.commands())
    stores = any(isinstance(knob, jetson.Clocks) for knob in having)
    return ControlReport(
        knobs=why_not,
        rule=line(missing) if missing else "",
        folder=make_folder(system) if stores and check_folder(system) else "",
    )


def _of_kind(system: System, mode: str) -> List[Knob]:
    root, kind = Root(system), detect_kind(system)
    if kind == "jetson":
        power_mode = jetson.PowerMode(system, root, mode)
        return [jetson.ClocksOfMode(system, root, power_mode), power_mode, jetson.Clocks(system, root)]
    if kind == "nvidia_gpu":
        return [discrete.Persistence(system, root), discrete.Clocks(system, root)]
    return []
