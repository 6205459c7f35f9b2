"""Who reaches the devices of a run: this machine itself, or the workers of a cluster (edge.cluster).

Either way a thread of this machine follows each device (edge.fleet), and this machine keeps the journal and the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from edge.device_run import DeviceRun, Orders
from edge.device_work import Tools
from edge.inventory import Device
from edge.journal import Journal
from edge.places import Places
from edge.probing import Answers, probe_all
from profiles.progress import Progress


class Executor(Protocol):
    """Looks on devices before a plan is made, and makes the runs that measure on them."""

    def probe(
        self, devices: Sequence[Device], places: Places, progress: Progress, backends: Mapping[str, Sequence[str]]
    ) -> Answers:
        """What the devices answered of each backend, and why some did not."""

    def device_run(self, device: Device, orders: Orders, journal: Journal, tools: Tools) -> DeviceRun:
        """Whose `run`, called in a thread of its own, measures the cells of the orders."""


class Threads:
    """This machine reaches them, each from the thread that follows it."""

    def probe(
        self, devices: Sequence[Device], places: Places, progress: Progress, backends: Mapping[str, Sequence[str]]
    ) -> Answers:
        return probe_all(devices, places, progress, backends)

    def device_run(self, device: Device, orders: Orders, journal: Journal, tools: Tools) -> DeviceRun:
        return DeviceRun(device, orders, journal, tools)
