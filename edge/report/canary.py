"""Boards that should be equal: a table, sentences on what is unlike; and the same as data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edge.answers.canary import Board, Canary
from edge.quantities import counted
from edge.report.columns import Column, Spare, listing
from edge.report.comparison import figure, told
from edge.report.row_json import as_json as row_as_json
from edge.report.rows import interval
from edge.results.outliers import FAR, LEAST
from edge.results.verdict import Status

_SPARES = (Spare("profile", if_alike=True), Spare("earlier"), Spare("z"), Spare("profile"))


def table(boards: Sequence[Board], width: int) -> str:
    """A row a board."""
    summaries = [board.row.summary for board in boards]
    columns = [
        Column("device", [board.device for board in boards]),
        Column("profile", [board.profile for board in boards]),
        Column("median ms", [interval(one.median, one.samples) for one in summaries], right=True),
        Column("of its group", ["" if b.group is None else f"{figure(b.group)} x" for b in boards], right=True),
        Column("z", ["" if b.z is None else f"{b.z:+.1f}" for b in boards], right=True),
        Column("of its history", ["" if b.history is None else told(b.history) for b in boards], right=True),
        Column("earlier", [str(board.earlier or "") for board in boards], right=True),
        Column("verdict", [board.row.verdict.short for board in boards]),
        Column("canary", [", ".join(board.flags) or "as expected" * _judged(board) for board in boards]),
    ]
    return listing(columns, width, _SPARES, ["red" if board.flags else "" for board in boards])


def sentences(canary: Canary) -> Iterator[str]:
    """What is unlike and by how much, then what could not be judged."""
    for board in canary.flagged:
        yield f"{board.device} is {' and '.join(board.flags)}: it takes {' and '.join(_by(board))}{_why(board)}"
    if canary.boards and not canary.flagged and any(map(_judged, canary.boards)):
        yield "no board is unlike its group or itself"
    groups = {board.profile: board.peers for board in canary.boards}
    for profile, peers in groups.items():
        if peers < LEAST:
            yield f"{profile}: {counted(peers, 'board')} to compare, and it takes {LEAST} to say which is unlike"
    sound = [board for board in canary.boards if board.row.verdict.status is not Status.INVALID]
    new = [board.device for board in sound if not board.earlier]
    if new:
        yield f"no earlier canary in the same environment: {', '.join(new)}"
    invalid = [board.device for board in canary.boards if board not in sound]
    if invalid:
        yield f"INVALID, and compared with nothing: {', '.join(invalid)}"


def as_json(canary: Canary) -> dict[str, object]:
    return {
        "run": canary.deployment.run,
        "boards": [
            {
                "device": board.device,
                "profile": board.profile,
                "peers": board.peers,
                "of_group": board.group,
                "z": None if board.z is None or abs(board.z) == float("inf") else board.z,
                "of_history": board.history,
                "earlier": board.earlier,
                "unlike": board.unlike,
                "flags": board.flags,
                "measurement": row_as_json(board.row),
            }
            for board in canary.boards
        ],
        "failed": [{"device": f.cell.device, "error": f.error} for f in canary.deployment.failures],
    }


def _judged(board: Board) -> bool:
    return board.z is not None or (board.history is not None and board.history.low is not None)


def _by(board: Board) -> Iterator[str]:
    if board.group is not None and board.z is not None and "unlike its group" in board.flags:
        far = f"robust z {board.z:+.1f}, beyond {FAR}"
        yield f"{figure(board.group)} x as long as the median of {board.peers} boards ({far})"
    if board.history is not None and "unlike itself" in board.flags:
        yield f"{told(board.history)} as long as in {counted(board.earlier, 'earlier run')}"


def _why(board: Board) -> str:
    return f"; {', '.join(board.unlike)} as most of the others" if board.unlike else ""
