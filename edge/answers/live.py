"""compare --live: two cells measured in turn on one device, A B B A, a process each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from edge.answers.measuring import Bench
from edge.answers.naming import sided
from edge.answers.wish import Wish, parse_wish
from edge.deploy import Deployment
from edge.planning.models import resolve
from edge.planning.plan import Cell
from edge.planning.request import Request
from edge.report.rows import Row
from edge.results.compare import Comparison
from edge.results.likeness import unlike_axes
from edge.results.rounds import Round, compare_rounds
from edge.results.store import Store
from edge.results.verdict import Status
from edge.sweeps.expand import in_fair_order
from profiles.errors import ConfigError

_TURNS = 2  # of each side in a round


@dataclass(frozen=True)
class Live:
    """What came of it; `comparison` is None where no round was finished."""

    comparison: Comparison | None
    deployment: Deployment

    @property
    def unsound(self) -> str:
        """What is INVALID and how often, the most frequent first: `INVALID foreign_work (12 processes)`."""
        found = Counter(row.verdict.short for row in self.deployment.rows if row.verdict.status is Status.INVALID)
        told = [f"{short} ({count} of {len(self.deployment.rows)} processes)" for short, count in found.most_common()]
        return ", ".join(told)


def parse_side(text: str, store: Store) -> Wish | Cell:
    """A cell in words, or that of the stored measurement whose id begins so. Errors: ConfigError for neither."""
    known = [one for one in store.ids() if len(text) >= 4 and one.startswith(text)]
    if len(known) != 1:
        return parse_wish(text)
    cell = store.get(known[0]).cell
    try:
        resolve(cell.model)
    except ConfigError:
        fix = "write the cell in words, with the path of the file"
        raise ConfigError(f"its model {cell.model} is not known by that name", where=text, fix=fix) from None
    return cell


def models(a: Wish | Cell, b: Wish | Cell) -> tuple[str, ...]:
    """Each once."""
    return tuple(dict.fromkeys(side.model for side in (a, b)))


def cells_of(a: Wish | Cell, b: Wish | Cell, bench: Bench) -> tuple[Cell, Cell]:
    """What is to be measured on the one device. Errors: ConfigError for sides that are one, or no single cell."""
    (device,) = bench.devices
    ours, theirs = (_cell(side, bench, device.name) for side in (a, b))
    if ours.id == theirs.id:
        raise ConfigError(f"A and B are one cell: {ours.label}", where="--live", fix="say what differs")
    return ours, theirs


def run(cells: tuple[Cell, Cell], bench: Bench, *, rounds: int, threshold: float, invalid: bool) -> Live:
    """Measure and compare. Errors: those of a run."""
    deployment = bench.measure(in_fair_order(cells, rounds * _TURNS))
    whole = [_rows(deployment, cell) for cell in cells]
    sound = [number for number in range(rounds) if all(_complete(rows, number, invalid=invalid) for rows in whole)]
    if not sound:
        return Live(None, deployment)
    store = Store(bench.places.results)
    each = [Round(*(sided(store, _of_rounds(rows, [number])) for rows in whole)) for number in sound]
    both = Round(*(sided(store, _of_rounds(rows, sound)) for rows in whole))
    made = compare_rounds(both, each, threshold=threshold, across=unlike_axes(*cells))
    left_out = rounds - len(sound)
    note = f"{left_out} of {rounds} rounds are left out: a process failed or is INVALID"
    return Live(replace(made, notes=(*made.notes, *((note,) if left_out else ()))), deployment)


def _cell(side: Wish | Cell, bench: Bench, device: str) -> Cell:
    if isinstance(side, Cell):
        return replace(side, device=device, timing=bench.base.timing, repeat=0, build=0, check_with=None)
    request: Request = side.request(bench.base)
    cells = bench.cells(request)
    if len(cells) > 1:
        frameworks = ", ".join(dict.fromkeys(cell.framework for cell in cells))
        fix = f"say which: {side.model}:{cells[0].framework}"
        raise ConfigError(f"is {len(cells)} cells, of {frameworks}", where=side.text, fix=fix)
    return cells[0]


def _rows(deployment: Deployment, cell: Cell) -> dict[int, Row]:
    """By their repeat."""
    its = [row for row in deployment.rows if replace(row.measurement.cell, repeat=0).id == cell.id]
    return {row.measurement.cell.repeat: row for row in its}


def _complete(rows: dict[int, Row], number: int, *, invalid: bool) -> bool:
    its = _of_rounds(rows, [number])
    return len(its) == _TURNS and (invalid or all(row.verdict.status is not Status.INVALID for row in its))


def _of_rounds(rows: dict[int, Row], numbers: list[int]) -> list[Row]:
    turns = [number * _TURNS + turn for number in numbers for turn in range(_TURNS)]
    return [rows[turn] for turn in turns if turn in rows]
