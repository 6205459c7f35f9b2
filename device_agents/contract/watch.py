"""What a device did while a job ran: quantities over time, by the clock that latencies are taken with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, Tuple

from device_agents.codec import SchemaViolation

QUANTITIES = {
    "gpu_clock": "Hz",
    "memory_clock": "Hz",
    "cpu_clock": "Hz",  # the mean of the processors that may be used
    "temperature": "C",  # of what is measured: the GPU where there is one, else the hottest sensor
    "temperature_memory": "C",
    "power": "W",  # of the module, the board or the package: the source names the sensor
    "energy": "J",  # a counter that only rises, where there is one
    "throttled_thermal": "",  # 1 while it holds clocks back, else 0; so are the next two
    "throttled_power": "",
    "throttled_other": "",
    "throttled_limit": "s",  # a counter: how long a cgroup's CPU limit has stopped its processes
    "gpu_busy": "",  # shares are 0 to 1
    "cpu_busy": "",
    "cpu_foreign": "",  # of all processors, by processes that are not the job's
    "cpu_steal": "",
    "gpu_foreign_processes": "",
    "memory_used": "B",
    "gpu_memory_used": "B",
    "fan": "",  # share of its full speed
}
"""Names of series that have a meaning to a verdict or a report, and their units. A kind may have others beside them,
which are shown as they are: `power.VDD_CPU_GPU_CV`, `temperature.tj`."""


@dataclass(frozen=True)
class SampleRange:
    """A run of samples in samples.i64le: offset and count in samples, not bytes."""

    offset: int
    count: int

    def __post_init__(self) -> None:
        if self.offset < 0 or self.count < 0:
            raise ValueError("a sample range has no negative numbers")

    def after(self, others: int) -> SampleRange:
        """The same samples once they follow so many others."""
        return SampleRange(self.offset + others, self.count)


@dataclass(frozen=True)
class Series:
    """One quantity over time, oldest first: in samples.i64le, `times` in nanoseconds of the clock of the latencies
    (CLOCK_MONOTONIC) and as many `values`, in `unit` times `per_unit` (power in `W` with 1000 is in milliwatts)."""

    name: str
    unit: str
    source: str
    per_unit: int
    times: SampleRange
    values: SampleRange

    def __post_init__(self) -> None:
        if self.times.count != self.values.count:
            raise SchemaViolation("values", f"{self.values.count} of {self.name} at {self.times.count} times")
        if self.per_unit < 1:
            raise SchemaViolation("per_unit", f"{self.per_unit} is not positive")
        if QUANTITIES.get(self.name, self.unit) != self.unit:
            raise SchemaViolation("unit", f"{self.name} is in {QUANTITIES[self.name]!r}, not {self.unit!r}")


@dataclass(frozen=True)
class Watch:
    """All that was watched: `unknown` says of what could not be read why. `rate_hz` is how often it was looked,
    `cost` the CPU time of who looked over the time for which it did: 1 is one processor. Between `idle_from_ns` and
    `idle_until_ns` the job did nothing, before its first process."""

    series: Tuple[Series, ...]
    rate_hz: float
    cost: float
    idle_from_ns: int = 0
    idle_until_ns: int = 0
    unknown: Dict[str, str] = field(default_factory=dict)
