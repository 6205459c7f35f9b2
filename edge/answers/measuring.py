"""Measuring what an answer needs: cells of a plan, through the same run as `deploy`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from edge.deploy import Deployment, deploy
from edge.inventory.devices import Device
from edge.places import Places
from edge.planning.choosing import Choices, Survey
from edge.planning.make_plan import make_plan
from edge.planning.plan import Cell, Plan
from edge.planning.request import Request
from edge.running.journal import Begin
from export.artifact import Store
from profiles.progress import Progress


@dataclass(frozen=True)
class Bench:
    """Devices, what they answered, and what all cells share: `base` has the models, weights and timing."""

    base: Request
    devices: tuple[Device, ...]
    survey: Survey
    places: Places
    progress: Progress
    choices: Choices

    def cells(self, request: Request, devices: Sequence[Device] | None = None) -> tuple[Cell, ...]:
        """Of a request, as `deploy` would measure it. Errors: ConfigError."""
        chosen = self.devices if devices is None else devices
        return make_plan(request, chosen, Store(self.places.artifacts), self.choices, self.survey).cells

    def measure(self, cells: Sequence[Cell], *, name: str = "", begin: Begin = Begin.GO_ON) -> Deployment:
        """In that order on each device. A run of the same cells that was interrupted is gone on with. Errors: as of
        `deploy`."""
        plan = Plan(tuple(cells), name=name)
        return deploy(
            self.base, plan, self.devices, self.places, self.progress, survey=self.survey, begin=begin,
            since=time.monotonic(),
        )  # fmt: skip
