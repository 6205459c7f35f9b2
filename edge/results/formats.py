"""Measurements as files for other programs: tables of their figures here, formats of other tools in `interop`.

A writer of a table gets the measurements one after another, however many they are.
"""

from __future__ import annotations

import contextlib
import csv
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_agents.contract import dumps
from edge.results import database, interop
from edge.results.columns import COLUMNS, NAMES, Record, record
from profiles.errors import ConfigError, ResultError
from profiles.load import unknown

if TYPE_CHECKING:
    from edge.report.rows import Row
    from edge.results.store import Store

Stored = tuple["Row", Record]
"""A measurement with its samples, and its columns."""

Writer = Callable[[Iterable[Stored], Path], None]


def _csv(stored: Iterable[Stored], path: Path) -> None:
    """Every column but `figures`, which is all of it again."""
    names = [name for name in NAMES if name != "figures"]
    with path.open("w", encoding="utf-8", newline="") as stream:
        lines = csv.writer(stream, lineterminator="\n")
        lines.writerow(names)
        lines.writerows([cell(one[name]) for name in names] for _, one in stored)


def _jsonl(stored: Iterable[Stored], path: Path) -> None:
    """A line each, as `results show --json` has the figures."""
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(f"{dumps(one['figures'])}\n" for _, one in stored)


def _parquet(stored: Iterable[Stored], path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=".making-", dir=path.parent) as workspace:
        database.write(path, (one for _, one in stored), workspace=Path(workspace), columns=COLUMNS)


TABLES: dict[str, Writer] = {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet}


def named(name: str) -> str:
    """Errors: ConfigError for a format that there is not."""
    known = (*TABLES, *interop.FORMATS)
    if not name:
        raise ConfigError("the format is not said", fix=f"say --format: {', '.join(known)}")
    if name not in known:
        raise unknown("format", name, known, where="--format")
    return name


def write(name: str, store: Store, ids: Sequence[str], target: Path) -> dict[str, str]:
    """Write `target` in that format, whole or not at all; by id, why damaged measurements are left out of a table.

    Errors: ResultError when it cannot be written; ConfigError when the format cannot hold what was measured, or wants a
    library that is not there.
    """
    damaged: dict[str, str] = {}
    try:
        with part_of(target) as part:
            if name in TABLES:
                TABLES[name](_stored(store, ids, damaged), part)
            else:
                part.write_bytes(interop.writer(name)([_given(store, one) for one in ids]))
    except OSError as error:
        raise ResultError(f"cannot be written ({error.strerror})", where=str(target)) from None
    return damaged


def _stored(store: Store, ids: Iterable[str], damaged: dict[str, str]) -> Iterator[Stored]:
    """The measurements, each read when it is asked for; of those that cannot be read, why is added to `damaged`."""
    from edge.report import rows

    for measurement_id in ids:
        try:
            row = rows.read(store, measurement_id)
            yield row, record(row, store.stored_ns(measurement_id))
        except ResultError as error:
            damaged[measurement_id] = str(error)


def _given(store: Store, measurement_id: str) -> interop.Given:
    measurement = store.get(measurement_id)
    return interop.Given.read(measurement, store.samples_ns(measurement))


def cell(value: Any) -> Any:
    """A value of JSON in a cell of CSV: nothing for None, `true` and `false`, what has parts as JSON."""
    if value is None:
        return ""
    if isinstance(value, (bool, dict, list)):
        return dumps(value)
    return value


@contextlib.contextmanager
def part_of(target: Path) -> Iterator[Path]:
    """A file beside `target`, which takes its place when the block ends well: of a link, that of the file it names. A
    device or a pipe is written to as it is. Errors: ConfigError for a folder."""
    if target.is_dir():
        raise ConfigError("is a folder", where=str(target), fix="name a file in it")
    if target.parent == Path("/dev") or (target.exists() and not target.is_file()):
        yield target
        return
    place = target.resolve()
    part = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(place)
    finally:
        part.unlink(missing_ok=True)
