"""The static references of what draws sizes: the same request at one size at a time, with nothing left free."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from device_agents.contract import LoadPattern, Scalar, Timing
from edge.planning.plan import Cell
from edge.planning.sizes import Size
from edge.planning.targets import RUNTIME

_DYNAMIC = "dynamic"  # PyTorch's option, of what is compiled for more than one shape
_OF_ENGINES = ("tensorrt", RUNTIME)


def static_options(cell: Cell) -> Mapping[str, Scalar]:
    """The options of the cell, but for what is compiled for more than one shape."""
    return {name: value for name, value in cell.options.items() if name != _DYNAMIC}


def is_static(cell: Cell) -> bool:
    """Whether what the cell runs is compiled for its one size, as far as the request says."""
    return not cell.pattern.sizes and cell.options.get(_DYNAMIC, False) is False


def of(cell: Cell, timing: Timing, own: Callable[[Cell], tuple[Size | None, Size | None]]) -> Iterator[Cell]:
    """The references of a cell that draws sizes: the ordinary serial cells, a size each. `own` tells the size that the
    cell would have if none were asked for, and which that is in pixels: that reference is the very cell."""
    asked, means = own(cell)
    for side in cell.pattern.sizes:
        yield replace(
            cell,
            pattern=LoadPattern(),
            timing=timing,
            options=dict(static_options(cell)),
            size=asked if means == (side, side) else (side, side),
            static=cell.backend in _OF_ENGINES,
        )


def with_references(
    cells: Iterable[Cell], timing: Timing, own: Callable[[Cell], tuple[Size | None, Size | None]]
) -> list[Cell]:
    """The cells, each that draws sizes followed by its references; none twice."""
    found: dict[str, Cell] = {}
    for cell in cells:
        found[cell.id] = cell
        if cell.pattern.sizes:
            found.update((one.id, one) for one in of(cell, timing, own) if one.id not in found)
    return list(found.values())
