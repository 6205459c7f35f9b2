"""Where a run stands: told device by device, and read again from the file that another terminal looks at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from device_agents.contract import ErrorInfo, Precision
from edge.journal import open_journal
from edge.plan import Cell, Plan
from edge.sweeps.runs import find, told
from edge.watching import Board

CELL = Cell("orin-1", "resnet18", "pytorch", "onnxruntime", Precision.FP32, 1)
CELLS = (CELL, replace(CELL, batch=8), replace(CELL, device="orin-2"))


@pytest.fixture
def board() -> Board:
    board = Board(clock=lambda: 1_800_000_000.0)
    board.begins(CELLS, ())
    board("orin-1: upload model.onnx", 3, 12)
    board.ended(CELLS[0])
    board.ended(CELLS[2], ErrorInfo("lost", "run", 'the "supervisor" is gone'))
    return board


def test_one_device_is_told_as_all_are(board: Board) -> None:
    devices = board.status().devices
    assert {name: board.of(name) for name in devices} == devices
    assert (board.of("orin-1").done, board.of("orin-1").left, board.of("orin-2").failed) == (1, 1, 1)


def test_what_is_told_does_not_change_afterwards(board: Board) -> None:
    before = board.of("orin-1")
    board.ended(CELLS[1])
    assert (before.done, board.of("orin-1").done) == (1, 2)


def test_another_terminal_reads_what_the_board_says(tmp_path: Path) -> None:
    board = Board()
    board.begins(CELLS, ())
    board.ended(CELLS[2], ErrorInfo("lost", "run", 'the "supervisor" is gone'))
    journal = open_journal(tmp_path, Plan(CELLS, name="nightly", sweep="a" * 20))
    with told(journal, board):
        found = find(tmp_path, "nightly")
    journal.close()
    assert found.under_way
    assert found.status.devices == board.status().devices
    assert found.status.failures == {"run": 1}
