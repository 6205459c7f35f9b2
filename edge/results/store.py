"""The store of measurements: one folder each, written whole or not at all; JSON and raw samples are the truth.

measurements/<first two digits>/<id>/result.json      who, what, when; the agent's own result within
                                    /samples.i64le    nanoseconds, 64-bit little-endian, hashed by the JSON
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from device_agents.contract import JobResult, SchemaViolation, dumps, from_json, loads
from edge.planning.plan import Cell
from edge.results.foreign import Foreign
from edge.results.samples import check_samples
from profiles.errors import ConfigError, ResultError
from profiles.schema import Thresholds

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCHEMA = 1
RESULT = "result.json"
SAMPLES = "samples.i64le"

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
class Origin:
    """What a job was started with: fixed before the trial, whoever collects it and whenever.

    `power_mode` is the mode that is expected, `thresholds` are the verdict's, `produced_by` the artifact's versions,
    `inputs` the operator's own data where that was timed. Of another tool's measurement `foreign` alone is known.
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


@dataclass(frozen=True)
class Measurement:
    """A job's result with everything that says what it is a result of. `id` is the job's id."""

    id: str
    run: str
    cell: Cell
    origin: Origin
    collected_at: str
    result: JobResult
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise SchemaViolation("schema", f"version {self.schema}; this edgebench reads {SCHEMA}")


class Store:
    """The measurements of one operator, below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root / "measurements"

    def add(self, measurement: Measurement, samples: bytes) -> Path:
        """Store a measurement under its id; one that is there already stays as it is. Returns its folder.

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
        with tempfile.TemporaryDirectory(prefix=".making-", dir=home.parent) as name:
            making = Path(name) / "measurement"
            making.mkdir()
            _write(making / SAMPLES, samples)
            _write(making / RESULT, (dumps(measurement, indent=1) + "\n").encode())
            try:
                making.rename(home)
            except OSError:
                if not (home / RESULT).exists():
                    raise

    def folder(self, measurement_id: str) -> Path:
        return self._root / measurement_id[:2] / measurement_id

    def ids(self) -> list[str]:
        """Every measurement, oldest first."""
        found = sorted(self._root.glob(f"*/*/{RESULT}"), key=lambda path: path.stat().st_mtime_ns)
        return [path.parent.name for path in found]

    def find(self, prefix: str) -> str:
        """The one id that begins with `prefix`. Errors: ConfigError when there is none, or several."""
        matches = [name for name in self.ids() if name.startswith(prefix)]
        if len(matches) == 1 or prefix in matches:
            return prefix if prefix in matches else matches[0]
        what = "no measurement begins" if not matches else f"{len(matches)} measurements begin"
        raise ConfigError(f"{what} with {prefix!r}", where=str(self._root), fix="see `edgebench results list`")

    def get(self, measurement_id: str) -> Measurement:
        """A measurement by its full id. Errors: ResultError when it is missing or damaged."""
        path = self.folder(measurement_id) / RESULT
        try:
            data = loads(path.read_bytes())
            _check_schema(data, path)
            return from_json(Measurement, data)
        except OSError as error:
            raise ResultError(f"cannot be read ({error.strerror})", where=str(path)) from None
        except SchemaViolation as error:
            raise ResultError(f"damaged ({error})", where=str(path), fix="remove that folder") from None

    def readable(self, measurement_id: str) -> bool:
        """Whether the measurement is there and whole."""
        try:
            self.samples_ns(self.get(measurement_id))
        except ResultError:
            return False
        return True

    def samples_ns(self, measurement: Measurement) -> NDArray[np.int64]:
        """All samples of a measurement, int64 nanoseconds. Errors: ResultError when they are not those of its JSON."""
        path = self.folder(measurement.id) / SAMPLES
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ResultError(f"cannot be read ({error.strerror})", where=str(path)) from None
        check_samples(measurement.result, data, where=str(path))
        return np.frombuffer(data, dtype="<i8").astype(np.int64)


def _check_schema(data: object, path: Path) -> None:
    """Errors: ResultError for a measurement that a newer edgebench stored: it is not damaged, and must not be lost."""
    schema = data.get("schema") if isinstance(data, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        fix = "upgrade edgebench to read it"
        raise ResultError(
            f"stored by a newer edgebench (schema {schema}, this one reads {SCHEMA})", where=str(path), fix=fix
        )


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
