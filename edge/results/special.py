"""What of a request is not as by default, in words."""

from __future__ import annotations

from dataclasses import replace

from device_agents.contract import Scalar
from edge.planning.plan import OWN, Cell

_DIGITS = 6  # of the operator's own data's SHA-256


def special(cell: Cell, own_inputs: str = "own inputs") -> list[str]:
    """What of the request is not as by default, and in no column of its own: `streams=2`, `own inputs`,
    `no transfers` ..."""
    told = [f"{name}={option(value)}" for name, value in sorted(cell.options.items())]
    told += ["bounds " + ", ".join(map(str, profile.values())) for profile in cell.profiles]
    told += [own_inputs] if cell.inputs else []
    told += ["hot input"] if cell.hot_input else []
    told += ["cold start"] if cell.cold else []
    told += [] if cell.transfers else ["no transfers"]
    told += [] if cell.engines == OWN else [f"engines {cell.engines}"]
    told += ["static engine"] if cell.static else []
    told += ["locked clocks"] if cell.lock_clocks else []
    told += [f"power mode {cell.power_mode}"] if cell.power_mode else []
    told += ["persistence"] if cell.persistence else []
    told += ["shared"] if cell.shared else []
    told += [f"build {cell.build}"] if cell.build else []
    told += [f"repeat {cell.repeat + 1}"] if cell.repeat else []
    return told


def option(value: Scalar) -> str:
    """As it was written on the command line."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def numbered(cell: Cell) -> str:
    """The operator's own data, with the first digits by which it is told from other data."""
    return f"own inputs {(cell.inputs or '')[:_DIGITS]}"


def whole_label(cell: Cell) -> str:
    """Its label with all that is special and not in that, so that what is measured apart is told apart."""
    told = special(replace(cell, power_mode=None, build=0, repeat=0), numbered(cell))
    return f"{cell.label}, with {', '.join(told)}" if told else cell.label
