"""Cells are named by their request; the journal survives kill -9 and keeps a second writer out."""

from __future__ import annotations

import json
import os
import resource
import threading
import time
from dataclasses import astuple, replace
from pathlib import Path

import pytest

from device_agents.contract import DimRange, ErrorInfo, LoadPattern, Precision, Timing, dumps, from_json, loads
from edge.planning.classes import Build
from edge.planning.plan import Cell, Plan
from edge.results.store import Origin
from edge.running.journal import Begin, Journal, failed, look, open_journal, unfinished_runs
from edge.sweeps.estimate import took_s
from profiles.errors import ConfigError, ResultError
from profiles.schema import Thresholds
from tests.plans import artifact
from tests.ssh.sshd import wait_until


def cell(**changes: object) -> Cell:
    fields = {
        "device": "local", "model": "resnet18", "framework": "pytorch", "backend": "onnxruntime",
        "precision": Precision.FP32, "batch": 1,
    }  # fmt: skip
    return Cell(**{**fields, **changes})  # type: ignore[arg-type]


ORIGIN = Origin("local", None, Thresholds(), "a" * 64, "random", "b" * 64, "0")
ARTIFACT = artifact()
PLAN = Plan((cell(), cell(batch=8)))
REAL_GMTIME = time.gmtime


def test_a_cell_s_id_is_fixed_for_all_time() -> None:
    """Journals and results of older versions name cells by it: a new field with a default must not change it."""
    assert cell().id == "221b0e4e861dcf7c070a"


def test_defaults_are_part_of_what_an_id_means() -> None:
    """What equals its default is left out of the id: whoever changes a default gives old ids a new meaning, and has to
    give the field another name instead."""
    timing = (5, 1.0, 50, 60.0, 2.0, 150, 120.0)
    assert astuple(Timing()) == timing
    pattern = ("serial", 0.0, False, 0.0, (), 0.0)
    engines = (0, (), None, None, "own", None, False, None, False, False, False, False)
    assert astuple(cell())[6:] == ("pretrained", pattern, timing, {}, False, True, 0, *engines, None)


@pytest.mark.parametrize(
    "change",
    [{"batch": 8}, {"device": "other"}, {"precision": Precision.FP16}, {"timing": Timing.quick()}, {"repeat": 1},
     {"options": {"threads": 1}}, {"weights": "random"}, {"build": 1}, {"profiles": ({"batch": DimRange(1, 8, 32)},)},
     {"inputs": "d" * 64}, {"check_with": "trtexec"}, {"engines": "per-class"}, {"pattern": LoadPattern("rate", 30.0)},
     {"size": (320, 512)}, {"dataset": "d" * 64}, {"pattern": LoadPattern("rate", 30.0, timeout_s=0.05)}],
)  # fmt: skip
def test_whatever_is_asked_otherwise_is_another_cell(change: dict[str, object]) -> None:
    assert cell(**change).id != cell().id


def test_a_cell_is_read_back_as_it_was_written() -> None:
    """Journals and measurements keep cells as JSON."""
    asked = cell(
        profiles=({"batch": DimRange(1, 8, 32)},), build=2, inputs="d" * 64, pattern=LoadPattern("rate", 30.0),
        size=(320, 512),
    )  # fmt: skip
    assert from_json(Cell, loads(dumps(asked))) == asked
    assert from_json(Cell, loads(dumps(asked))).id == asked.id


def test_an_engine_that_was_built_for_a_class_is_known_when_the_run_is_taken_up(tmp_path: Path) -> None:
    build = Build(cell(device="builder"), ARTIFACT)
    first = open_journal(tmp_path, PLAN)
    job, _ = first.begin(build, ORIGIN)
    first.close()
    second = open_journal(tmp_path, PLAN)
    assert second.of(build).job == job, "a build under way is joined"
    second.built(build, "e" * 64)
    second.close()
    third = open_journal(tmp_path, PLAN)
    assert (third.of(build).done, third.of(build).job) == ("e" * 64, None)
    assert third.of(build.cell).done is None, "the builder's own measurement of that cell is another task"
    third.close()


def test_a_plan_that_builds_anew_takes_up_no_run_that_did_not(tmp_path: Path) -> None:
    first = open_journal(tmp_path, PLAN)
    first.close()
    anew = open_journal(tmp_path, replace(PLAN, rebuild=True))
    anew.close()
    again = open_journal(tmp_path, replace(PLAN, rebuild=True))
    again.close()
    assert (anew.run != first.run, again.run) == (True, anew.run)


