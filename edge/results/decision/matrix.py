"""PyTorch or TensorFlow: every figure of both beside one another, or why there is none.

A matrix is of one request (model, precision, batch, size, ...) in one environment: a device as it told itself, with one
version of each runtime. What was measured in another environment is in another matrix, whatever else is alike. Its rows
are figures by the way in which a network runs: by its framework as it is, compiled, or exported to another runtime.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from edge.planning.plan import Cell as Asked
from edge.results.again import deploy_command
from edge.results.claims.measures import Figure, ratio
from edge.results.claims.reading import Measurements, Read
from edge.results.decision.environments import AS_IS, COMPILED, FRAMEWORKS, MODES, Environment, environments
from edge.results.decision.rows import EVERYTHING, MEDIAN, ROWS, Beside, Row
from edge.results.energy import NotKnown
from edge.results.scrubbing import alike
from edge.results.store import Measurement
from edge.results.verdict import Status

_RANKS = {Status.VALID: 0, Status.UNJUDGED: 1, Status.INVALID: 2}


@dataclass(frozen=True)
class Cell:
    """What a framework has in a row: a figure in `Line.unit` with its measurement and the verdict, of several
    measurements the worst, or why there is none and the command that would measure it ("" where none would)."""

    figure: Figure | NotKnown
    status: str = ""
    measurement: str = ""
    command: str = ""


@dataclass(frozen=True)
class Line:
    """A figure of both frameworks. `ratio` is TensorFlow's over PyTorch's, None where one has none or is INVALID."""

    way: str
    name: str
    unit: str
    cells: Mapping[str, Cell]
    ratio: Figure | None = None


@dataclass(frozen=True)
class Matrix:
    """`versions` are those of the runtimes, by backend; `unlike` is what differs from the first matrix of the same
    request, a sentence each."""

    device: str
    label: str
    versions: Mapping[str, str]
    lines: tuple[Line, ...]
    unlike: tuple[str, ...] = ()


def matrices(among: Measurements) -> Iterator[Matrix]:
    """Of all that was measured of the two frameworks under a load of one inference after the other; each is made when
    it is asked for."""
    for _, several in sorted(environments(among.all).items()):
        yield from (_matrix(one, several[0], among) for one in several)


def _matrix(one: Environment, first: Environment, among: Measurements) -> Matrix:
    extra = sorted({way for way, _ in one.found} - {AS_IS, COMPILED})
    reads = {key: _best(its, among) for key, its in one.found.items()}
    lines = [line for way in (AS_IS, COMPILED, *extra) for line in _lines(way, one, reads, among)]
    unlike = [
        f"{name} is {value}, and {first.identity[name]} above"
        for name, value in one.identity.items()
        if not alike(name, first.identity.get(name, value), value)
    ]
    unlike += [
        f"{backend} is {version}, and {first.versions[backend]} above"
        for backend, version in one.versions.items()
        if first.versions.get(backend, version) != version
    ]
    asked = replace(one.asked, framework="*", backend="*", options={}, repeat=0, build=0)
    return Matrix(one.asked.device, asked.label.removesuffix(" on *"), one.versions, tuple(lines), tuple(unlike))


def _best(its: Sequence[Measurement], among: Measurements) -> Read | None:
    """The newest VALID one; else the newest UNJUDGED one, else the newest."""
    best: Read | None = None
    for one in its:
        read = among.read(one)
        if read is not None and (best is None or _RANKS[read.verdict.status] < _RANKS[best.verdict.status]):
            best = read
        if best is not None and best.verdict.status is Status.VALID:
            break
    return best


def _lines(
    way: str, one: Environment, reads: Mapping[tuple[str, str], Read | None], among: Measurements
) -> Iterator[Line]:
    nobody = all(reads.get((way, name)) is None for name in FRAMEWORKS)
    for row in (EVERYTHING,) if nobody else ROWS:
        if (row.ways and way not in row.ways) or (row.of_any_size and one.asked.size is not None):
            continue
        cells = {name: _cell(row, way, name, one, reads.get((way, name)), among) for name in FRAMEWORKS}
        yield Line(way, row.name, row.unit, cells, _quotient(row, cells, [reads.get((way, n)) for n in FRAMEWORKS]))


def _cell(row: Row, way: str, framework: str, one: Environment, read: Read | None, among: Measurements) -> Cell:
    if read is None:
        why = "not measured in this environment"
        return Cell(NotKnown(why), command=_command(one.asked, way, framework))
    why = row.never(read.measurement.cell)
    figure = NotKnown(why) if why else row.of(read, among)
    command = _with(read.measurement.cell, row) if isinstance(figure, NotKnown) and row.needs and not why else ""
    reads = figure.reads if isinstance(figure, Beside) else (read,)
    status = max((its.verdict.status for its in reads), key=_RANKS.__getitem__)
    told = figure.figure if isinstance(figure, Beside) else figure
    return Cell(told, str(status), reads[-1].measurement.id, command)


def _command(asked: Asked, way: str, framework: str) -> str:
    modes = MODES.get(way)
    if modes is None:
        return deploy_command(replace(asked, framework=framework, backend=way.removeprefix("in "), options={}))
    return deploy_command(replace(asked, framework=framework, backend=framework, options={"mode": modes[framework]}))


def _with(asked: Asked, row: Row) -> str:
    return deploy_command(replace(asked, **row.needs))


def _quotient(row: Row, cells: Mapping[str, Cell], reads: Sequence[Read | None]) -> Figure | None:
    """With an interval where both are medians, without one elsewhere."""
    first, second = (cells[name] for name in FRAMEWORKS)
    known = isinstance(first.figure, Figure) and isinstance(second.figure, Figure)
    if not known or str(Status.INVALID) in (first.status, second.status):
        return None
    base, other = reads
    if row.name == MEDIAN and base is not None and other is not None:
        found = ratio(base, other)
        return found if isinstance(found, Figure) else None
    values = [cell.figure.value for cell in (first, second) if isinstance(cell.figure, Figure)]
    return Figure(values[1] / values[0]) if min(values) > 0 and not row.is_difference else None
