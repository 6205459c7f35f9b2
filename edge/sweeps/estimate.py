"""What a sweep would cost: cells, what is to be exported and sent, how long it takes at least. Nothing is begun."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from edge.planning.plan import Cell
from edge.running.journal import DAMAGED, look
from export.artifact import Artifact


@dataclass
class DeviceShare:
    """Of one device: its cells, the bytes of models that are sent if none of them is there yet, how many cells wait for
    an export, whose bytes nobody knows, and seconds: of what the same cell took before, or what its timing wants at
    least."""

    cells: int = 0
    bytes: int = 0
    exports: int = 0
    seconds: float = 0.0


@dataclass
class Estimate:
    """`exports` are what has to be made first, as `resnet50/pytorch fp16`: their sizes are in no device's bytes.
    `known` is how many cells were measured before in a run of this sweep."""

    devices: dict[str, DeviceShare] = field(default_factory=dict)
    exports: list[str] = field(default_factory=list)
    known: int = 0

    @property
    def cells(self) -> int:
        return sum(share.cells for share in self.devices.values())

    @property
    def bytes(self) -> int:
        return sum(share.bytes for share in self.devices.values())

    @property
    def seconds(self) -> float:
        """Devices work side by side."""
        return max((share.seconds for share in self.devices.values()), default=0.0)


def estimate(cells: Iterable[Cell], there: Callable[[Cell], Artifact | None], took_s: dict[str, float]) -> Estimate:
    """`there` finds a cell's artifact where nothing has to be exported, `took_s` is what cells took, by id."""
    found = Estimate()
    sent: set[tuple[str, str]] = set()
    missing: dict[str, None] = {}
    for cell in cells:
        share = found.devices.setdefault(cell.device, DeviceShare())
        share.cells += 1
        found.known += cell.id in took_s
        share.seconds += took_s.get(cell.id) or _least_s(cell)
        artifact = there(cell)
        if artifact is None:
            share.exports += 1
            missing[f"{cell.model}/{cell.framework} {cell.precision}"] = None
        elif (cell.device, artifact.id) not in sent:
            sent.add((cell.device, artifact.id))
            share.bytes += sum(entry.size for entry in artifact.files)
    found.exports = list(missing)
    return found


def took_s(root: Path, plan_id: str) -> dict[str, float]:
    """Seconds that cells took in earlier runs of the plan, by their ids; the latest counts."""
    found: dict[str, float] = {}
    for path in sorted((root / "sweeps" / plan_id).glob("*.jsonl")):
        with contextlib.suppress(OSError, *DAMAGED):
            cells = look(path).cells
            found.update({cell: one.took_s for cell, one in cells.items() if one.done is not None and one.took_s})
    return found


def _least_s(cell: Cell) -> float:
    timing = cell.timing
    return timing.processes * (timing.warmup_s + timing.duration_s)
