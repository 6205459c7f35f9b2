"""A board counts what becomes of cells, says what devices do, and tells it to another terminal through a file."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from device_agents.contract import ErrorInfo, Precision
from edge.planning.plan import Cell, Plan
from edge.report import standing
from edge.running.journal import Begin, open_journal
from edge.running.watching import Board
from edge.sweeps import runs
from tests.unit.edge.test_plan_journal import ORIGIN, cell

CELLS = [cell(device=device, batch=batch) for device in ("a", "b") for batch in (1, 2, 4)]
ERROR = ErrorInfo("connect", "", "nothing listens at port 22")


def board_of(*done: Cell) -> Board:
    board = Board()
    board.begins(CELLS, done)
    return board


def test_cells_are_counted_by_what_became_of_them() -> None:
    board = board_of(CELLS[0])
    board("a: measuring this", 1, 3)
    board.ended(CELLS[1])
    board.ended(CELLS[3], ERROR)
    board.ended(CELLS[4], skipped=True)
    status = board.status()
    a, b = status.devices["a"], status.devices["b"]
    assert (a.total, a.done, a.left, a.doing) == (3, 2, 1, "measuring this")
    assert (b.failed, b.skipped, b.left, b.error) == (1, 1, 1, ERROR.message)
    assert standing.counts(status).startswith("2 of 6 cells done, 1 failed (1 connect), 1 skipped")


def test_no_time_is_promised_before_every_device_has_finished_a_cell() -> None:
    board = board_of()
    board("a: measuring", 0, 3)
    board.ended(CELLS[0])
    assert board.status().devices["a"].eta_s is not None
    assert board.status().eta_s is None


def test_what_this_machine_does_is_of_no_device() -> None:
    board = board_of()
    board("resnet18: exporting")
    assert board.status().here == "resnet18: exporting"
    board.supplied()
    assert board.status().here == ""


def test_a_table_shows_who_works_first_and_counts_the_others() -> None:
    board = board_of()
    board("b: connecting")
    text = standing.devices(board.status(), 100, most=1)
    assert "connecting" in text
    assert text.endswith("... and 1 more")


def test_another_terminal_reads_where_a_run_stands(tmp_path: Path) -> None:
    journal = open_journal(tmp_path, Plan(tuple(CELLS), name="nightly", sweep="f" * 20))
    board = board_of()
    with runs.told(journal, board):
        board("a: measuring", 1, 3)
        (run,) = runs.runs(tmp_path)
        assert (run.name, run.state, run.id) == ("nightly", "running", journal.run)
    journal.close()
    (run,) = runs.runs(tmp_path)
    assert run.state == "stopped"


def test_the_newest_run_that_tells_of_itself_is_found_without_its_journal(tmp_path: Path) -> None:
    assert runs.last_told(tmp_path) is None
    journal = open_journal(tmp_path, Plan(tuple(CELLS), name="nightly", sweep="f" * 20))
    with runs.told(journal, board_of(CELLS[0])):
        journal.path.write_bytes(b"not read")
        run, status = runs.last_told(tmp_path) or pytest.fail("nothing was told")
        assert (run, status.ended, status.count("done")) == (journal.run, False, 1)
    journal.close()
    assert (runs.last_told(tmp_path) or pytest.fail("nothing was told"))[1].ended


def test_a_run_whose_controller_was_killed_is_over_after_a_while(tmp_path: Path) -> None:
    journal = open_journal(tmp_path, Plan(tuple(CELLS), name="nightly", sweep="f" * 20))
    with runs.told(journal, Board(clock=lambda: 1_700_000_000.0)):
        assert (runs.last_told(tmp_path) or pytest.fail("nothing was told"))[1].ended
    journal.close()


def test_a_run_is_followed_until_it_ends_and_no_other_one(tmp_path: Path) -> None:
    plan = Plan(tuple(CELLS), name="nightly", sweep="f" * 20)
    journal, shown = open_journal(tmp_path, plan), []
    with ExitStack() as stack:
        stack.enter_context(runs.told(journal, board_of()))

        def show(run: runs.Run) -> None:
            shown.append(run)
            if len(shown) == 1:
                journal.done(CELLS[0], "m" * 16)
                stack.close()
                open_journal(tmp_path, plan, Begin.FRESH).close()

        ended = runs.follow(tmp_path, "nightly", show)
    journal.close()
    assert [run.state for run in shown] == ["running", "stopped"]
    assert (ended, ended.id, ended.status.count("done")) == (shown[-1], journal.run, 1)


def test_a_controller_that_was_killed_is_told_from_its_journal(tmp_path: Path) -> None:
    """The status file is of a second before; the journal knows the last cell."""
    journal = open_journal(tmp_path, Plan(tuple(CELLS), name="nightly", sweep="f" * 20))
    journal.begin(CELLS[0], ORIGIN)
    journal.done(CELLS[0], "m" * 16)
    journal.failed(CELLS[1], ERROR)
    journal.close()
    run = runs.find(tmp_path, "nightly")
    assert run.state == "stopped"
    assert standing.counts(run.status) == "1 of 6 cells done, 1 failed (1 connect)"
    assert standing.devices(run.status, 100).splitlines()[0].split() == ["device", "done", "failed"]


def test_a_run_of_deploy_is_no_sweep(tmp_path: Path) -> None:
    open_journal(tmp_path, Plan(tuple(CELLS))).close()
    assert runs.runs(tmp_path) == []


FIRST = Cell("orin-1", "resnet18", "pytorch", "onnxruntime", Precision.FP32, 1)
THREE = (FIRST, replace(FIRST, batch=8), replace(FIRST, device="orin-2"))


@pytest.fixture
def board() -> Board:
    board = Board(clock=lambda: 1_800_000_000.0)
    board.begins(THREE, ())
    board("orin-1: upload model.onnx", 3, 12)
    board.ended(THREE[0])
    board.ended(THREE[2], ErrorInfo("lost", "run", 'the "supervisor" is gone'))
    return board


def test_one_device_is_told_as_all_are(board: Board) -> None:
    devices = board.status().devices
    assert {name: board.of(name) for name in devices} == devices
    assert (board.of("orin-1").done, board.of("orin-1").left, board.of("orin-2").failed) == (1, 1, 1)


def test_what_is_told_does_not_change_afterwards(board: Board) -> None:
    before = board.of("orin-1")
    board.ended(THREE[1])
    assert (before.done, board.of("orin-1").done) == (1, 2)


def test_another_terminal_reads_what_the_board_says(tmp_path: Path) -> None:
    board = Board()
    board.begins(THREE, ())
    board.ended(THREE[2], ErrorInfo("lost", "run", 'the "supervisor" is gone'))
    journal = open_journal(tmp_path, Plan(THREE, name="nightly", sweep="a" * 20))
    with runs.told(journal, board):
        found = runs.find(tmp_path, "nightly")
    journal.close()
    assert found.under_way
    assert found.status.devices == board.status().devices
    assert found.status.failures == {"run": 1}
