"""Turning what a job wants turned, putting it back, and putting back what an earlier job left."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, Iterator, List, Sequence, Tuple

from device_agents import locks
from device_agents.contract import Control, Controlled
from device_agents.control import knobs, watchdog
from device_agents.control.knob import Knob
from device_agents.control.record import Record, Shelf, Step, this_boot
from device_agents.control.root import STAGE
from device_agents.errors import DeviceError
from device_agents.system import System


@contextlib.contextmanager
def held(
    workdir: Path, job: str, wanted: Control, system: System, accelerator: str, close: Sequence[int]
) -> Iterator[List[Controlled]]:
    """All that is wanted turned while this lasts. What it yields is whole when it is over.

    `accelerator` is the one whose lock we hold, `close` are descriptors that are not for the watchdog. Errors:
    DeviceError, before anything is turned, for what cannot be had here, or could not be put back.
    """
    record = Record(job, this_boot(), accelerator, system.gpu, wanted.quiesce, wanted.resume)
    chosen = knobs.wanted(wanted, system, log=workdir / "control" / f"{job}.log")
    if not chosen:
        yield []
        return
    knobs.check(chosen, system)
    shelf = Shelf(workdir)
    controlled: List[Controlled] = []
    lock = shelf.lock(job)
    try:
        locks.acquire(lock, 0)
        dog = watchdog.start(lambda: _put_all_back(shelf, job, system), close)
        try:
            _turn(chosen, record, shelf, controlled)
            yield controlled
        finally:
            after = put_back(shelf, job, system)
            controlled[:] = [_ended(one, chosen, after) for one in controlled]
            watchdog.end(dog)
            _end(shelf, job)
    finally:
        os.close(lock)


@dataclass(frozen=True)
class Undone:
    """What a knob showed after it was put back, and why it was not, or not wholly."""

    after: str
    problem: str = ""


def put_back(shelf: Shelf, job: str, system: System) -> Dict[str, Undone]:
    """Put back what the record of a job says, last turned first; by knob. What cannot be stays in the record. For who
    holds the record's lock."""
    if job not in shelf.jobs():
        return {}
    record = shelf.read(job)
    found: Dict[str, Undone] = {}
    for step in reversed(record.steps):
        try:
            knob = knobs.of_step(step.knob, record, system, log=shelf.path(job).with_suffix(".log"))
            with shelf.only_one(knob.of_host):
                other = _other_user(shelf, record, step.knob) if knob.of_host else ""
                if not other:
                    knob.put_back(step.before)
                record = record.without(step)
                shelf.write(record)
            found[step.knob] = _undone(knob, step, other)
        except (DeviceError, OSError) as error:
            told = error.info.message if isinstance(error, DeviceError) else str(error)
            found[step.knob] = Undone("", told)
    return found


def recover(workdir: Path, system: System, held_accelerator: str = "") -> Tuple[List[str], List[DeviceError]]:
    """Put back what jobs left whose supervisor and watchdog are gone: what was, in sentences, and what could not be.
    Where somebody measures on that accelerator, it is left alone."""
    shelf = Shelf(workdir)
    mended: List[str] = []
    left: List[DeviceError] = []
    for job in shelf.jobs():
        with contextlib.ExitStack() as locked:
            try:
                if not _ours(shelf, job, held_accelerator, locked):
                    continue
                _forget_what_a_restart_undid(shelf, job)
                steps = ", ".join(f"{step.knob} ({step.before})" for step in shelf.read(job).steps)
                found = put_back(shelf, job, system)
            except FileNotFoundError:  # somebody was faster
                shelf.forget_lock(job)
                continue
            except DeviceError as error:
                left.append(error)
                continue
            problems = [f"{name}: {undone.problem}" for name, undone in found.items() if undone.problem]
            if problems and job in shelf.jobs():
                message = f"job {job} was killed here and {'; '.join(problems)}: {steps} is not as it was"
                fix = f"put it back by hand, then rm {shelf.path(job)}"
                left.append(DeviceError("not_put_back", STAGE, message, fix=fix))
            else:
                mended.append(f"job {job} was killed here; what it had changed was put back now: {steps}")
            _end(shelf, job)
    return mended, left


def _turn(chosen: Sequence[Knob], record: Record, shelf: Shelf, controlled: List[Controlled]) -> None:
    for knob in chosen:
        before = knob.show()
        if not knob.is_turned():
            knob.store()
            record = record.and_step(Step(knob.name, before))
            with shelf.only_one(knob.of_host):
                shelf.write(record)
                knob.write()
        controlled.append(Controlled(knob.name, before, knob.show(), before))


def _put_all_back(shelf: Shelf, job: str, system: System) -> None:
    for name, undone in put_back(shelf, job, system).items():
        print(f"put back after the supervisor's death: {name}: {undone.problem or undone.after}", flush=True)
    _end(shelf, job)


def _ended(one: Controlled, chosen: Sequence[Knob], after: Dict[str, Undone]) -> Controlled:
    undone = after.get(one.name)
    if undone is None:  # it stood so, and was left alone
        return replace(one, after=next(knob.show() for knob in chosen if knob.name == one.name))
    return replace(one, after=undone.after, problem=undone.problem)


def _undone(knob: Knob, step: Step, other: str) -> Undone:
    if other:
        return Undone(f"left to job {other}, which wants it so, too")
    after = knob.show()
    return Undone(after, "" if knob.is_back(step.before, after) else f"it was {step.before}")


def _other_user(shelf: Shelf, record: Record, name: str) -> str:
    """Another job that lives and has turned the same for all of the host."""
    for job in shelf.jobs():
        with contextlib.suppress(DeviceError, FileNotFoundError):
            if job != record.job and shelf.is_held(job) and name in {step.knob for step in shelf.read(job).steps}:
                return job
    return ""


def _ours(shelf: Shelf, job: str, held_accelerator: str, locked: contextlib.ExitStack) -> bool:
    """Whether nobody lives who looks after that record, nor measures on its accelerator: their locks are ours then."""
    lock = shelf.lock(job)
    locked.callback(os.close, lock)
    try:
        locks.acquire(lock, 0)
        accelerator = shelf.read(job).accelerator
        if accelerator != held_accelerator:
            its = locks.open_lock(locks.accelerator_path(accelerator))
            locked.callback(os.close, its)
            locks.acquire(its, 0)
    except locks.Busy:
        return False
    return True


def _forget_what_a_restart_undid(shelf: Shelf, job: str) -> None:
    record = shelf.read(job)
    if record.boot_id != this_boot():
        shelf.write(replace(record, steps=tuple(s for s in record.steps if not knobs.is_volatile(s.knob))))


def _end(shelf: Shelf, job: str) -> None:
    """What is put back is forgotten."""
    if job not in shelf.jobs():
        shelf.forget_lock(job)
