"""The figures of measurements as files for other programs: a format is a function here, or in a module of its own.

A writer gets the measurements one after another, however many they are, and writes one file.
"""

from __future__ import annotations

import contextlib
import csv
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_agents.contract import dumps
from edge.results import database
from edge.results.columns import COLUMNS, NAMES, Record
from profiles.errors import ResultError

if TYPE_CHECKING:
    from edge.report.rows import Row

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


WRITERS: dict[str, Writer] = {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet}


def write(name: str, stored: Iterable[Stored], target: Path) -> None:
    """Write `target` in one of WRITERS, whole or not at all.

    Errors: ResultError when it cannot be written; ConfigError when the format wants a library that is not there.
    """
    try:
        with part_of(target) as part:
            WRITERS[name](stored, part)
    except OSError as error:
        raise ResultError(f"cannot be written ({error.strerror})", where=str(target)) from None


def cell(value: Any) -> Any:
    """A value of JSON in a cell of CSV: nothing for None, `true` and `false`, what has parts as JSON."""
    if value is None:
        return ""
    if isinstance(value, (bool, dict, list)):
        return dumps(value)
    return value


@contextlib.contextmanager
def part_of(target: Path) -> Iterator[Path]:
    """A file beside `target`, which takes its place when the block ends well."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
