"""A measurement to be written in another tool's format, with its samples and what is derived from them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from device_agents.contract import ProcessResult, SampleRange
from edge.results.judged import Judged
from edge.results.special import whole_label
from edge.results.store import Measurement
from edge.results.watched import Watched
from profiles.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Given(Judged):
    """`samples_ns` are all samples of the measurement, int64."""

    samples_ns: NDArray[np.int64]

    @staticmethod
    def read(measurement: Measurement, samples: NDArray[np.int64]) -> Given:
        found = Judged.from_samples(measurement, samples)
        return Given(measurement, found.summary, found.verdict, found.energy, samples)

    @functools.cached_property
    def watched(self) -> Watched:
        return Watched(self.measurement.result, self.samples_ns)

    @property
    def label(self) -> str:
        """Device and request: `orin-1 resnet18/pytorch fp16 batch 8 on tensorrt, with streams=2`."""
        return f"{self.measurement.cell.device} {whole_label(self.measurement.cell)}"

    @property
    def processes(self) -> tuple[ProcessResult, ...]:
        return self.measurement.result.processes

    def of(self, place: SampleRange) -> NDArray[np.int64]:
        """The samples of a range."""
        return self.samples_ns[place.offset : place.offset + place.count]

    def timed(self) -> NDArray[np.int64]:
        """The timed latencies of all processes, one after another. Errors: ConfigError where there are none."""
        if not self.processes:
            raise ConfigError(f"{self.label} has figures and no samples", where=self.measurement.id[:8])
        return np.concatenate([self.of(process.timed) for process in self.processes])


def only(given: Sequence[Given], form: str) -> Given:
    """Errors: ConfigError where there are several, and the format holds one."""
    if len(given) != 1:
        raise ConfigError(f"{form} holds one measurement, {len(given)} were given", fix="write a file for each")
    return given[0]


def alone(given: Given, form: str) -> None:
    """Errors: ConfigError for inferences that overlap on several streams: their latencies mean nothing."""
    if given.summary.streams > 1:
        message = f"its inferences overlap on {given.summary.streams} streams, and {form} is of latencies"
        raise ConfigError(message, where=given.measurement.id[:8])


def starts_ns(process: ProcessResult, latencies_ns: NDArray[np.int64], *, serial: bool) -> Iterator[int]:
    """When each timed inference began after the timed part did, which nobody recorded. In a closed loop one begins
    where the last one ended, and what is left of the time lies evenly between them; else the intervals are even."""
    count = len(latencies_ns)
    idle = max(process.elapsed_ns - int(latencies_ns.sum()), 0)
    begin = 0
    for index, latency in enumerate(latencies_ns.tolist()):
        yield begin + idle * index // count if serial else process.elapsed_ns * index // count
        begin += latency
