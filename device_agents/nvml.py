"""NVIDIA's management library by ctypes: libnvidia-ml.so.1, which comes with the driver. Nothing is installed for it;
nvidia-ml-py would load the same library the same way.

Names, numbers and structures are those of nvml.h; a field that a board does not have answers NotSupported and is None.
"""

from __future__ import annotations

import ctypes
from typing import Any, List, NamedTuple, Optional, Set

from device_agents.system import System

_LIBRARY = "libnvidia-ml.so.1"
_FOLDERS = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/lib/wsl/lib")
_SM, _MEMORY = 1, 2  # nvmlClockType_t
_GPU = 0  # nvmlTemperatureSensors_t
_MEMORY_TEMPERATURE, _POWER_NOW = 82, 186  # NVML_FI_DEV_MEMORY_TEMP, NVML_FI_DEV_POWER_INSTANT
_MOST_PROCESSES = 256
_NOT_TOLD = 2**64 - 1  # NVML_VALUE_NOT_AVAILABLE


class NvmlError(Exception):
    """What is not to be had, and NVML's own words for it."""


class _Utilization(ctypes.Structure):
    _fields_ = [("gpu", ctypes.c_uint), ("memory", ctypes.c_uint)]


class _Memory(ctypes.Structure):
    _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]


class _Process(ctypes.Structure):
    _fields_ = [
        ("pid", ctypes.c_uint), ("memory", ctypes.c_ulonglong), ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    ]  # fmt: skip


class _Value(ctypes.Union):
    _fields_ = [("double", ctypes.c_double), ("uint", ctypes.c_uint), ("ulonglong", ctypes.c_ulonglong)]


class _Field(ctypes.Structure):
    _fields_ = [
        ("id", ctypes.c_uint), ("scope", ctypes.c_uint), ("timestamp", ctypes.c_longlong),
        ("latency", ctypes.c_longlong), ("type", ctypes.c_int), ("result", ctypes.c_int), ("value", _Value),
    ]  # fmt: skip


class Utilization(NamedTuple):
    """Percent of the driver's last sample period (1/6 to 1 s) in which a kernel ran, memory was read or written."""

    gpu: int
    memory: int


class Board:
    """One GPU. A MIG instance is watched by its board: clocks, temperature and power are the board's.

    Errors of opening one: NvmlError."""

    def __init__(self, system: System) -> None:
        self._library = _load(system)
        self._check(self._library.nvmlInit_v2(), "nvmlInit")
        self._handle = ctypes.c_void_p()
        by_index, by_uuid = self._library.nvmlDeviceGetHandleByIndex_v2, self._library.nvmlDeviceGetHandleByUUID
        handle = ctypes.byref(self._handle)
        code = by_uuid(system.gpu.encode(), handle) if system.gpu else by_index(ctypes.c_uint(0), handle)
        try:
            self._check(code, f"GPU {system.gpu or 0}")
        except NvmlError:
            self.close()
            raise

    def close(self) -> None:
        self._library.nvmlShutdown()

    def clock_mhz(self) -> Optional[int]:
        """Of the streaming multiprocessors."""
        return self._number("nvmlDeviceGetClockInfo", ctypes.c_uint, _SM)

    def memory_clock_mhz(self) -> Optional[int]:
        return self._number("nvmlDeviceGetClockInfo", ctypes.c_uint, _MEMORY)

    def temperature_c(self) -> Optional[int]:
        return self._number("nvmlDeviceGetTemperature", ctypes.c_uint, _GPU)

    def memory_temperature_c(self) -> Optional[int]:
        return self._field(_MEMORY_TEMPERATURE)

    def power_now_mw(self) -> Optional[int]:
        """At this moment, where the driver tells that apart from the mean of a second."""
        return self._field(_POWER_NOW)

    def power_mw(self) -> Optional[int]:
        """The mean of the last second, on an A100 and before Ampere the value of the moment."""
        return self._number("nvmlDeviceGetPowerUsage", ctypes.c_uint)

    def energy_mj(self) -> Optional[int]:
        """Since the driver was loaded."""
        return self._number("nvmlDeviceGetTotalEnergyConsumption", ctypes.c_ulonglong)

    def throttle_reasons(self) -> Optional[int]:
        """Bits of what holds the clocks back; older drivers call them throttle reasons."""
        told = self._number("nvmlDeviceGetCurrentClocksEventReasons", ctypes.c_ulonglong)
        old = "nvmlDeviceGetCurrentClocksThrottleReasons"
        return self._number(old, ctypes.c_ulonglong) if told is None else told

    def utilization(self) -> Optional[Utilization]:
        found = _Utilization()
        told = self._call("nvmlDeviceGetUtilizationRates", ctypes.byref(found))
        return Utilization(found.gpu, found.memory) if told else None

    def memory_used_bytes(self) -> Optional[int]:
        found = _Memory()
        return int(found.used) if self._call("nvmlDeviceGetMemoryInfo", ctypes.byref(found)) else None

    def compute_pids(self) -> Optional[Set[int]]:
        """Processes that compute there, as this container, or the host, numbers them."""
        running = self._running()
        return None if running is None else {int(process.pid) for process in running}

    def process_bytes(self, pid: int) -> Optional[int]:
        """What a process holds there, its context included; None where the driver does not tell it, or numbers it as
        another pid namespace does."""
        told = [int(process.memory) for process in self._running() or () if process.pid == pid]
        return told[0] if told and told[0] != _NOT_TOLD else None

    def _running(self) -> Optional[List[_Process]]:
        count, found = ctypes.c_uint(_MOST_PROCESSES), (_Process * _MOST_PROCESSES)()
        told = self._call("nvmlDeviceGetComputeRunningProcesses_v3", ctypes.byref(count), found)
        return found[: count.value] if told else None

    def _number(self, name: str, kind: Any, *arguments: int) -> Optional[int]:
        found = kind()
        told = self._call(name, *(ctypes.c_uint(argument) for argument in arguments), ctypes.byref(found))
        return int(found.value) if told else None

    def _field(self, number: int) -> Optional[int]:
        found = _Field(id=number)
        told = self._call("nvmlDeviceGetFieldValues", ctypes.c_int(1), ctypes.byref(found))
        return int(found.value.uint) if told and found.result == 0 else None

    def _call(self, name: str, *arguments: Any) -> bool:
        """Whether it was told: older drivers lack functions, boards lack sensors."""
        function = getattr(self._library, name, None)
        return function is not None and function(self._handle, *arguments) == 0

    def _check(self, code: int, what: str) -> None:
        if code:
            words = self._library.nvmlErrorString
            words.restype = ctypes.c_char_p
            raise NvmlError(f"{_LIBRARY}: {what}: {words(code).decode('utf-8', 'replace')}")


def _load(system: System) -> ctypes.CDLL:
    """By the loader, or of a recorded device by the folder where a driver puts it."""
    candidates: List[str] = [str(system.path(f"{folder}/{_LIBRARY}")) for folder in _FOLDERS]
    for candidate in candidates if system.recorded else [_LIBRARY, *candidates]:
        try:
            return ctypes.CDLL(candidate)
        except OSError:
            continue
    raise NvmlError(f"{_LIBRARY}: not there")
