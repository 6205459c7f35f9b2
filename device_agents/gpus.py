"""The GPUs of a host with several: which one a job takes, and what goes on on the others.

nvidia-smi counts in the order of the PCI bus; CUDA does by CUDA_DEVICE_ORDER=PCI_BUS_ID alone, so a worker is pinned by
UUID. On a Jetson there is one GPU, and nothing here is asked.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Dict, List, Optional, Tuple

from device_agents.contract import GpuReport, Reading
from device_agents.errors import DeviceError
from device_agents.formats.nvidia_smi import parse_instances, parse_rows
from device_agents.system import GPU_VARIABLE, Readings, System

_FIELDS = ("index", "uuid", "name", "memory.used", "utilization.gpu")
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_MIB = 1 << 20
_NOTHING = 512 * _MIB  # below which memory in use is the driver's own
_UNKNOWN = 1 << 62


@dataclass(frozen=True)
class Choice:
    """The GPU of a job and why it is that one. `pinned`: workers are to see no other; a host's only GPU needs no pin.
    `free`: nobody asked for it."""

    gpu: GpuReport
    of: Tuple[GpuReport, ...]
    why: str
    pinned: bool
    free: bool

    @property
    def environment(self) -> Dict[str, str]:
        """What makes a worker see this GPU alone."""
        if not self.pinned:
            return {}
        return {_VISIBLE: self.gpu.uuid, "CUDA_DEVICE_ORDER": "PCI_BUS_ID", GPU_VARIABLE: self.gpu.board}

    def seen(self, system: System) -> System:
        return system.of(self.gpu.board) if self.pinned else system


def look(system: System) -> Tuple[GpuReport, ...]:
    """What work can be pinned to, in nvidia-smi's order: the boards, and in place of one that is divided, its MIG
    instances. () where nvidia-smi does not tell."""
    listing = system.run(["nvidia-smi", "-L"])
    instances = parse_instances(listing or "")
    found: List[GpuReport] = []
    for board in _boards(system):
        parts = instances.get(board.uuid, [])
        found += [GpuReport(board.index, uuid, f"{board.name} MIG", board.uuid) for uuid in parts] or [board]
    return tuple(found)


def choices(system: System, wanted: str) -> List[Choice]:
    """The GPUs that a job may take, the best first: the one that is `wanted`, by index or UUID, or else the idlest,
    by what computes there, memory in use and load. [] where nobody tells of any.

    Errors: DeviceError when the one that is wanted is not there.
    """
    there = look(system)
    if wanted:
        gpu = _named(wanted, there)
        if gpu is None:
            listed = ", ".join(f"{each.index} {each.uuid}" for each in there) or "none"
            fix = "name another with `gpus =` in fleet.toml"
            raise DeviceError("no_gpu", "lock", f"there is no GPU {wanted} (nvidia-smi names: {listed})", fix=fix)
        return [Choice(gpu, there, "asked for", pinned=True, free=False)]
    allowed = _visible(there)
    if len(there) == 1 and allowed:
        return [Choice(there[0], there, "the only one", pinned=False, free=False)]
    return [
        Choice(gpu, there, _why(gpu, len(there)), pinned=True, free=True) for gpu in sorted(allowed, key=_idlest_first)
    ]


def tell(choice: Choice, identity: Readings, context: Readings) -> None:
    """Add the choice and the neighbours to what is said of a device."""
    gpu = choice.gpu
    if not choice.pinned:
        return
    context["gpu_choice"] = Reading(f"{gpu.index} ({gpu.uuid}): {choice.why}", "nvidia-smi")
    context["gpu_neighbours"] = Reading(neighbours(choice), "nvidia-smi")
    if gpu.is_instance:
        identity["gpu_instance"] = Reading(gpu.uuid, "nvidia-smi -L")
    if choice.free and "gpu_uuid" in identity:
        context["gpu_uuid"] = identity.pop("gpu_uuid")


def neighbours(choice: Choice) -> str:
    """What goes on on the other GPUs of the host: `0: 97 % busy, 1 process, 30 GiB used; ...`."""
    return "; ".join(f"{gpu.index}: {_load(gpu)}" for gpu in choice.of if gpu.uuid != choice.gpu.uuid) or "none"


def _boards(system: System) -> List[GpuReport]:
    argv = ["nvidia-smi", f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits"]
    found: List[GpuReport] = []
    for number, row in enumerate(parse_rows(system.run(argv) or "", _FIELDS)):
        if row is None or "uuid" not in row:
            continue
        index, used, busy = row.get("index", ""), _number(row.get("memory.used")), _number(row.get("utilization.gpu"))
        found.append(
            GpuReport(
                index=int(index) if index.isdigit() else number,
                uuid=row["uuid"],
                name=row.get("name", "unnamed"),
                board=row["uuid"],
                memory_used_bytes=None if used is None else round(used) * _MIB,
                busy_share=None if busy is None else round(busy / 100, 4),
            )
        )
    return _with_processes(system, found) if len(found) > 1 else found


def _with_processes(system: System, boards: List[GpuReport]) -> List[GpuReport]:
    fields = ("gpu_uuid", "pid")
    argv = ["nvidia-smi", f"--query-compute-apps={','.join(fields)}", "--format=csv,noheader,nounits"]
    rows = [row.get("gpu_uuid") for row in parse_rows(system.run(argv) or "", fields) if row]
    return [replace(board, processes=rows.count(board.uuid)) for board in boards]


def _named(wanted: str, there: Tuple[GpuReport, ...]) -> Optional[GpuReport]:
    """By UUID or index. The index of a board that is divided stands for its first instance, as it does in CUDA."""
    same = [gpu for gpu in there if gpu.uuid == wanted]
    return next(iter(same or (gpu for gpu in there if str(gpu.index) == wanted)), None)


def _visible(there: Tuple[GpuReport, ...]) -> List[GpuReport]:
    """Those that CUDA_VISIBLE_DEVICES leaves to this process, as a batch system sets it."""
    setting = os.environ.get(_VISIBLE)
    if setting is None:
        return list(there)
    named = [_named(word.strip(), there) for word in setting.split(",")]
    return [gpu for gpu in named if gpu is not None]


def _idlest_first(gpu: GpuReport) -> Tuple[int, int, float, int]:
    used = _UNKNOWN if gpu.memory_used_bytes is None else gpu.memory_used_bytes // _NOTHING
    return gpu.processes, used, 1.0 if gpu.busy_share is None else gpu.busy_share, gpu.index


def _why(gpu: GpuReport, count: int) -> str:
    idle = not gpu.processes and (gpu.memory_used_bytes or 0) < _NOTHING and (gpu.busy_share or 0.0) < 0.05
    return f"the {'first idle' if idle else 'least busy'} one of {count} ({_load(gpu)})"


def _load(gpu: GpuReport) -> str:
    busy = "load not told" if gpu.busy_share is None else f"{gpu.busy_share:.0%} busy".replace("%", " %")
    used = "" if gpu.memory_used_bytes is None else f", {gpu.memory_used_bytes / (1 << 30):.1f} GiB used"
    count = f"{gpu.processes} process{'' if gpu.processes == 1 else 'es'}"
    return f"{busy}, {count}{used}"


def _number(text: Optional[str]) -> Optional[float]:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
