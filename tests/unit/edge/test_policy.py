"""What a run puts up with: links that break and come back, cells that fail for reasons that pass, and no more."""

from __future__ import annotations

import pytest

from edge.running.policy import Failures, Patience, Policy, link_may_return, passes_by_itself
from profiles.errors import (
    BuildError,
    ConnectError,
    EdgebenchError,
    HostKeyError,
    LoginError,
    RunError,
    Timeout,
    TransferError,
)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def run_error(code: str) -> RunError:
    error = RunError("it failed")
    error.code = code
    return error


@pytest.mark.parametrize(
    ("error", "returns"),
    [(ConnectError("silent"), True), (Timeout("silent"), True), (LoginError("refused"), False),
     (HostKeyError("another"), False), (run_error("lost"), False)],
)  # fmt: skip
def test_a_silent_device_may_come_back_and_one_that_refuses_will_not(error: EdgebenchError, returns: bool) -> None:
    assert link_may_return(error) is returns


@pytest.mark.parametrize(
    ("error", "passes"),
    [(run_error("lost"), True), (run_error("worker_killed"), True), (run_error("worker_died"), True),
     (run_error("busy"), True),
     (run_error("out_of_memory"), False), (run_error("deadline"), False), (BuildError("no"), False),
     (ConnectError("no"), False)],
)  # fmt: skip
def test_what_would_fail_again_is_not_begun_again(error: EdgebenchError, passes: bool) -> None:
    assert passes_by_itself(error) is passes


def test_without_retries_a_link_that_breaks_is_given_up() -> None:
    assert Patience(Policy()).pause_s() is None


def test_pauses_grow_and_end() -> None:
    patience = Patience(Policy(link_retries=3))
    pauses = [patience.pause_s() for _ in range(4)]
    assert pauses[3] is None
    first, second, third = (pause for pause in pauses[:3] if pause is not None)
    assert 0.75 <= first <= 1.25
    assert 1.5 <= second <= 2.5
    assert 3.0 <= third <= 5.0


def test_a_cell_that_was_finished_makes_patient_again() -> None:
    patience = Patience(Policy(link_retries=1))
    assert patience.pause_s() is not None
    patience.progressed()
    assert patience.pause_s() is not None
    assert patience.pause_s() is None


def test_a_device_is_waited_for_as_long_as_it_may_be_away() -> None:
    clock = Clock()
    patience = Patience(Policy(wait_online_s=3600.0), clock)
    waited = 0.0
    while (pause := patience.pause_s()) is not None:
        assert 0 < pause <= 75
        waited += pause
        clock.now += pause
    assert 3600 <= waited < 3601


def test_a_device_that_was_away_for_long_and_came_back_may_be_away_again() -> None:
    """How long it was silent before is no part of its next absence, nor are the attempts to reach it."""
    clock = Clock()
    patience = Patience(Policy(link_retries=3, wait_online_s=3600.0), clock)
    while clock.now < 3000:
        clock.now += patience.pause_s() or pytest.fail("it may be away for an hour")
    patience.returned()
    clock.now += 3000.0  # it works on a cell
    assert patience.pause_s() == pytest.approx(1.0, abs=0.25)


def test_a_link_that_breaks_again_and_again_is_given_up_however_long_a_device_may_be_away() -> None:
    patience = Patience(Policy(link_retries=3, wait_online_s=3600.0), Clock())
    pauses = []
    for _ in range(5):
        pauses.append(patience.pause_s())
        patience.returned()
    assert [pause is None for pause in pauses] == [False, False, False, False, True]


def test_a_link_that_comes_up_and_breaks_is_tried_no_oftener_than_the_run_says() -> None:
    patience = Patience(Policy(link_retries=2), Clock())
    pauses = []
    for _ in range(3):
        pauses.append(patience.pause_s())
        patience.returned()
    assert [pause is None for pause in pauses] == [False, False, True]


def test_failures_are_counted_up_to_their_limit() -> None:
    failures = Failures(2)
    failures.add("a", RunError("out of memory"))
    assert not failures.too_many
    failures.add("a", RunError("out of memory"))
    assert failures.too_many


def test_a_device_out_of_reach_counts_once() -> None:
    failures = Failures(2)
    for _ in range(5):
        failures.add("a", ConnectError("silent"))
    assert not failures.too_many
    failures.add("b", Timeout("silent"))
    assert failures.too_many


def test_a_device_that_takes_no_files_is_reached_and_counts_for_each() -> None:
    failures = Failures(3)
    for _ in range(3):
        assert not failures.too_many
        failures.add("a", TransferError("the disk of the device is full"))
    assert failures.too_many


def test_without_a_limit_no_failures_are_too_many() -> None:
    assert not Failures(None, 10**6).too_many
