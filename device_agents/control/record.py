"""What jobs have turned and not put back yet: a file each, on the disk before anything is turned.

control/<job>.json     what is to be put back
       /<job>.lock     held by the job's supervisor and its watchdog while one of them lives
product.lock           held while a product is stopped or started, which all GPUs of a host share
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Iterator, List, Tuple

from device_agents import locks, status
from device_agents.contract import SchemaViolation, dumps, from_json, loads
from device_agents.errors import DeviceError
from device_agents.files import sync, write_atomic

_PRODUCT_S = 600.0


@dataclass(frozen=True)
class Step:
    """A knob that was turned, or was about to be, and what it showed before."""

    knob: str
    before: str


@dataclass(frozen=True)
class Record:
    """Of one job: steps in the order in which they were taken, on the GPU whose UUID is `gpu`, since the start of the
    device that `boot_id` names. `accelerator` names its lock."""

    job: str
    boot_id: str
    accelerator: str
    gpu: str = ""
    quiesce: Tuple[str, ...] = ()
    resume: Tuple[str, ...] = ()
    steps: Tuple[Step, ...] = ()

    def and_step(self, step: Step) -> Record:
        return replace(self, steps=(*self.steps, step))

    def without(self, step: Step) -> Record:
        return replace(self, steps=tuple(each for each in self.steps if each != step))


class Shelf:
    """The records of a working folder."""

    def __init__(self, workdir: Path) -> None:
        self._folder = workdir / "control"
        self._product = workdir / "product.lock"

    def path(self, job: str) -> Path:
        return self._folder / f"{job}.json"

    def lock(self, job: str) -> int:
        """A descriptor of the lock of a job's record. Not locked yet."""
        while True:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # another job's end took the folder away
                return locks.open_lock(self._folder / f"{job}.lock")

    def jobs(self) -> List[str]:
        return sorted(path.stem for path in self._folder.glob("*.json"))

    def read(self, job: str) -> Record:
        """Errors: DeviceError when it is damaged; FileNotFoundError when there is none."""
        path = self.path(job)
        try:
            return from_json(Record, loads(path.read_bytes()))
        except SchemaViolation as error:
            message = f"the record of what {job} has changed here is damaged ({error})"
            fix = "put it back by hand, then remove that file"
            raise DeviceError("damaged_record", "control", message, where=str(path), fix=fix) from None

    def write(self, record: Record) -> None:
        """On the disk by the time that this returns; gone from it where no step is left."""
        path = self.path(record.job)
        if record.steps:
            write_atomic(path, dumps(record).encode())
            sync(self._folder)
        elif path.exists():
            path.unlink()
            sync(self._folder)

    def forget_lock(self, job: str) -> None:
        """When the record is gone. The folder goes with the last one."""
        (self._folder / f"{job}.lock").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    def is_held(self, job: str) -> bool:
        """Whether a supervisor or a watchdog lives that looks after the record."""
        lock = self.lock(job)
        try:
            locks.acquire(lock, 0)
        except locks.Busy:
            return True
        finally:
            os.close(lock)
        return False

    @contextlib.contextmanager
    def only_one(self, of_host: bool) -> Iterator[None]:
        """While something of the host's is turned, no other job turns it."""
        if not of_host:
            yield
            return
        lock = locks.open_lock(self._product)
        try:
            locks.acquire(lock, _PRODUCT_S)
            yield
        except locks.Busy:
            raise DeviceError("busy", "control", "another job here stops or starts the product") from None
        finally:
            os.close(lock)


def this_boot() -> str:
    return status.process_identity(os.getpid())[0]
