"""What cells need from this machine is made once, in the order in which it is wanted, while others wait for it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NoReturn

import pytest

from edge.running.supply import Supply, in_turn
from export.artifact import Artifact
from profiles.errors import ExportError, TransportError
from tests.plans import artifact
from tests.unit.edge.test_plan_journal import cell

ONE, TWO = cell(batch=1), cell(batch=2)


def nothing() -> None:
    pass


def test_a_device_waits_for_what_is_being_made() -> None:
    begun, go = threading.Event(), threading.Event()
    told: list[str] = []

    def make(_cell: object) -> Artifact:
        begun.set()
        assert go.wait(10)
        return artifact()

    supply = Supply([ONE], make, None)
    with ThreadPoolExecutor() as pool:
        maker = pool.submit(supply.make, [ONE])
        assert begun.wait(10)
        waiter = pool.submit(supply.of, ONE, nothing, lambda: told.append("waiting"))
        go.set()
        assert waiter.result(10).artifact == artifact()
        maker.result(10)
    assert told in (["waiting"], [])


def test_what_fails_fails_its_own_cell_alone() -> None:
    def make(asked: object) -> Artifact:
        if asked == ONE:
            raise ExportError("no such layer")
        return artifact()

    supply = Supply([ONE, TWO], make, None)
    supply.make([ONE, TWO])
    error = supply.error(ONE)
    assert error is not None
    assert (error.message, error.stage) == ("no such layer", "export")
    assert supply.error(TWO) is None
    with pytest.raises(ExportError, match="no such layer"):
        supply.of(ONE, nothing, nothing)


def test_a_mistake_of_ours_is_told_to_who_waits() -> None:
    def make(_cell: object) -> Artifact:
        raise KeyError("oops")

    supply = Supply([ONE], make, None)
    supply.make([ONE])
    with pytest.raises(ExportError, match=r"edgebench failed \(KeyError"):
        supply.of(ONE, nothing, nothing)


def test_who_is_stopped_waits_no_longer() -> None:
    def stopped() -> NoReturn:
        raise TransportError("stopped")

    with pytest.raises(TransportError, match="stopped"):
        Supply([ONE], lambda _: artifact(), None).of(ONE, stopped, nothing)


def test_every_device_s_first_cell_comes_before_anyone_s_second() -> None:
    others = [replace(ONE, device="b"), replace(TWO, device="b"), replace(TWO, device="b", repeat=1)]
    assert in_turn([[ONE, TWO], others]) == [ONE, others[0], TWO, others[1], others[2]]
