"""devices canary: one fixed model on boards that should be equal; which is unlike the others, or unlike itself."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from device_agents.contract import Timing
from edge.answers.measuring import Bench
from edge.answers.naming import journals, sided
from edge.deploy import Deployment
from edge.inventory.devices import Device
from edge.planning.plan import Cell
from edge.planning.request import Request
from edge.report.rows import Row, read
from edge.results.likeness import DEVICE, differences, request_key
from edge.results.outliers import FAR, LEAST, robust_z
from edge.results.ratios import Ratio, predicted, welch
from edge.results.store import Store
from edge.results.verdict import Status
from profiles.errors import ConfigError, ResultError

NAME = "canary"
MODEL = "resnet18"
OFF = 0.02
"""Of 1: a board that is nearer to the others, or to itself, is not flagged, however little they vary."""
_MOST_EARLIER = 20
_RUNS = 3  # from so many earlier ones on, their spread from run to run is known


@dataclass(frozen=True)
class Board:
    """What the canary says of one board. `group` is how many times as long it takes as the median of its group, with
    its robust `z`, None where that is too small; `history` how many times as long as itself in `earlier` canaries.
    `unlike` are settings in which it differs from others of its group; `flags` say what is wrong."""

    device: str
    profile: str
    row: Row
    peers: int
    group: float | None
    z: float | None
    history: Ratio | None
    earlier: int
    unlike: tuple[str, ...]
    flags: tuple[str, ...]


@dataclass(frozen=True)
class Canary:
    """What came of it: a board for each device that was measured."""

    boards: tuple[Board, ...]
    deployment: Deployment

    @property
    def flagged(self) -> tuple[Board, ...]:
        return tuple(board for board in self.boards if board.flags)


def request(model: str | None, *, quick: bool) -> Request:
    """The same each time, so that there is a history. Errors: ConfigError for a model that is none."""
    timing = Timing.chosen(quick)
    framework = "pytorch" if model is None else None
    return Request(
        (model or MODEL,), framework, batches=(1,), weights="random" if model is None else None, timing=timing
    )


def cells_of(bench: Bench) -> tuple[Cell, ...]:
    """One of each device. Errors: ConfigError for a model of several frameworks."""
    cells = bench.cells(bench.base)
    if len(cells) > len(bench.devices):
        found = ", ".join(dict.fromkeys(cell.framework for cell in cells))
        raise ConfigError(f"a canary is one cell, and there is one of each of {found}", where="--model")
    return cells


def run(cells: Sequence[Cell], bench: Bench) -> Canary:
    """Measure and compare. Errors: those of a run."""
    deployment = bench.measure(cells, name=NAME)
    store = Store(bench.places.results)
    earlier = _earlier(bench, store, deployment)
    by_name = {device.name: device for device in bench.devices}
    return Canary(tuple(judge(deployment.rows, by_name, earlier, store)), deployment)


def judge(
    rows: Sequence[Row], devices: Mapping[str, Device], earlier: Mapping[str, Sequence[Row]], store: Store
) -> Iterable[Board]:
    """A board for each row. `earlier` are sound measurements of the same board, by the cell's id, the newest first.
    What is INVALID is compared with nothing."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault(_group(row, devices), []).append(row)
    for row in rows:
        profile, _ = key = _group(row, devices)
        peers = [one for one in groups[key] if _sound(one)]
        its = earlier.get(row.measurement.cell.id, ()) if _sound(row) else ()
        off, z = _of_group(row, peers)
        history = _history(row, its, store)
        yield Board(
            device=row.measurement.cell.device,
            profile=profile,
            row=row,
            peers=len(peers),
            group=off,
            z=z,
            history=history,
            earlier=len(its),
            unlike=_unlike(row, peers),
            flags=tuple(_flags(off, z, history)),
        )


def _group(row: Row, devices: Mapping[str, Device]) -> tuple[str, str]:
    cell = row.measurement.cell
    return devices[cell.device].profile.name, request_key(cell, (DEVICE,))


def _of_group(row: Row, peers: Sequence[Row]) -> tuple[float | None, float | None]:
    """How many times as long as the group's median, and how far off that is; Nones for a group that is too small."""
    medians = {id(one): _median_ns(one) for one in peers}
    if len(peers) < LEAST or id(row) not in medians:
        return None, None
    z = dict(zip(medians, robust_z(list(medians.values())), strict=True))
    return medians[id(row)] / statistics.median(medians.values()), z[id(row)]


def _history(row: Row, earlier: Sequence[Row], store: Store) -> Ratio | None:
    """By the spread of earlier runs where there are enough, else by that of the processes."""
    if not earlier:
        return None
    if len(earlier) >= _RUNS:
        return predicted([_median_ns(one) for one in earlier], _median_ns(row))
    return welch(sided(store, list(earlier)).medians_ns, sided(store, [row]).medians_ns)


def _unlike(row: Row, peers: Sequence[Row]) -> tuple[str, ...]:
    """Settings and runtimes that most others have otherwise."""
    found: dict[str, int] = {}
    for peer in peers:
        for one in differences(row.measurement, peer.measurement):
            if DEVICE not in one.across:
                told = f"{one.name} is {one.a}, not {one.b}"
                found[told] = found.get(told, 0) + 1
    return tuple(told for told, count in found.items() if 2 * count > len(peers))


def _flags(group: float | None, z: float | None, history: Ratio | None) -> Iterable[str]:
    if group is not None and z is not None and abs(z) > FAR and abs(group - 1) > OFF:
        yield "unlike its group"
    if history is None or history.low is None or history.high is None:
        return
    if not history.low <= 1 <= history.high and abs(history.value - 1) > OFF:
        yield "unlike itself"


def _earlier(bench: Bench, store: Store, deployment: Deployment) -> dict[str, list[Row]]:
    """Sound measurements of earlier canaries in the same environment, by the cell's id, the newest first."""
    now = {row.measurement.cell.id: row for row in deployment.rows}
    found: dict[str, list[Row]] = {}
    for journal in journals(bench.places.results):
        if journal.name != NAME or journal.run == deployment.run:
            continue
        for cell in journal.planned:
            done, its = journal.of(cell).done, now.get(cell.id)
            if done is None or its is None or len(found.get(cell.id, [])) >= _MOST_EARLIER:
                continue
            row = _read(store, done)
            if row is not None and _sound(row) and not differences(row.measurement, its.measurement):
                found.setdefault(cell.id, []).append(row)
    return found


def _read(store: Store, measurement: str) -> Row | None:
    """None for what is gone, or damaged: it is no history."""
    try:
        return read(store, measurement)
    except ResultError:
        return None


def _sound(row: Row) -> bool:
    return row.verdict.status is not Status.INVALID and row.summary.median is not None


def _median_ns(row: Row) -> float:
    return row.summary.median.value_ns if row.summary.median else float("nan")
