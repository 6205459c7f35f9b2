"""best: which configurations of models keep the limits on a device, measuring as few as that takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from device_agents.contract import Timing
from edge.answers.limits import Figures, Limit, figures, rough
from edge.answers.measuring import Bench
from edge.answers.search import Screening, candidates, front
from edge.planning.plan import Cell
from edge.report.rows import Row, read
from edge.results.likeness import request_key
from edge.results.store import Store
from edge.results.verdict import Status
from edge.running.fleet import Failed
from edge.running.resuming import changed, found_for
from profiles.errors import ResultError

BATCHES = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True)
class Miss:
    """A limit that nothing keeps: the nearest figure and where it was found. `short`: by a short run."""

    limit: Limit
    nearest: float
    label: str
    short: bool


@dataclass(frozen=True)
class Found:
    """What came of it: full measurements, which of them keep the limits, which are on the Pareto front (INVALID ones do
    neither), limits that nothing keeps. Of the `grid`, so many cells were measured in full and in short runs; `reused`
    were there already."""

    limits: tuple[Limit, ...]
    rows: tuple[Row, ...]
    meets: tuple[Row, ...]
    front: tuple[Row, ...]
    misses: tuple[Miss, ...]
    failures: tuple[Failed, ...]
    grid: int
    full: int
    short: int
    reused: tuple[Row, ...]

    @property
    def saved(self) -> int:
        """Full measurements of the grid that nobody had to make."""
        return self.grid - self.full


@dataclass
class Hunt:
    """The cells of the grid, measured in full or screened by a short run, as the search asks for them."""

    bench: Bench
    grid: Sequence[Cell]
    screen: Timing
    store: Store
    full: dict[str, Row] = field(default_factory=dict)
    short: dict[str, Row] = field(default_factory=dict)
    failures: list[Failed] = field(default_factory=list)
    reused: dict[str, Row] = field(default_factory=dict)

    def reuse(self) -> None:
        """Take the newest stored measurement of each cell that is not INVALID, and whose device is as it was."""
        wanted = {cell.id: cell for cell in self.grid}
        for name in reversed(self.store.ids()):
            if not wanted:
                break
            try:
                measurement = self.store.get(name)
                cell = wanted.get(measurement.cell.id)
                found = None if cell is None else found_for(cell, self.bench.survey)
                if cell is None or found is None or changed(measurement, found):
                    continue
                row = read(self.store, name)
            except ResultError:
                continue
            if row.verdict.status is not Status.INVALID:
                self.full[cell.id] = self.reused[cell.id] = row
                del wanted[cell.id]

    def rough(self, cell: Cell) -> Figures | None:
        """What is known of it, as far as anything is."""
        row = self.full.get(cell.id) or self.short.get(cell.id)
        return None if row is None else rough(row, self.store)

    def try_out(self, cells: Iterable[Cell]) -> None:
        """A short run of each that nothing is known of."""
        new = [cell for cell in cells if cell.id not in self.full and cell.id not in self.short]
        brief = {replace(cell, timing=self.screen).id: cell for cell in new}
        for row in self._measured([replace(cell, timing=self.screen) for cell in new]):
            cell = brief[row.measurement.cell.id]
            (self.full if cell.timing == self.screen else self.short)[cell.id] = row

    def measure(self, cells: Iterable[Cell]) -> None:
        """In full."""
        new = [cell for cell in cells if cell.id not in self.full]
        self.full.update((row.measurement.cell.id, row) for row in self._measured(new))

    def _measured(self, cells: Sequence[Cell]) -> tuple[Row, ...]:
        failed = {failure.cell.id for failure in self.failures}  # it would fail again
        worth = [cell for cell in cells if cell.id not in failed]
        if not worth:
            return ()
        done = self.bench.measure(worth)
        self.failures += done.failures
        return done.rows


def hunt(bench: Bench, grid: Sequence[Cell], screen: Timing, limits: Sequence[Limit]) -> Found:
    """Search the grid, whose cells have the full timing; `screen` is that of a short run. Errors: those of a run."""
    its = Hunt(bench, grid, screen, Store(bench.places.results))
    its.reuse()
    known = -1
    while len(its.full) > known:  # a full measurement may say otherwise than the short run that it followed
        known = len(its.full)
        its.measure(_screened(its, limits))
    if not _keeping(its.full.values(), limits):
        its.measure(_nearest(its, limits))
    rows = [its.full[cell.id] for cell in grid if cell.id in its.full]
    sound = [row for row in rows if row.verdict.status is not Status.INVALID]
    meets = _keeping(rows, limits)
    return Found(
        limits=tuple(limits),
        rows=tuple(rows),
        meets=tuple(meets),
        front=tuple(sound[index] for index in front([figures(row) for row in sound])),
        misses=() if meets else tuple(_misses(its, limits)),
        failures=tuple(its.failures),
        grid=len(grid),
        full=len(its.full) - len(its.reused),
        short=len(its.short),
        reused=tuple(its.reused.values()),
    )


def _screened(its: Hunt, limits: Sequence[Limit]) -> list[Cell]:
    """All searches side by side, a short run of each at a time; the cells to measure in full."""
    groups: dict[str, dict[int, Cell]] = {}
    for cell in sorted(its.grid, key=lambda cell: cell.batch):
        groups.setdefault(request_key(cell, ("batch",)), {})[cell.batch] = cell
    searches: dict[str, Screening] = {key: candidates(list(cells), limits) for key, cells in groups.items()}
    asks: dict[str, int] = {}
    wanted: list[Cell] = []

    def step(key: str, answer: Figures | None, *, first: bool = False) -> None:
        try:
            asks[key] = next(searches[key]) if first else searches[key].send(answer)
        except StopIteration as end:
            asks.pop(key, None)
            wanted.extend(groups[key][batch] for batch in end.value)

    for key in groups:
        step(key, None, first=True)
    while asks:
        now = {key: groups[key][batch] for key, batch in asks.items()}
        its.try_out(now.values())
        for key, cell in now.items():
            step(key, its.rough(cell))
    return wanted


def _keeping(rows: Iterable[Row], limits: Sequence[Limit]) -> list[Row]:
    """An INVALID measurement keeps nothing."""
    return [
        row
        for row in rows
        if row.verdict.status is not Status.INVALID and all(limit.kept(figures(row)) for limit in limits)
    ]


def _nearest(its: Hunt, limits: Sequence[Limit]) -> list[Cell]:
    """The cell whose worst limit is least exceeded, as far as it is known."""
    known = [(cell, its.rough(cell)) for cell in its.grid]
    worst = [(max(limit.excess(found) or 0.0 for limit in limits), cell) for cell, found in known if found is not None]
    return [min(worst, key=lambda pair: pair[0])[1]] if worst else []


def _misses(its: Hunt, limits: Sequence[Limit]) -> list[Miss]:
    """Of each limit that nothing keeps, what comes nearest: a full measurement's figure where there is one."""
    found = []
    for limit in limits:
        known = [(limit.of(rough), cell) for cell in its.grid if (rough := its.rough(cell)) is not None]
        values = [(value, cell) for value, cell in known if value is not None]
        if not values:
            continue
        pick = min if limit.most else max
        value, cell = pick(values, key=lambda one: one[0])
        if value > limit.value if limit.most else value < limit.value:
            found.append(Miss(limit, value, f"{cell.device} {cell.label}", cell.id not in its.full))
    return found