def test_a_plan_is_the_same_in_any_order() -> None:
    assert Plan(PLAN.cells[::-1]).id == PLAN.id


def test_an_unfinished_run_is_taken_up_with_what_it_knows(tmp_path: Path) -> None:
    first = open_journal(tmp_path, PLAN)
    job, _ = first.begin(PLAN.cells[0], ORIGIN)
    first.done(PLAN.cells[0], job)
    under_way = first.begin(PLAN.cells[1], ORIGIN)
    first.close()

    second = open_journal(tmp_path, PLAN)
    assert (second.run, second.resumed) == (first.run, True)
    assert second.of(PLAN.cells[0]).done == job
    later = replace(ORIGIN, artifact="c" * 64)
    assert second.begin(PLAN.cells[1], later) == under_way, "a job under way keeps its id and what it was started with"
    second.close()


def test_which_runs_will_be_taken_up_is_known(tmp_path: Path) -> None:
    for _ in range(2):
        journal = open_journal(tmp_path, PLAN)
        journal.close()
        assert unfinished_runs(tmp_path) == {journal.run}
    journal = open_journal(tmp_path, PLAN)
    journal.finish()
    journal.close()
    assert unfinished_runs(tmp_path) == set()


def test_a_finished_run_is_not_taken_up(tmp_path: Path) -> None:
    first = open_journal(tmp_path, PLAN)
    first.finish()
    first.close()
    second = open_journal(tmp_path, PLAN)
    assert not second.resumed
    assert second.run != first.run
    second.close()


def test_a_clock_that_was_set_back_hides_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_journal(tmp_path, PLAN)
    first.finish()
    first.close()
    an_hour_ago = time.gmtime(time.time() - 3600)
    monkeypatch.setattr(time, "gmtime", lambda seconds=None: an_hour_ago if seconds is None else REAL_GMTIME(seconds))
    second = open_journal(tmp_path, PLAN)
    second.done(PLAN.cells[0], "m-1")
    second.close()
    third = open_journal(tmp_path, PLAN)
    third.close()
    assert (third.run, third.resumed) == (second.run, True)
    assert second.run > first.run


def test_fresh_leaves_an_unfinished_run_alone(tmp_path: Path) -> None:
    first = open_journal(tmp_path, PLAN)
    first.close()
    second = open_journal(tmp_path, PLAN, Begin.FRESH)
    assert not second.resumed
    second.close()


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_a_cell_that_ended_without_a_result_is_a_new_job_next_time(tmp_path: Path, end: str) -> None:
    journal = open_journal(tmp_path, PLAN)
    first = journal.begin(PLAN.cells[0], ORIGIN)
    if end == "failed":
        journal.failed(PLAN.cells[0], ErrorInfo("run", "run", "no"))
    else:
        journal.cancelled(PLAN.cells[0])
    assert journal.begin(PLAN.cells[0], ORIGIN) != first
    assert journal.of(PLAN.cells[0]).attempts == 2
    journal.close()


def test_a_line_cut_short_by_a_crash_never_happened(tmp_path: Path) -> None:
    journal = open_journal(tmp_path, PLAN)
    job, _ = journal.begin(PLAN.cells[0], ORIGIN)
    journal.close()
    whole = journal.path.read_bytes()
    for length in range(len(whole.splitlines(keepends=True)[0]), len(whole)):
        journal.path.write_bytes(whole[:length])
        again = open_journal(tmp_path, PLAN)
        known = again.of(PLAN.cells[0]).job
        assert known in (None, job)
        after, _ = again.begin(PLAN.cells[0], ORIGIN)
        again.close()
        assert _reread(tmp_path).of(PLAN.cells[0]).job == after


def test_every_event_is_on_disk_when_the_call_returns(tmp_path: Path) -> None:
    journal = open_journal(tmp_path, PLAN)
    journal.begin(PLAN.cells[0], ORIGIN)
    events = [json.loads(line)["event"] for line in journal.path.read_text().splitlines()]
    assert events == ["started", "submitted"]
    journal.close()


