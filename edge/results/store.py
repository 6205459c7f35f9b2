"""The store of measurements: one folder each, written whole or not at all; JSON and raw samples are the truth.

measurements/<first two digits>/<id>/result.json      who, what, when; the agent's own result within
                                    /samples.i64le    nanoseconds, 64-bit little-endian, hashed by the JSON
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from device_agents.contract import JobResult, SchemaViolation, dumps, from_json, loads
from edge.planning.plan import Cell
from edge.results.foreign import Foreign
from edge.results.samples import check_samples
from edge.results.updates import SCHEMA, updated
from profiles.errors import ConfigError, ResultError
from profiles.schema import Price, Thresholds

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESULT = "result.json"
SAMPLES = "samples.i64le"
MAKING, GOING = ".making-", ".going-"
"""How folders begin that are on their way into the store, and out of it."""
IMPORTING, IMPORTED = ".importing-", ".imported-"
"""Those beside the shards in which a bundle is checked, and which hold one that was checked and comes in whole."""

_WRITING = threading.BoundedSemaphore(8)
"""Measurements that are written at once: more threads that hand the interpreter on at each file cost more than the disk
gains by them."""


@dataclass(frozen=True)
class OwnInputs:
    """The operator's own data that was timed: the SHA-256 of what was given, how many samples, a sentence on where the
    reference outputs come from or why there are none, and whether there are any."""

    sha256: str
    samples: int
    reference: str
    checked: bool


@dataclass(frozen=True)
class LabelledImages:
    """The labelled images that went through the engine: the SHA-256 of what was given, how many, and in sentences how
    their labels were understood and how they were cut and normalised."""

    sha256: str
    images: int
    labels: str
    preprocessing: str


@dataclass(frozen=True)
class Origin:
    """What a job was started with: fixed before the trial, whoever collects it and whenever.

    `power_mode` is the mode that is expected, `thresholds` are the verdict's, `produced_by` the artifact's versions,
    `inputs` the operator's own data where that was timed, `labelled` the images that accuracy was told by, `size`
    height and width of the images (of drawn ones, of those that are checked). Of another tool's measurement `foreign`
    alone is known. `price` is the operator's own of an hour of the device.
    """

    device_profile: str
    power_mode: str | None
    thresholds: Thresholds
    artifact: str
    weights: str
    agent_sha256: str
    edgebench: str
    produced_by: Mapping[str, str] = field(default_factory=dict)
    inputs: OwnInputs | None = None
    foreign: Foreign | None = None
    size: tuple[int, int] | None = None
    price: Price | None = None
    labelled: LabelledImages | None = None


@dataclass(frozen=True)
class Imported:
    """Where a measurement came from that was not made from here: the name of the bundle and the SHA-256 of its
    manifest, and when it was imported."""

    bundle: str
    sha256: str
    at: str


@dataclass(frozen=True)
class Measurement:
    """A job's result with everything that says what it is a result of. `id` is the job's id; `imported` is None for
    what was measured from here."""

    id: str
    run: str
    cell: Cell
    origin: Origin
    collected_at: str
    result: JobResult
    imported: Imported | None = None
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise SchemaViolation("schema", f"version {self.schema}; this edgebench reads {SCHEMA}")


class Store:
    """The measurements of one operator, below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root / "measurements"

    def add(self, measurement: Measurement, samples: bytes) -> Path:
        """Store a measurement under its id; one that is there already stays as it is, unless it is damaged. Returns its
        folder.

        Errors: ResultError when it cannot be written.
        """
        home = self.folder(measurement.id)
        try:
            with _WRITING:
                self._add(home, measurement, samples)
        except OSError as error:
            fix = "free space, or let $XDG_DATA_HOME name a folder that can be written"
            raise ResultError(f"cannot be written ({error.strerror})", where=str(home), fix=fix) from None
        return home

    def _add(self, home: Path, measurement: Measurement, samples: bytes) -> None:
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=MAKING, dir=home.parent) as name:
            making = Path(name) / "measurement"
            making.mkdir()
            write(making / SAMPLES, samples)
            write(making / RESULT, encode(measurement))
            self._put(making, home)

    def _put(self, whole: Path, home: Path) -> None:
        """A whole folder becomes that of a measurement, unless what is there stays. Errors: OSError."""
        try:
            whole.rename(home)
        except OSError:
            if self.keeps(home.name):
                return
            if not home.exists():
                raise
            self._replace(whole, home)

    def _replace(self, whole: Path, home: Path) -> None:
        """Errors: OSError; what was there is there still, then."""
        going = home.with_name(f"{GOING}{home.name}.{os.getpid()}.{secrets.token_hex(4)}")
        home.rename(going)
        try:
            whole.rename(home)
        except OSError:  # also where another process has brought it in, and this one has just taken it out
            going.rename(home)
            raise
        shutil.rmtree(going, ignore_errors=True)

    def remove(self, measurement_id: str) -> None:
        """Take a measurement out: it is gone at once, its files a moment later. Errors: ResultError."""
        home = self.folder(measurement_id)
        going = home.with_name(f"{GOING}{measurement_id}.{os.getpid()}")
        try:
            home.rename(going)
            shutil.rmtree(going)
        except OSError as error:
            raise ResultError(f"cannot be removed ({error.strerror})", where=str(home)) from None

    def folder(self, measurement_id: str) -> Path:
        return self.root / measurement_id[:2] / measurement_id

    def settle(self) -> None:
        """Bring in what a bundle that was checked has left to come in. Safe for several processes."""
        for whole in self.root.glob(f"{IMPORTED}*"):
            with contextlib.suppress(FileNotFoundError):  # another process has just done so
                for one in sorted(whole.iterdir()):
                    home = self.folder(one.name)
                    home.parent.mkdir(exist_ok=True)
                    self._put(one, home)
                shutil.rmtree(whole)

    def shards(self) -> dict[str, int]:
        """The folders that hold measurements, with the time (ns) when something last came into each or left it."""
        self.settle()
        with contextlib.suppress(FileNotFoundError), os.scandir(self.root) as found:
            return {one.name: one.stat().st_mtime_ns for one in found if len(one.name) == 2 and one.is_dir()}
        return {}

    def stored_in(self, shard: str) -> Iterator[tuple[str, int]]:
        """The measurements of a shard, each with the time (ns) when its result was written; in no order."""
        with contextlib.suppress(FileNotFoundError), os.scandir(self.root / shard) as found:
            for one in found:
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    if not one.name.startswith("."):
                        yield one.name, os.stat(f"{one.path}/{RESULT}").st_mtime_ns  # noqa: PTH116 - of 100,000 files

    def stored_ns(self, measurement_id: str) -> int:
        """When its result was written, Unix time in ns. Errors: ResultError when it is not there."""
        path = self.folder(measurement_id) / RESULT
        try:
            return path.stat().st_mtime_ns
        except OSError as error:
            raise ResultError(f"cannot be read ({error.strerror})", where=str(path)) from None

    def ids(self) -> list[str]:
        """Every measurement, oldest first."""
        found = [(stored_ns, name) for shard in self.shards() for name, stored_ns in self.stored_in(shard)]
        return [name for _, name in sorted(found)]

    def find(self, prefix: str) -> str:
        """The one id that begins with `prefix`. Errors: ConfigError when there is none, or several."""
        shards = [prefix[:2]] if len(prefix) > 1 else list(self.shards())
        matches = [name for shard in shards for name, _ in self.stored_in(shard) if name.startswith(prefix)]
        if len(matches) == 1 or prefix in matches:
            return prefix if prefix in matches else matches[0]
        what = "no measurement begins" if not matches else f"{len(matches)} measurements begin"
        raise ConfigError(f"{what} with {prefix!r}", where=str(self.root), fix="see `edgebench results list`")

    def get(self, measurement_id: str) -> Measurement:
        """A measurement by its full id. Errors: ResultError when it is missing or damaged."""
        path = self.folder(measurement_id) / RESULT
        try:
            return parse(path.read_bytes(), where=str(path))
        except OSError as error:
            raise ResultError(f"cannot be read ({error.strerror})", where=str(path)) from None

    def readable(self, measurement_id: str) -> bool:
        """Whether the measurement is there and whole."""
        return self._damage(measurement_id) is None

    def keeps(self, measurement_id: str) -> bool:
        """Whether the measurement stays as it is when it comes again: it is whole, or a newer edgebench stored it."""
        damage = self._damage(measurement_id)
        return damage is None or isinstance(damage, NewerSchemaError)

    def _damage(self, measurement_id: str) -> ResultError | None:
        """Why it cannot be read whole."""
        try:
            self.samples_ns(self.get(measurement_id))
        except ResultError as error:
            return error
        return None

    def samples_ns(self, measurement: Measurement) -> NDArray[np.int64]:
        """All samples of a measurement, int64 nanoseconds. Errors: ResultError when they are not those of its JSON."""
        path = self.folder(measurement.id) / SAMPLES
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ResultError(f"cannot be read ({error.strerror})", where=str(path)) from None
        check_samples(measurement.result, data, where=str(path))
        return np.frombuffer(data, dtype="<i8").astype(np.int64)


class NewerSchemaError(ResultError):
    """A measurement that a newer edgebench stored: it is not damaged, and must not be lost."""


def parse(data: bytes, *, where: str) -> Measurement:
    """A measurement from the bytes of its JSON, whichever edgebench wrote it. Errors: ResultError."""
    try:
        stored = updated(loads(data))
        schema = stored.get("schema") if isinstance(stored, dict) else None
        if isinstance(schema, int) and schema > SCHEMA:
            message = f"stored by a newer edgebench (schema {schema}, this one reads {SCHEMA})"
            raise NewerSchemaError(message, where=where, fix="upgrade edgebench to read it")
        return from_json(Measurement, stored)
    except SchemaViolation as error:
        fix = "remove that folder: edgebench results gc --damaged"
        raise ResultError(f"damaged ({error})", where=where, fix=fix) from None


def encode(measurement: Measurement) -> bytes:
    """Its JSON, as it is stored; equal measurements give equal bytes."""
    return (dumps(measurement, indent=1) + "\n").encode()


def write(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
