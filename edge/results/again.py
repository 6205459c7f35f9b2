"""The command that measures a cell again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from device_agents.contract import LoadPattern, Timing
from edge.planning.plan import OWN, Cell
from edge.results.special import option
from export.request import FREE_BATCH


def deploy_command(cell: Cell) -> str:
    """As it is typed. The operator's own data and builds of a lottery are not in it: those are told by their hash."""
    return shlex.join(["edgebench", "deploy", cell.model, *_options(cell)])


def _options(cell: Cell) -> Iterator[str]:
    yield from ("--device", cell.device, "--framework", cell.framework, "--backend", cell.backend)
    yield from ("--precision", str(cell.precision), "--batch", str(cell.batch))
    if cell.weights in ("pretrained", "random"):
        yield from ("--weights", cell.weights)
    if cell.size is not None:
        yield from ("--size", f"{cell.size[0]}x{cell.size[1]}")
    if cell.pattern != LoadPattern():
        yield from ("--pattern", str(cell.pattern))
    yield from _timing(cell)
    for name, value in sorted(cell.options.items()):
        yield from ("--option", f"{name}={option(value)}")
    for profile in cell.profiles:
        yield from ("--bounds", str(profile[FREE_BATCH]))
    yield from _loop(cell)
    if cell.engines != OWN:
        yield from ("--engines", cell.engines)
    if cell.check_with is not None:
        yield from ("--check-with", cell.check_with)
    yield from _control(cell)


def _loop(cell: Cell) -> Iterator[str]:
    if cell.hot_input:
        yield "--hot-input"
    if not cell.transfers:
        yield "--no-transfers"
    if cell.cold:
        yield "--cold"


def _control(cell: Cell) -> Iterator[str]:
    if cell.lock_clocks:
        yield "--lock-clocks"
    if cell.power_mode is not None:
        yield from ("--power-mode", cell.power_mode)
    if cell.persistence:
        yield "--persistence"
    if cell.shared:
        yield "--shared"


def _timing(cell: Cell) -> Iterator[str]:
    asked, own = cell.timing.processes, Timing()
    if cell.timing == Timing.quick().for_pattern(cell.pattern, asked):
        own = Timing.quick()
        yield "--quick"
    if asked != own.for_pattern(cell.pattern).processes:
        yield from ("--processes", str(asked))
