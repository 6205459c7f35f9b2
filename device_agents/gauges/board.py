"""A discrete NVIDIA GPU: by NVML, or where that cannot be loaded by one nvidia-smi that is kept running."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from device_agents.family import Family
from device_agents.formats import nvidia_smi
from device_agents.gauges import Gauge, Gauges, Quantity, Unreadable
from device_agents.nvml import Board, NvmlError
from device_agents.system import System

NAMES = (
    "gpu_clock", "memory_clock", "temperature", "temperature_memory", "power", "energy", "throttled_thermal",
    "throttled_power", "throttled_other", "gpu_busy", "gpu_memory_used", "gpu_foreign_processes",
)  # fmt: skip
POWER_CAP, SLOWDOWN, SOFTWARE_THERMAL, HARDWARE_THERMAL, POWER_BRAKE = 0x4, 0x8, 0x20, 0x40, 0x80
"""Bits of nvmlClocksEventReasons: what holds clocks back. Others (idle, a setting of somebody) are no throttling."""

_SYNC_BOOST = 0x10
_MHZ = 1_000_000
_PROCESSES_EVERY_S = 0.5  # listing them takes the driver longest


def gauges(system: System, family: Family) -> Gauges:
    found = Gauges()
    try:
        board = Board(system)
    except NvmlError as error:
        found.add(NAMES, lambda: Smi(system))
        if not found.unknown:
            unknown = "nvidia-smi --query-gpu does not tell it"
            found.unknown.update({"energy": unknown, "gpu_foreign_processes": unknown})
        found.unknown = {name: f"{error}; {reason}" for name, reason in found.unknown.items()}
        return found
    found.add(NAMES, lambda: ByNvml(board))
    found.add(("gpu_foreign_processes",), lambda: ForeignProcesses(board, family))
    return found


class ByNvml(Gauge):
    """Each a call or two that takes microseconds."""

    def __init__(self, board: Board) -> None:
        self._board = board
        now = board.power_now_mw() is not None
        self._power: Callable[[], Optional[int]] = board.power_now_mw if now else board.power_mw
        power = "NVML_FI_DEV_POWER_INSTANT" if now else "nvmlDeviceGetPowerUsage"
        self.quantities = (
            Quantity("gpu_clock", "Hz", "NVML: nvmlDeviceGetClockInfo(SM)"),
            Quantity("memory_clock", "Hz", "NVML: nvmlDeviceGetClockInfo(MEM)"),
            Quantity("temperature", "C", "NVML: nvmlDeviceGetTemperature(GPU)"),
            Quantity("temperature_memory", "C", "NVML: NVML_FI_DEV_MEMORY_TEMP"),
            Quantity("power", "W", f"NVML: {power}, the board", 1000),
            Quantity("energy", "J", "NVML: nvmlDeviceGetTotalEnergyConsumption, the board", 1000),
            *_throttles("NVML: nvmlDeviceGetCurrentClocksEventReasons"),
            Quantity("gpu_busy", "", "NVML: nvmlDeviceGetUtilizationRates", 100),
            Quantity("gpu_memory_used", "B", "NVML: nvmlDeviceGetMemoryInfo"),
        )

    def read(self) -> Sequence[Optional[int]]:
        board, used = self._board, self._board.utilization()
        return (
            _times(board.clock_mhz(), _MHZ),
            _times(board.memory_clock_mhz(), _MHZ),
            board.temperature_c(),
            board.memory_temperature_c(),
            self._power(),
            board.energy_mj(),
            *throttled(board.throttle_reasons()),
            None if used is None else used.gpu,
            board.memory_used_bytes(),
        )

    def close(self) -> None:
        self._board.close()


class ForeignProcesses(Gauge):
    """How many processes that are not the job's compute on the board, other instances of it included. In a container
    the driver may number them as the host does: then nobody can tell whose they are."""

    every_s = _PROCESSES_EVERY_S

    def __init__(self, board: Board, family: Family) -> None:
        self._board = board
        self._family = family
        source = "NVML: nvmlDeviceGetComputeRunningProcesses less the job's own"
        self.quantities = (Quantity("gpu_foreign_processes", "", source),)

    def read(self) -> Sequence[Optional[int]]:
        pids = self._board.compute_pids()
        if pids is None or not self._family.knows(pids):
            return (None,)
        return (len(pids - self._family.pids()),)


class Smi(Gauge):
    """One `nvidia-smi --query-gpu=... --loop-ms=100`: a line each time, the newest of which counts. Where we are killed
    it ends by SIGPIPE, its next line having no reader."""

    FIELDS: Dict[str, Tuple[str, str, int, float]] = {  # of nvidia-smi: name, unit, per_unit, times
        "clocks.sm": ("gpu_clock", "Hz", 1, _MHZ),
        "clocks.mem": ("memory_clock", "Hz", 1, _MHZ),
        "temperature.gpu": ("temperature", "C", 1, 1),
        "temperature.memory": ("temperature_memory", "C", 1, 1),
        "utilization.gpu": ("gpu_busy", "", 100, 1),
        "memory.used": ("gpu_memory_used", "B", 1, 1 << 20),
    }
    NAMED: Sequence[Tuple[str, str]] = (  # power of the moment and what holds clocks back, as drivers have named them
        ("power.draw.instant", "clocks_event_reasons.active"),
        ("power.draw.instant", "clocks_throttle_reasons.active"),
        ("power.draw", "clocks_throttle_reasons.active"),
    )

    def __init__(self, system: System, period_ms: int = 100) -> None:
        program = shutil.which("nvidia-smi")
        if program is None:
            raise Unreadable("nvidia-smi: not there")
        self._fields = self._known(system)
        chosen = [f"--id={system.gpu or 0}", f"--loop-ms={period_ms}"]
        null = subprocess.DEVNULL
        argv = [program, f"--query-gpu={','.join(self._fields)}", "--format=csv,noheader,nounits", *chosen]
        self._child = subprocess.Popen(argv, stdin=null, stdout=subprocess.PIPE, stderr=null)
        assert self._child.stdout is not None  # noqa: S101 - for the type checker: it is a pipe
        self._out = self._child.stdout.fileno()
        os.set_blocking(self._out, False)
        self._rest = b""
        source = f"nvidia-smi --query-gpu --loop-ms={period_ms}"
        self.quantities = (
            *(Quantity(name, unit, source, per) for name, unit, per, _ in self.FIELDS.values()),
            Quantity("power", "W", f"{source}: {self._fields[-2]}, the board", 1000),
            *_throttles(source),
        )

    def read(self) -> Sequence[Optional[int]]:
        line = self._newest()
        row = nvidia_smi.parse_query(line, self._fields) if line else None
        if row is None:
            return [None] * len(self.quantities)
        numbers = [_scaled(row.get(field), times) for field, (_, _, _, times) in self.FIELDS.items()]
        power, reasons = (row.get(field) for field in self._fields[-2:])
        return (*numbers, _scaled(power, 1000), *throttled(_hexadecimal(reasons)))

    def close(self) -> None:
        with self._child as child:
            child.kill()

    def _known(self, system: System) -> List[str]:
        """The fields, with those names that the driver knows."""
        for named in self.NAMED:
            fields = [*self.FIELDS, *named]
            argv = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
            if system.run([*argv, f"--id={system.gpu or 0}"]) is not None:
                return fields
        raise Unreadable(f"nvidia-smi --query-gpu={','.join(self.FIELDS)}: refused")

    def _newest(self) -> str:
        """The last whole line since the last look, "" where there is none."""
        try:
            for block in iter(lambda: os.read(self._out, 1 << 16), b""):
                self._rest += block
        except BlockingIOError:
            pass
        whole, end, self._rest = self._rest.rpartition(b"\n")
        lines = whole.decode("utf-8", "replace").splitlines() if end else []
        return lines[-1] if lines else ""


def throttled(reasons: Optional[int]) -> Tuple[Optional[int], Optional[int], Optional[int]]:
    """By heat, by power, by something else of the hardware: 1 or 0 each. A hardware slowdown that names no cause is
    `other`."""
    if reasons is None:
        return None, None, None
    thermal = reasons & (SOFTWARE_THERMAL | HARDWARE_THERMAL)
    power = reasons & (POWER_CAP | POWER_BRAKE)
    cause = reasons & (HARDWARE_THERMAL | POWER_BRAKE)
    other = reasons & _SYNC_BOOST or (reasons & SLOWDOWN and not cause)
    return int(bool(thermal)), int(bool(power)), int(bool(other))


def _throttles(source: str) -> Tuple[Quantity, ...]:
    return tuple(Quantity(f"throttled_{cause}", "", source) for cause in ("thermal", "power", "other"))


def _times(value: Optional[int], factor: int) -> Optional[int]:
    return None if value is None else value * factor


def _scaled(text: Optional[str], factor: float) -> Optional[int]:
    try:
        return None if text is None else round(float(text) * factor)
    except ValueError:
        return None


def _hexadecimal(text: Optional[str]) -> Optional[int]:
    try:
        return None if text is None else int(text, 16)
    except ValueError:
        return None
