"""Who reaches the devices of a run: this machine itself, or the workers of a cluster (edge.cluster).

Either way a thread of this machine follows each device (fleet.py), and this machine keeps the journal and the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from edge.inventory.devices import Device
from edge.places import Places
from edge.planning.probing import Answers, probe_all
from edge.running.device_run import DeviceRun, Orders
from edge.running.device_work import Tools
from edge.running.journal import Journal
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

    probe = staticmethod(probe_all)
    device_run = staticmethod(DeviceRun)
