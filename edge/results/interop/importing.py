"""A file of another tool becomes a measurement of the store, marked as foreign."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from device_agents.contract import SCHEMA, JobResult, LoadPattern, Precision, ProcessResult, Reading, SampleRange
from edge import version
from edge.planning.plan import Cell
from edge.results.foreign import TASK, UNKNOWN, Foreign
from edge.results.interop import reader
from edge.results.interop.read import Read
from edge.results.samples import check_samples
from edge.results.store import Measurement, Origin
from profiles.errors import ConfigError, ResultError
from profiles.schema import Thresholds

T = TypeVar("T")

_LIMIT = 256 << 20  # bytes of a file
_NAME_LENGTH = 120
_ID_DIGITS = 20


@dataclass(frozen=True)
class Asked:
    """What the operator says of a file. A batch or a precision that the file tells, too, must be the same; `model` is a
    name of the operator's own."""

    device: str
    model: str = ""
    batch: int | None = None
    precision: Precision | None = None


def measurement_of(path: Path, form: str, asked: Asked) -> tuple[Measurement, bytes]:
    """The measurement in a file, and its samples as the store takes them. The same file, read and described alike, is
    the same measurement.

    Errors: ConfigError when the file cannot be read or is not of that form, or when nobody says what was measured.
    """
    data = _bytes(path)
    read = _read(data, form, str(path))
    cell = _cell(read, asked, str(path))
    sha256 = hashlib.sha256(data).hexdigest()
    name = hashlib.sha256(f"{sha256} {form} {cell.id}".encode()).hexdigest()[:_ID_DIGITS]
    processes, samples = _processes(read, cell.batch)
    result = JobResult(
        schema=SCHEMA,
        job=name,
        artifact="",
        backend=cell.backend,
        started_at=read.started_at,
        switches=dict(read.switches),
        identity={},
        context={**read.context, **({"model": Reading(read.model, path.name)} if read.model else {})},
        processes=processes,
        samples_count=len(samples) // 8,
        samples_sha256=hashlib.sha256(samples).hexdigest(),
        seconds={},
        task=TASK,
        layers=tuple(read.layers),
        command=read.command,
    )
    pattern = None if read.pattern is None else str(read.pattern)
    foreign = Foreign(read.tool, path.name, form, sha256, read.processes, pattern, read.told)
    origin = Origin("", None, Thresholds(), "", UNKNOWN, "", version(), foreign=foreign)
    _check(result, samples, str(path))
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return Measurement(name, TASK, cell, origin, now, result), samples


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(_LIMIT + 1)
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror})", where=str(path)) from None
    if len(data) > _LIMIT:
        raise ConfigError(f"larger than {_LIMIT >> 20} MiB, which is the most that is read", where=str(path))
    return data


def _read(data: bytes, form: str, where: str) -> Read:
    function = reader(form)
    try:
        return function(data.decode())
    except ValueError as error:  # UnicodeDecodeError is one
        raise ConfigError(str(error), where=where, fix=f"is it of the form {form}?") from None


def _cell(read: Read, asked: Asked, where: str) -> Cell:
    model = asked.model or _agreed("model", read.model, "", where)
    batch = _agreed("batch", read.batch, asked.batch, where)
    precision = _agreed("precision", read.precision, asked.precision, where)
    for name, text in (("device", asked.device), ("model", model)):
        if not text.isprintable() or not 0 < len(text) <= _NAME_LENGTH:
            raise ConfigError(f"{text[:_NAME_LENGTH]!r} is no name", where=f"--{name}")
    framework = read.framework or UNKNOWN
    pattern = read.pattern or LoadPattern()
    return Cell(asked.device, model, framework, read.backend, precision, batch, weights=UNKNOWN, pattern=pattern)


def _agreed(name: str, told: T | None, asked: T | None, where: str) -> T:
    if told and asked and told != asked:
        message = f"the file says that the {name} is {told}, not {asked}"
        raise ConfigError(message, where=where, fix=f"leave out --{name}")
    found = told or asked
    if not found:
        raise ConfigError(f"the file does not tell the {name}", where=where, fix=f"say it with --{name}")
    return found


def _processes(read: Read, batch: int) -> tuple[tuple[ProcessResult, ...], bytes]:
    """One for all samples, whoever made them; none where there are none."""
    count = len(read.latencies_ns)
    if not count:
        return (), b""
    columns = [read.latencies_ns, *read.parts_ns.values()]
    places = {name: SampleRange(count * index, count) for index, name in enumerate(read.parts_ns, 1)}
    elapsed_ns = read.elapsed_ns
    if read.images_per_s is not None:
        elapsed_ns = round(1e9 * batch * count / read.images_per_s)
    process = ProcessResult(
        index=0,
        import_ns=0,
        load_ns=read.load_ns,
        first_inference_ns=read.first_inference_ns,
        warmup=SampleRange(0, 0),
        timed=SampleRange(0, count),
        elapsed_ns=max(elapsed_ns, 1),
        warmup_stable=None,
        timer_overhead_ns=0,
        peak_rss_bytes=read.peak_rss_bytes,
        seconds={},
        parts=places,
        memory=dict(read.memory),
    )
    return (process,), np.concatenate([np.asarray(column, dtype="<i8") for column in columns]).tobytes()


def _check(result: JobResult, samples: bytes, where: str) -> None:
    """Errors: ConfigError for a latency that is none."""
    try:
        check_samples(result, samples, where=where)
    except ResultError as error:
        raise ConfigError(error.message, where=where, fix="the file is damaged, or of another form") from None
