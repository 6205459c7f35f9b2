"""A discrete NVIDIA GPU, as nvidia-smi tells it: the one that was chosen (device_agents/gpus.py), else the first."""

from __future__ import annotations

import time
from typing import Dict, List, Sequence

from device_agents import nvidia
from device_agents.contract import Reading
from device_agents.family import Family
from device_agents.formats.nvidia_smi import NO_PROCESS, parse_query, parse_temperature_limit
from device_agents.gauges import Gauges, board, processors
from device_agents.system import Readings, System, parsed

_IDENTITY = ("name", "uuid", "driver_version", "compute_cap", "memory.total", "mig.mode.current", "ecc.mode.current")
_CONTEXT = (
    "persistence_mode", "enforced.power.limit", "clocks.max.sm", "clocks.max.mem", "pcie.link.gen.current",
    "pcie.link.gen.max", "pcie.link.width.current", "pcie.link.width.max",
)  # fmt: skip
_STATE = ("pstate", "clocks.sm", "clocks.mem", "temperature.gpu", "power.draw", "memory.used", "utilization.gpu")
_NUMBERS = {"memory.total", *_STATE} - {"pstate"}


def identity(system: System) -> Readings:
    return _query(system, _IDENTITY)


def context(system: System) -> Readings:
    return {
        **_query(system, _CONTEXT),
        "temperature_limit_c": temperature_limit(system),
        "gpu_processes": nvidia.processes(system),
        **nvidia.installed(system),
    }


def gauges(system: System, family: Family) -> Gauges:
    """What is watched of it while a job runs."""
    found = processors.gauges(system, family)
    found.include(board.gauges(system, family))
    return found


def state(system: System) -> Readings:
    return _query(system, _STATE)


def temperature(system: System) -> Reading:
    """Of the GPU, in degrees Celsius."""
    return _query(system, ("temperature.gpu",))["gpu_temperature_gpu"]


def temperature_limit(system: System) -> Reading:
    """Where the GPU slows itself down, in degrees Celsius, by its own word."""
    argv = ["nvidia-smi", "-q", "-d", "TEMPERATURE", f"--id={system.gpu or 0}"]
    return system.command(argv, parse_temperature_limit)


def busy_share(system: System, window_s: float = 0.25) -> Reading:
    """The GPU's utilisation over the driver's last sample period (1/6 to 1 s), 0 to 1, after sleeping `window_s`.

    Where the driver keeps that to itself, as with MIG, 0 if nothing computes there.
    """
    time.sleep(window_s)
    used = _query(system, ("utilization.gpu",))["gpu_utilization_gpu"]
    if isinstance(used.value, float):
        return Reading(round(used.value / 100, 4), used.source)
    running = nvidia.processes(system)
    if running.value == NO_PROCESS:
        return Reading(0.0, running.source)
    return Reading(unknown=used.unknown if running.unknown else f"{running.source}: {running.value}, its load not told")


def _query(system: System, fields: Sequence[str]) -> Readings:
    """Every field a reading. A driver that does not know one of them refuses the whole: then each is asked alone."""
    values = _answers(system, fields)
    if not values and _answers(system, fields[:1]):
        values = {name: value for field in fields for name, value in _answers(system, [field]).items()}
    readings: Readings = {}
    source = f"nvidia-smi --query-gpu={','.join(fields)}"
    for field in fields:
        name = f"gpu_{field.replace('.', '_')}"
        if field not in values:
            readings[name] = Reading(unknown=f"{source}: not told")
        else:
            readings[name] = parsed(values[field], float if field in _NUMBERS else str, source)
    return readings


def _answers(system: System, fields: Sequence[str]) -> Dict[str, str]:
    argv: List[str] = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    output = system.run([*argv, f"--id={system.gpu}"] if system.gpu else argv)
    return (output is not None and parse_query(output, fields)) or {}
