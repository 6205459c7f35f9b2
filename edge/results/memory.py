"""Memory: the most that a process and its device held over what they held before the runtime was imported, by stage.

What edgebench itself keeps in the process is taken off: samples to check with, and inputs in rotation over more than a
cache. Figures are bytes, and of a measurement the most of any process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from device_agents.contract import ProcessResult
from edge.results.energy import NotKnown
from edge.results.store import Measurement

BASELINE = "baseline"
STAGES = tuple(name for name in ProcessResult.STAGES if name not in (BASELINE, *ProcessResult.OWN_STAGES))
"""The stages of an application: import, load, compile, first_inference, timed."""

OWN_PROCESS = "NVML, of this process"
WHOLE_BOARD = "NVML, of the whole GPU over what was in use before"
SHARED = "MemAvailable, which GPU and system share: it counts the process too"

_Stages = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Stage:
    """What was held by the end of a stage, over the baseline: `process` at its most within the stage, `device` at its
    end (None where the device does not tell). Stages go on from one another: loading holds what importing held."""

    name: str
    process: int
    device: int | None


@dataclass(frozen=True)
class Memory:
    """The most over all stages. `device_source` is where the device's figure is from, "" where there is none;
    `allocator` is the most that the runtime says it took on the device, None where it does not tell. `baseline` is what
    the process held before the import, `own` what edgebench keeps in it and is in no figure. `caveat` is why a stage's
    peak may be an earlier one's, "" where it is its own."""

    process: int
    device: int | None
    device_source: str
    allocator: int | None
    baseline: int
    own: int
    stages: tuple[Stage, ...]
    caveat: str = ""


def of(measurement: Measurement) -> Memory | NotKnown:
    """Errors: none; NotKnown says why there is no figure."""
    result = measurement.result
    if not result.processes:
        return NotKnown("no process of ours ran")
    told = [process for process in result.processes if "rss" in process.stages.get(BASELINE, {})]
    if not told:
        if result.processes[0].first_inference_ns:
            return NotKnown("it was not recorded by stage: it was measured by an earlier edgebench")
        return NotKnown(f"{measurement.cell.backend} runs the inferences in a process of its own")
    return _most([_of_process(process) for process in told])


def _of_process(process: ProcessResult) -> Memory:
    found = {name: process.stages[name] for name in ProcessResult.STAGES if name in process.stages}
    stages, own = _net(found)
    source, on_device = _on_device(found)
    reading = process.state.get("memory_peaks")
    allocated = [stage["engine_device"] for stage in found.values() if "engine_device" in stage]
    return Memory(
        process=max(stages.values(), default=0),
        device=max(on_device.values(), default=None),
        device_source=source,
        allocator=max(allocated, default=None),
        baseline=found[BASELINE]["rss"],
        own=own,
        stages=tuple(Stage(name, stages[name], on_device.get(name)) for name in stages),
        caveat="" if reading is None else reading.unknown or "",
    )


def _net(found: _Stages) -> tuple[dict[str, int], int]:
    """The most of each stage of an application over the baseline, without what edgebench had put into the process by
    then; and how much that is in the end."""
    own, before, net = 0, found[BASELINE]["rss"], {}
    for name, stage in found.items():
        if name in ProcessResult.OWN_STAGES:
            own += max(stage["rss"] - before, 0)
        elif name != BASELINE:
            net[name] = max(stage["rss_peak"] - found[BASELINE]["rss"] - own, 0)
        before = stage["rss"]
    return net, own


def _on_device(found: _Stages) -> tuple[str, dict[str, int]]:
    """What the device held by the end of each stage, and who says so."""
    stages = {name: stage for name, stage in found.items() if name in STAGES}
    own = {name: stage["device_process"] for name, stage in stages.items() if "device_process" in stage}
    if own:
        return OWN_PROCESS, own
    for key, source, sign in (("device", WHOLE_BOARD, 1), ("available", SHARED, -1)):
        before = found[BASELINE].get(key)
        if before is not None:
            grown = {name: sign * (stage[key] - before) for name, stage in stages.items() if key in stage}
            return source, {name: max(count, 0) for name, count in grown.items()}
    return "", {}


def _most(of_processes: Sequence[Memory]) -> Memory:
    """Of every figure the most of any process."""
    first = of_processes[0]
    names = [stage.name for stage in first.stages]
    by_name = [{stage.name: stage for stage in one.stages} for one in of_processes]
    return Memory(
        process=max(one.process for one in of_processes),
        device=_largest([one.device for one in of_processes]),
        device_source=first.device_source,
        allocator=_largest([one.allocator for one in of_processes]),
        baseline=max(one.baseline for one in of_processes),
        own=max(one.own for one in of_processes),
        stages=tuple(
            Stage(
                name,
                max(its[name].process for its in by_name if name in its),
                _largest([its[name].device for its in by_name if name in its]),
            )
            for name in names
        ),
        caveat=first.caveat,
    )


def _largest(values: Sequence[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)
