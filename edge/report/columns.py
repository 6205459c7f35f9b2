"""Tables that fit: a list wider than the terminal leaves out its least telling columns and says so; then texts are
folded onto several lines. Nothing is cut, and no figure is folded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from profiles.errors import printable

_GAP = 2  # spaces between columns
_WIDE = 1000  # figures that are still too wide overflow the terminal, which wraps them: cut ones would be none
_FOLDED = 8  # columns that a folded text has at least


@dataclass(frozen=True)
class Column:
    """Cells as they are shown, a row each. `short` are cells that may stand instead, `common` is what they then leave
    out of every cell, `styles` are rich's of each cell."""

    name: str
    cells: Sequence[str]
    right: bool = False
    short: Sequence[str] | None = None
    common: str = ""
    styles: Sequence[str] | None = None

    @property
    def width(self) -> int:
        return max(cell_len(printable(text)) for text in (self.name, *self.cells))

    @property
    def alike(self) -> bool:
        return len(set(self.cells)) == 1

    @property
    def narrowest(self) -> int:
        """How wide it is when all of it is folded that may be."""
        return self.width if self.right else min(self.width, max(_FOLDED, *map(len, self.name.split()), 0))


@dataclass(frozen=True)
class Spare:
    """A column that may go where there is no room: in any case, only if its cells are alike, or only `at_last`, where
    folding texts does not make room enough."""

    name: str
    if_alike: bool = False
    at_last: bool = False


def listing(
    columns: Sequence[Column], width: int, spares: Sequence[Spare], styles: Sequence[str] = (), *, tell: bool = True
) -> str:
    """The table and, below it unless `tell` is off, what had to be left out of `width` columns: short cells first, then
    `spares` in their order; what is too wide after that is folded. A column without any content is none. `styles` are
    rich's of each row."""
    fitting, left_out = _fitted(_filled(columns), width, spares)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column, its in zip(fitting, _folded(fitting, width), strict=True):
        justify: Literal["left", "right"] = "right" if column.right else "left"
        table.add_column(column.name, justify=justify, no_wrap=column.right, overflow="fold", width=its)
    for index in range(len(fitting[0].cells)):
        cells = [Text(printable(c.cells[index]), style=c.styles[index] if c.styles else "") for c in fitting]
        table.add_row(*cells, style=styles[index] if styles else "")
    told = f"\n\nleft out for want of width: {', '.join(left_out)}; --json has everything"
    return render(table, max(_WIDE, width)) + (told if left_out and tell else "")


def render(table: Table, width: int) -> str:
    """The table as text of at most `width` columns, coloured where stdout is a terminal."""
    console = Console(width=width)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(text.rstrip() for text in capture.get().splitlines())


def _fitted(columns: list[Column], width: int, spares: Sequence[Spare]) -> tuple[list[Column], list[str]]:
    left_out = []
    if _width(columns) > width:
        left_out = [f"{column.name} ({printable(column.common)})" for column in columns if column.common]
        columns = _filled([replace(column, cells=column.short or column.cells) for column in columns])
    for spare in spares:
        gone = next((column for column in columns if column.name == spare.name), None)
        needed = sum(c.narrowest + _GAP for c in columns) - _GAP if spare.at_last else _width(columns)
        if needed <= width or gone is None or (spare.if_alike and not gone.alike):
            continue
        columns = [column for column in columns if column is not gone]
        left_out.append(f"{gone.name} ({printable(gone.cells[0])})" if gone.alike else gone.name)
    return columns, left_out


def _folded(columns: Sequence[Column], width: int) -> list[int]:
    """The width of each column: the widest texts give way first."""
    widths = [column.width for column in columns]
    over = sum(widths) + _GAP * (len(widths) - 1) - width
    while over > 0:
        loose = [index for index, column in enumerate(columns) if widths[index] > column.narrowest]
        if not loose:
            break
        widths[max(loose, key=widths.__getitem__)] -= 1
        over -= 1
    return widths


def _filled(columns: Sequence[Column]) -> list[Column]:
    return [column for column in columns if any(column.cells)]


def _width(columns: Sequence[Column]) -> int:
    return sum(column.width for column in columns) + _GAP * (len(columns) - 1)
