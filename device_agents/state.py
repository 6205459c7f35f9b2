"""What the device is and what it was doing."""

from __future__ import annotations

from types import ModuleType
from typing import Optional

from device_agents import gpus
from device_agents.contract import JobSpec, Reading, kind_measured
from device_agents.gpus import Choice
from device_agents.kinds import cpu, load_kind
from device_agents.system import ROOT_VARIABLE, Readings, System


def detect_kind(system: System) -> str:
    """jetson, nvidia_gpu or cpu: the first that this device shows signs of."""
    if system.exists("/etc/nv_tegra_release"):
        return "jetson"
    if system.exists("/dev/nvidiactl") or system.run(["nvidia-smi", "-L"]) is not None:
        return "nvidia_gpu"
    return "cpu"


def measured(system: System, spec: JobSpec) -> ModuleType:
    """The module of device_agents.kinds of what a job is about to time."""
    return load_kind(kind_measured(detect_kind(system), spec.options))


def describe(
    system: System, choice: Optional[Choice] = None, spec: Optional[JobSpec] = None
) -> "tuple[str, Readings, Readings]":
    """Kind, identity (compared between measurements) and context (shown beside them). Which GPU a free `choice` among
    several fell on is context: another one of them would do as well. The limit of a GPU's temperature is none of a job
    that measures the processor beside it (`spec`)."""
    kind = detect_kind(system)
    identity, context = cpu.identity(system), cpu.context(system)
    if kind != "cpu":
        module = load_kind(kind)
        identity.update(module.identity(system))
        context.update(module.context(system))
    if spec is not None and kind_measured(kind, spec.options) != kind:
        context.pop("temperature_limit_c", None)
    if choice is not None:
        gpus.tell(choice, identity, context)
    if system.recorded:
        context["recorded_system"] = Reading(str(system.root), ROOT_VARIABLE)
    return kind, identity, context


def snapshot(system: System) -> Readings:
    """What changes from second to second; read before and after every process."""
    readings = cpu.state(system)
    kind = detect_kind(system)
    if kind != "cpu":
        readings.update(load_kind(kind).state(system))
    return readings


def temperature(system: System, spec: JobSpec) -> Reading:
    """Of what the job measures, in degrees Celsius: the GPU where there is one that tells it, else the hottest
    sensor."""
    reading: Reading = measured(system, spec).temperature(system)
    return reading


def busy_share(system: System, window_s: float = 0.25) -> Reading:
    """Share of the accelerator that somebody else's work took while this process slept, 0 to 1: of the GPU where there
    is one, else of the processors."""
    reading: Reading = load_kind(detect_kind(system)).busy_share(system, window_s)
    return reading