def test_how_long_a_cell_took_is_known_where_one_process_began_and_ended_it(tmp_path: Path) -> None:
    """A run that lay dead for a night, or whose clock was set, tells nothing of the cell."""
    journal = open_journal(tmp_path, PLAN)
    for one in PLAN.cells:
        journal.begin(one, ORIGIN)
    time.sleep(0.05)
    journal.done(PLAN.cells[0], "a" * 16)
    journal.close()
    again = open_journal(tmp_path, PLAN)
    again.begin(PLAN.cells[1], ORIGIN)
    again.done(PLAN.cells[1], "b" * 16)
    again.close()
    found = [look(journal.path).of(one).took_s for one in PLAN.cells]
    assert 0.05 <= found[0] < 5
    assert found[1] == 0.0
    assert took_s(tmp_path, PLAN.id) == {PLAN.cells[0].id: found[0]}


def test_a_second_controller_is_told(tmp_path: Path) -> None:
    journal = open_journal(tmp_path, PLAN)
    with pytest.raises(ConfigError, match="another edgebench is running this plan"):
        open_journal(tmp_path, PLAN)
    journal.close()


def _reread(root: Path) -> Journal:
    journal = open_journal(root, PLAN)
    journal.close()
    return journal


def test_lines_that_wait_for_the_disk_go_there_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And none is told as kept before it is there."""
    cells = [cell(device=f"orin-{number}") for number in range(20)]
    journal = open_journal(tmp_path, Plan(tuple(cells)))
    sync, synced, early = os.fsync, [journal.path.stat().st_size], []

    def lines() -> int:
        return journal.path.read_bytes().count(b"\n")

    def slow(descriptor: int) -> None:
        size = os.fstat(descriptor).st_size
        if len(synced) == 1:
            wait_until(lambda: lines() == 1 + len(cells), "every thread to have written its line")
        sync(descriptor)
        synced.append(size)

    def one(its: Cell) -> None:
        journal.done(its, "a" * 16)
        if its.id.encode() not in journal.path.read_bytes()[synced[0] : max(synced)]:
            early.append(its)

    monkeypatch.setattr(os, "fsync", slow)
    threads = [threading.Thread(target=one, args=(its,)) for its in cells]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()
    assert len(synced) == 3  # as it was, after the one that all waited for, after all others at once
    assert not early
    assert [look(journal.path).of(its).done for its in cells] == ["a" * 16] * len(cells)


def test_failures_are_those_of_cells(tmp_path: Path) -> None:
    """An engine that was not built is told by each cell that waited for it."""
    journal = open_journal(tmp_path, PLAN)
    error = ErrorInfo("build", "build", "no")
    journal.failed(Build(cell(device="builder"), ARTIFACT), error)
    journal.failed(PLAN.cells[0], error)
    journal.close()
    assert look(journal.path).failures == {"build": 1}


@pytest.mark.parametrize("end", ["under way", "failed", "done"])
def test_what_was_lost_under_way_is_among_what_failed(tmp_path: Path, end: str) -> None:
    journal = open_journal(tmp_path, PLAN)
    journal.begin(PLAN.cells[0], ORIGIN)
    if end == "failed":
        journal.failed(PLAN.cells[0], ErrorInfo("run", "run", "no"))
    elif end == "done":
        journal.done(PLAN.cells[0], "a" * 16)
    journal.close()
    assert failed(tmp_path, PLAN) is (end != "done")


def test_a_line_that_a_full_disk_cuts_short_takes_nothing_of_the_next_one(tmp_path: Path) -> None:
    journal = open_journal(tmp_path, PLAN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (journal.path.stat().st_size + 10, before[1]))
    try:
        with pytest.raises(ResultError, match=r"the journal cannot be written \(No space left"):
            journal.done(PLAN.cells[0], "a" * 16)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    journal.done(PLAN.cells[1], "b" * 16)
    journal.close()
    assert [look(journal.path).of(its).done for its in PLAN.cells] == [None, "b" * 16]


@pytest.mark.parametrize("line", [
    {"event": "failed", "cell": "c", "error": None},
    {"event": "submitted", "cell": "c", "job": "j", "origin": {}, "at": "yesterday"},
    {"event": "started", "cells": [], "at": None, "name": "n"} | {"cells": 3},
])  # fmt: skip
def test_a_journal_that_is_damaged_is_a_sentence_and_stays_free(tmp_path: Path, line: dict[str, object]) -> None:
    journal = open_journal(tmp_path, PLAN)
    journal.close()
    with journal.path.open("a") as file:
        file.write(json.dumps(line) + "\n")
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"the journal is damaged.*--fresh"):
            open_journal(tmp_path, PLAN)
