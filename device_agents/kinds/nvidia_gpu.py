"""A discrete NVIDIA GPU, as nvidia-smi tells it. The first GPU is the one that is measured."""

from __future__ import annotations

from typing import Dict, Sequence

from device_agents.contract import Reading
from device_agents.formats.nvidia_smi import parse_query
from device_agents.system import Readings, System, parsed

_IDENTITY = ("name", "uuid", "driver_version", "compute_cap", "memory.total", "mig.mode.current", "ecc.mode.current")
_STATE = ("pstate", "clocks.sm", "clocks.mem", "temperature.gpu", "power.draw", "memory.used", "utilization.gpu")
_NUMBERS = {"memory.total", *_STATE} - {"pstate"}


def identity(system: System) -> Readings:
    return _query(system, _IDENTITY)


def context(system: System) -> Readings:
    return _query(system, ("persistence_mode", "enforced.power.limit"))


def state(system: System) -> Readings:
    return _query(system, _STATE)


def _query(system: System, fields: Sequence[str]) -> Readings:
    source = f"nvidia-smi --query-gpu={','.join(fields)}"
    output = system.run(["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"])
    values: Dict[str, str] = (output is not None and parse_query(output, fields)) or {}
    readings: Readings = {}
    for field in fields:
        name = f"gpu_{field.replace('.', '_')}"
        if field not in values:
            readings[name] = Reading(unknown=f"{source}: not told")
        else:
            readings[name] = parsed(values[field], float if field in _NUMBERS else str, source)
    return readings
